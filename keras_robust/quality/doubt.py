"""The default score: how improbable it is that a mask is right, learned from its dataset."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from keras_robust.quality.calibration_table import Calibration
from keras_robust.quality.judged import Comparison
from keras_robust.quality.mistakes import mistakes
from keras_robust.quality.structure import Measures, Structure

__all__ = ["Doubt"]

Floats = NDArray[np.float64]
# Of nats per element, below which more or less evidence makes little difference; and so for the
# uncertainty.
LITTLE_EVIDENCE, LITTLE_UNCERTAINTY = 0.005, 0.02
ROUNDS = 6
# Weights of evidence, size and uncertainty, and the offset, before anything is learned: a mask is
# as probably wrong as right where 0.4 nats per element are against it. From the first half of the
# development images of scripts/evaluate_audit.py; a few dozen masks outweigh it.
PRIOR = np.array([1.5, 0.0, -1.0, -1.5 * np.log(0.4)])
FIRST_SUSPECTS = 0.3
WRONG_SHARE = (0.02, 0.5)


@dataclass
class Doubt:
    r"""-log P(every structure of the mask is right), in nats: 0 for no doubt, without upper end.

    A logistic model tells given masks from mistakes drawn into them (see `mistakes`), by the
    logarithms of three figures: the evidence against the mask (see `Measures`), the more the worse,
    and what decides how much of it is habitual: the size of the predicted object and the
    uncertainty of the prediction. As some given masks are wrong, each counts as much as it is
    probably right by the model so far, which is fitted again (expectation maximisation).

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
            structure, habits = _structure(comparison, label, self.calibration)
            if not (structure.mask.any() or structure.predicted.any()):
                continue
            found[label] = structure.measure(structure.mask)
            generator = _generator(comparison.id, label)
            for mask in mistakes(structure.mask, structure.spacing, generator):
                self._drawn.append(_figures(structure.measure(mask), habits))
                self._origin.append(len(self._given))
            self._given.append(_figures(found[label], habits))
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


def _structure(
    comparison: Comparison, label: int, calibration: Calibration
) -> tuple[Structure, Floats]:
    """The structure, and the logarithms of its size and uncertainty in the prediction, `(2,)`."""
    probability = comparison.probabilities[label] * comparison.known
    log_odds = calibration.log_odds(label, comparison.probabilities[label])
    log_odds[~comparison.known] = 0.0
    mask = (comparison.labels == label) & comparison.known
    size = max(int((log_odds > 0).sum()), 1)
    variance = float((probability * (1 - probability)).sum(dtype=np.float64))
    uncertainty = variance / max(float(probability.sum(dtype=np.float64)), 1.0)
    habits = np.log([size, uncertainty + LITTLE_UNCERTAINTY])
    return Structure(log_odds, mask, comparison.spacing), habits


def _figures(measures: Measures, habits: Floats) -> Floats:
    return np.append(np.log(measures.evidence + LITTLE_EVIDENCE), habits)


def _fitted(given: Floats, drawn: Sequence[Floats], origin: NDArray[np.intp]) -> Floats:
    """`(n,)`, log-odds that each given structure is wrong, if half of all were."""
    count = len(given)
    figures = np.concatenate([given, np.stack(drawn)]) if drawn else given
    figures[:, 1:] -= given[:, 1:].mean(axis=0)
    figures = np.append(figures, np.ones((len(figures), 1)), axis=1)
    evidence = figures[:count, 0]
    wrong = (evidence > np.quantile(evidence, 1 - FIRST_SUSPECTS)).astype(float)
    is_drawn = np.repeat([0.0, 1.0], [count, len(drawn)])
    log_odds = figures[:count] @ PRIOR
    for _ in range(ROUNDS if drawn else 0):
        right = 1 - wrong
        weights = np.concatenate(
            [right / max(right.sum(), 1e-9), right[origin] / max(right[origin].sum(), 1e-9)]
        )
        model = _logistic(figures, is_drawn, weights / weights.sum(), strength=1 / count)
        log_odds = figures[:count] @ model
        wrong = _posterior(log_odds)
    return log_odds


def _logistic(figures: Floats, target: Floats, weights: Floats, strength: float) -> Floats:
    """Weights of a logistic model, `(4,)`, held to `PRIOR` by so strong a penalty."""

    def loss(model: Floats) -> tuple[float, Floats]:
        z = figures @ model
        slope = weights * (expit(z) - target)
        away = model - PRIOR
        value = weights @ (np.logaddexp(0, z) - target * z) + strength * away @ away
        return float(value), figures.T @ slope + 2 * strength * away

    # More evidence never makes a mask less suspicious.
    bounds = [(0, None)] + [(None, None)] * (len(PRIOR) - 1)
    return minimize(loss, PRIOR, jac=True, bounds=bounds, method="L-BFGS-B").x


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
