"""The default score: how improbable it is that a mask is right, learned from its dataset."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from keras_robust.quality.calibration_table import Calibration
from keras_robust.quality.judged import Comparison
from keras_robust.quality.mistakes import mistakes
from keras_robust.quality.structure import Measures, Structure

__all__ = ["Doubt"]

Floats = NDArray[np.float64]
# Of nats per element, below which more or less evidence makes little difference.
LITTLE = 0.02
ROUNDS = 6
# Before anything is learned: evidence alone counts.
PRIOR = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
DISAGREEMENTS = 4
FIRST_SUSPECTS = 0.3
WRONG_SHARE = (0.02, 0.5)


@dataclass
class Doubt:
    r"""-log P(every structure of the mask is right), in nats: 0 for no doubt, without upper end.

    A logistic model of six figures tells given masks from mistakes drawn into them (see
    `mistakes`). Four say how far mask and model disagree, and have weights that are not negative:
    the evidence against the mask, what the best of a smaller, larger or moved outline would gain
    of it, the share of the evidence that this is, and how sure the model is of what it contradicts
    most. Two say what disagreement is habitual: the size of the object and the uncertainty of the
    prediction. As some given masks are wrong, each counts as much as it is probably right by the
    model so far, which is fitted again (expectation maximisation).

    Call `add` for every image, then `scores`.

    Args:
        calibration: Of the same dataset.
    """

    calibration: Calibration
    _given: list[Floats] = field(default_factory=list)
    _drawn: list[Floats] = field(default_factory=list)
    _origin: list[int] = field(default_factory=list)
    _image: list[int] = field(default_factory=list)
    _images: int = 0

    def add(self, comparison: Comparison) -> dict[int, Measures]:
        """Measure the structures of one image, and of mistakes drawn into them.

        Returns:
            The measures of each foreground class that the mask or the model holds.
        """
        found: dict[int, Measures] = {}
        for label in range(1, comparison.classes):
            structure = _structure(comparison, label, self.calibration)
            if not (structure.mask.any() or structure.predicted.any()):
                continue
            found[label] = structure.measure(structure.mask)
            generator = _generator(comparison.id, label)
            for mask in mistakes(structure.mask, structure.spacing, generator):
                self._drawn.append(_figures(structure, structure.measure(mask)))
                self._origin.append(len(self._given))
            self._given.append(_figures(structure, found[label]))
            self._image.append(self._images)
        self._images += 1
        return found

    def scores(self) -> Floats:
        """`(n,)`, one per image in the order of `add`."""
        total = np.zeros(self._images)
        if self._given:
            log_odds = _fitted(np.stack(self._given), self._drawn, np.array(self._origin, int))
            np.add.at(total, self._image, np.logaddexp(0, log_odds))
        return total


def _structure(comparison: Comparison, label: int, calibration: Calibration) -> Structure:
    probability = comparison.probabilities[label]
    log_odds = calibration.log_odds(label, probability)
    log_odds[~comparison.known] = 0.0
    mask = (comparison.labels == label) & comparison.known
    return Structure(log_odds, probability * comparison.known, mask, comparison.spacing)


def _figures(structure: Structure, measures: Measures) -> Floats:
    """`(6,)`, four disagreements and two habits."""
    best = max(measures.shrinking, measures.growing, measures.moving)
    return np.array(
        [
            np.log(measures.evidence + LITTLE),
            np.log(best + LITTLE),
            best / (measures.evidence + LITTLE),
            np.log(measures.surest + LITTLE),
            np.log(structure.size),
            np.log(structure.uncertainty + LITTLE),
        ]
    )


def _fitted(given: Floats, drawn: Sequence[Floats], origin: NDArray[np.intp]) -> Floats:
    """`(n,)`, log-odds that each given structure is wrong, if half of all were."""
    count = len(given)
    figures = np.concatenate([given, np.stack(drawn)]) if drawn else given
    figures = (figures - figures.mean(axis=0)) / (figures.std(axis=0) + 1e-9)
    given = figures[:count]
    evidence = given[:, 0]
    wrong = (evidence > np.quantile(evidence, 1 - FIRST_SUSPECTS)).astype(float)
    is_drawn = np.repeat([0.0, 1.0], [count, len(drawn)])
    log_odds = given @ PRIOR
    if not drawn:
        return log_odds
    for _ in range(ROUNDS):
        right = 1 - wrong
        weights = np.concatenate(
            [right / max(right.sum(), 1e-9), right[origin] / max(right[origin].sum(), 1e-9)]
        )
        model = _logistic(figures, is_drawn, weights / weights.sum(), strength=1 / count)
        log_odds = given @ model[:-1] + model[-1]
        wrong = _posterior(log_odds)
    return log_odds


def _logistic(figures: Floats, target: Floats, weights: Floats, strength: float) -> Floats:
    """Weights and offset of a logistic model, held to `PRIOR` by so strong a penalty."""
    free = figures.shape[1] - DISAGREEMENTS

    def loss(model: Floats) -> tuple[float, Floats]:
        z = figures @ model[:-1] + model[-1]
        slope = weights * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - target)
        away = model[:-1] - PRIOR
        value = weights @ (np.logaddexp(0, z) - target * z) + strength * away @ away
        return float(value), np.append(figures.T @ slope + 2 * strength * away, slope.sum())

    bounds = [(0, None)] * DISAGREEMENTS + [(None, None)] * (free + 1)
    start = np.append(PRIOR, 0.0)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x


def _posterior(log_odds: Floats) -> Floats:
    """Probability that each is wrong, by the share of wrong ones that makes it most consistent."""
    ratio = np.exp(np.clip(log_odds, -30, 30))
    share = np.mean(WRONG_SHARE)
    for _ in range(100):
        share = np.clip(np.mean(share * ratio / (share * ratio + 1 - share)), *WRONG_SHARE)
    return share * ratio / (share * ratio + 1 - share)


def _generator(id: str, label: int) -> np.random.Generator:
    # Python's own hash of text differs from process to process.
    words = np.frombuffer(hashlib.sha256(id.encode()).digest(), "<u4").tolist()
    return np.random.default_rng([*words, label])
