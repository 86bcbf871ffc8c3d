"""A mask described by figures that a learned detector tells right from wrong masks by."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from keras_robust.suspicion.structure import Measures, Structure

__all__ = ["FEATURES", "features"]

# Below so many nats per element more or less evidence makes little difference.
LITTLE = 0.005
WORST_SHARES = (0.02, 0.05, 0.1, 0.2)
# cleanlab's temperature of the softmin.
TEMPERATURE = 0.1
FEATURES = (
    "evidence",
    "shrinking",
    "growing",
    "moving",
    "variance",
    "size",
    "softmin",
    *(f"worst {share:.0%}" for share in WORST_SHARES),
    "uncertain outline",
    "dice",
    "relative size",
)


def features(
    structure: Structure, mask: NDArray[np.bool_], measures: Measures
) -> NDArray[np.float64]:
    """The features named in `FEATURES`; logarithms where they are amounts.

    Args:
        structure: What the model says.
        mask: Of the shape of `structure.mask`.
        measures: Of this mask.

    Returns:
        `(14,)`: what is to be gained (see `Measures`); the variance of the prediction per expected
        element, and its size; the softmin of the probabilities of the labels; the mean log-odds
        against the worst elements, as many as these shares of the mask; the number of elements of
        which the model is not certain, by the square root of the mask's size; Dice of mask and
        prediction; and the mask's size by the prediction's.
    """
    probability = expit(structure.log_odds)
    predicted = int(structure.predicted.sum())
    elements = int(mask.sum())
    right = np.where(mask, probability, 1 - probability).ravel()
    weights = np.exp((1 - right) / TEMPERATURE)
    against = np.maximum(np.where(mask, -1, 1) * structure.log_odds, 0).ravel()
    counts = [min(max(int(share * elements), 1), against.size) for share in WORST_SHARES]
    worst = np.cumsum(np.sort(np.partition(against, -counts[-1])[-counts[-1] :])[::-1])
    variance = float((probability * (1 - probability)).sum())
    gains = (measures.evidence, measures.shrinking, measures.growing, measures.moving)
    return np.array(
        [
            *np.log(np.array(gains) + LITTLE),
            np.log(variance / max(float(probability.sum()), 1.0) + 0.02),
            np.log(predicted + 1),
            float(right @ weights / weights.sum()),
            *(np.log(worst[count - 1] / count + 0.01) for count in counts),
            np.log(int((np.abs(structure.log_odds) < 1).sum()) + 1) - np.log(elements + 1) / 2,
            2 * int((mask & structure.predicted).sum()) / max(elements + predicted, 1),
            np.log((elements + 1) / (predicted + 1)),
        ]
    )
