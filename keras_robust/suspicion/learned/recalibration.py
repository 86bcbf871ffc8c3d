"""What a predicted probability is worth: how often masks of the dataset agree with it."""

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.judged import Comparison

__all__ = ["Recalibration"]

BINS = 64
# The predictions are taken at their word as if so many images had confirmed them.
PRIOR_IMAGES = 10
CERTAIN = 1e-3


class Recalibration:
    """The probability of each class at each predicted one, counted over all masks.

    A model that habitually draws too large, or is too sure of itself, is put right by this: the
    probability is one half where half of the masks hold the class. Call `add` with every image,
    then `probabilities`.

    Args:
        classes: Number of classes K, background included.

    Attributes:
        images: How many were counted.
    """

    def __init__(self, classes: int):
        self._held = np.zeros((classes, BINS))
        self._counts = np.zeros((classes, BINS))
        self.images = 0

    def add(self, comparison: Comparison) -> None:
        """Count one image."""
        self.images += 1
        labels = comparison.labels[comparison.known]
        for label in range(comparison.classes):
            bins = _bins(comparison.probabilities[label][comparison.known])
            self._counts[label] += np.bincount(bins, minlength=BINS)
            self._held[label] += np.bincount(bins[labels == label], minlength=BINS)

    def probabilities(self, predicted: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(K, *spatial)`, each increasing in that of its class, of sum 1."""
        middle = (np.arange(BINS) + 0.5) / BINS
        found = np.empty(predicted.shape, np.float32)
        for label, probability in enumerate(predicted):
            found[label] = np.interp(probability, middle, self._shares(label))
        return found / found.sum(axis=0)

    def _shares(self, label: int) -> NDArray[np.float64]:
        """`(bins,)`, of the elements whose masks hold the class."""
        from scipy.optimize import isotonic_regression  # slow to import

        middle = (np.arange(BINS) + 0.5) / BINS
        counts = self._counts[label]
        trust = PRIOR_IMAGES * counts / max(self.images, 1) + 1
        share = (self._held[label] + trust * middle) / (counts + trust)
        share = isotonic_regression(share, weights=counts + trust).x
        return np.clip(share, CERTAIN, 1 - CERTAIN)


def _bins(probability: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.minimum((probability * BINS).astype(np.intp), BINS - 1)
