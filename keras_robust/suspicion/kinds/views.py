"""What the model says of an image, as log-odds that are sure of nothing."""

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.structure import Structure

__all__ = ["MOST_ELEMENTS", "foreground_log_odds", "log_odds_of", "log_probabilities", "view"]

Floats = NDArray[np.float64]
# Nats up to which a model is taken at its word.
SURE = 4.0
# Larger boxes are looked at more coarsely.
MOST_ELEMENTS = 2**18


def log_probabilities(comparison: Comparison) -> Floats:
    """`(K, *spatial)`, of each class."""
    return np.log(np.clip(comparison.probabilities.astype(np.float64), np.exp(-SURE), 1))


def log_odds_of(comparison: Comparison, label: int) -> Floats:
    """`(*spatial)`, that each element belongs to a class."""
    return _log_odds(comparison.probabilities[label])


def foreground_log_odds(comparison: Comparison) -> Floats:
    """`(*spatial)`, that each element belongs to any class but the background."""
    return _log_odds(1 - comparison.probabilities[0])


def view(comparison: Comparison, label: int | None) -> Structure | None:
    """One class, or with `None` all of the foreground; `None` where neither side holds it."""
    log_odds = foreground_log_odds(comparison) if label is None else log_odds_of(comparison, label)
    log_odds[~comparison.known] = 0.0
    mask = comparison.labels > 0 if label is None else comparison.labels == label
    if not (mask.any() or (log_odds > 0).any()):
        return None
    return Structure(log_odds, mask, comparison.spacing, MOST_ELEMENTS)


def _log_odds(probability: NDArray[np.float32]) -> Floats:
    p = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.clip(np.log(p / (1 - p)), -SURE, SURE)
