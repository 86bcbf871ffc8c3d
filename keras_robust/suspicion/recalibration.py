"""What a predicted probability is worth: how often masks of the dataset agree with it."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from keras_robust.suspicion.judged import Comparison

__all__ = ["Recalibration"]

BINS = 64
# The predictions are taken at their word as if so many images had confirmed them.
PRIOR_IMAGES = 10
CERTAIN = 1e-3


class Recalibration:
    """The log-odds of each class at each predicted probability, counted over all masks.

    A model that habitually draws too large, or is too sure of itself, is put right by this: the
    log-odds are zero where half of the masks hold the class. Call `add` with every image, then
    `log_odds`.

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
        for label in range(1, comparison.classes):
            probability = comparison.probabilities[label][comparison.known]
            bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
            held = comparison.labels[comparison.known] == label
            self._counts[label] += np.bincount(bins, minlength=BINS)
            self._held[label] += np.bincount(bins[held], minlength=BINS)

    def log_odds(self, label: int, probability: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds that an element belongs to the class, increasing in its probability."""
        middle = (np.arange(BINS) + 0.5) / BINS
        counts = self._counts[label]
        trust = PRIOR_IMAGES * counts / max(self.images, 1) + 1
        share = (self._held[label] + trust * middle) / (counts + trust)
        share = isotonic_regression(share, weights=counts + trust).x
        share = np.clip(share, CERTAIN, 1 - CERTAIN)
        return np.interp(probability, middle, np.log(share / (1 - share)))
