"""The default score: how improbable it is that a mask is right, learned from its dataset."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from keras_robust.suspicion.base import Score
from keras_robust.suspicion.detector import detect, share_of_wrong
from keras_robust.suspicion.features import features
from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.mistakes import mistakes
from keras_robust.suspicion.recalibration import Recalibration
from keras_robust.suspicion.structure import Measures, Structure

__all__ = ["DefaultScore"]

Floats = NDArray[np.float64]
# Evidence and variance per element below which more or less makes little difference.
LITTLE_EVIDENCE, LITTLE_VARIANCE = 0.005, 0.02
# Large objects habitually have a little more evidence against them than their uncertainty tells.
# The exponent and the root of the variance were chosen on development images.
SIZE_EXPONENT, USUAL_SIZE = 0.2, 500
ROUNDS = 6
# Slope and offset before anything is learned: a mask is as probably wrong as right where the
# evidence is the usual one.
PRIOR = np.array([1.5, 0.0])
# Mistakes are drawn into the masks of about so many images.
IMAGES_WITH_MISTAKES = 1000
FIRST_SUSPECTS = 0.3
# With fewer structures trees learn nothing that holds.
LEAST_FOR_DETECTOR = 200


class DefaultScore(Score):
    r"""-log P(mask is right), learned from mistakes drawn into the masks of the dataset; above 0.69
    it is wrong more probably than right.

    In nats, of every structure of the mask: 0 for no doubt, without upper end.

    The evidence against a mask (see `Measures`) is divided by the standard deviation of the
    prediction, so that a model that is uncertain of an image says less against its mask, and by a
    low power of the size of the object. How
    probable that makes an error is learned: a logistic model of its logarithm tells the given masks
    from mistakes drawn into them (see `mistakes`). As some given masks are wrong, each counts as
    much as it is probably right by the model so far, which is fitted again (expectation
    maximisation).

    Where there are 200 structures or more, a second opinion is learned in the same way by trees,
    from more figures of each mask (see `features` and `detect`); the two log-odds are averaged. The
    first has no upper end, so that the score tells the bad from the worse; the second knows in
    which way masks are usually wrong.

    Attributes:
        measures: Of each foreground class that the mask judged last or the model holds.
    """

    def __init__(self, classes: int, nu: float | None = None):
        super().__init__(classes, nu)
        self.measures: dict[int, Measures] = {}
        self._recalibration = Recalibration(classes)
        self._given: list[float] = []
        self._drawn: list[float] = []
        self._portraits: list[Floats] = []
        self._drawn_portraits: list[Floats] = []
        self._origin: list[int] = []
        self._image: list[int] = []
        self._images = 0

    def learn(self, comparison: Comparison) -> None:
        """Count how often masks agree with each probability."""
        self._recalibration.add(comparison)

    def judge(self, comparison: Comparison) -> None:
        """Measure the structures of one image, and of mistakes drawn into them."""
        found: dict[int, Measures] = {}
        for label in range(1, comparison.classes):
            structure, usual = _structure(comparison, label, self._recalibration)
            if not (structure.mask.any() or structure.predicted.any()):
                continue
            found[label] = structure.measure(structure.mask)
            generator = _generator(comparison.id, label)
            if generator.random() * self._recalibration.images < IMAGES_WITH_MISTAKES:
                for mask in mistakes(structure.mask, structure.spacing, generator):
                    measures = structure.measure(mask)
                    self._drawn.append(_figure(measures, usual))
                    self._drawn_portraits.append(features(structure, mask, measures))
                    self._origin.append(len(self._given))
            self._given.append(_figure(found[label], usual))
            self._portraits.append(features(structure, structure.mask, found[label]))
            self._image.append(self._images)
        self._images += 1
        self.measures = found

    def scores(self) -> list[float]:
        """One per image, in the order of `judge`."""
        total = np.zeros(self._images)
        if self._given:
            given, origin = np.array(self._given), np.array(self._origin, int)
            log_odds = _fitted(given, np.array(self._drawn), origin)
            if min(given.size, origin.size) >= LEAST_FOR_DETECTOR:
                drawn = np.stack(self._drawn_portraits)
                first = _suspects(log_odds)
                log_odds += detect(np.stack(self._portraits), drawn, origin, first)
                log_odds /= 2
            np.add.at(total, self._image, np.logaddexp(0, log_odds))
        return total.tolist()


def _structure(
    comparison: Comparison, label: int, recalibration: Recalibration
) -> tuple[Structure, float]:
    """The structure, and the evidence that is usual against a mask of it, up to a factor."""
    probability = comparison.probabilities[label] * comparison.known
    log_odds = recalibration.log_odds(label, comparison.probabilities[label])
    log_odds[~comparison.known] = 0.0
    mask = comparison.labels == label
    variance = float((probability * (1 - probability)).sum(dtype=np.float64))
    variance /= max(float(probability.sum(dtype=np.float64)), 1.0)
    size = max(int((log_odds > 0).sum()), 1)
    usual = np.sqrt(variance + LITTLE_VARIANCE) * (size / USUAL_SIZE) ** SIZE_EXPONENT
    return Structure(log_odds, mask, comparison.spacing), float(usual)


def _figure(measures: Measures, usual: float) -> float:
    return float(np.log((measures.evidence + LITTLE_EVIDENCE) / usual))


def _fitted(given: Floats, drawn: Floats, origin: NDArray[np.intp]) -> Floats:
    """`(n,)`, log-odds that each given structure is wrong, if half of all were."""
    wrong = _suspects(given)
    figures = np.concatenate([given, drawn])
    is_drawn = np.repeat([0.0, 1.0], [given.size, drawn.size])
    slope, offset = PRIOR
    for _ in range(ROUNDS if drawn.size else 0):
        right = 1 - wrong
        weights = np.concatenate(
            [right / max(right.sum(), 1e-9), right[origin] / max(right[origin].sum(), 1e-9)]
        )
        slope, offset = _logistic(figures, is_drawn, weights / weights.sum(), 1 / given.size)
        wrong = share_of_wrong(slope * given + offset)
    return slope * given + offset


def _suspects(figures: Floats) -> Floats:
    """1 for those to leave out of the first round, 0 for the others."""
    return (figures > np.quantile(figures, 1 - FIRST_SUSPECTS)).astype(float)


def _logistic(figures: Floats, target: Floats, weights: Floats, strength: float) -> Floats:
    """Slope and offset of a logistic model, held to `PRIOR` by so strong a penalty."""

    def loss(model: Floats) -> tuple[float, Floats]:
        z = model[0] * figures + model[1]
        slope = weights * (expit(z) - target)
        away = model - PRIOR
        value = weights @ (np.logaddexp(0, z) - target * z) + strength * away @ away
        gradient = np.array([slope @ figures, slope.sum()]) + 2 * strength * away
        return float(value), gradient

    # More evidence never makes a mask less suspicious.
    bounds = [(0, None), (None, None)]
    return minimize(loss, PRIOR, jac=True, bounds=bounds, method="L-BFGS-B").x


def _generator(id: str, label: int) -> np.random.Generator:
    # Python's own hash of text differs from process to process.
    words = np.frombuffer(hashlib.sha256(id.encode()).digest(), "<u4").tolist()
    return np.random.default_rng([*words, label])
