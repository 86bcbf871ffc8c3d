"""What kind of error a mask seems to have."""

import numpy as np

from keras_robust.quality.judged import Comparison

__all__ = ["KINDS", "kind_of_error"]

KINDS = (
    "none",
    "too large",
    "too small",
    "shifted",
    "missing object",
    "extra object",
    "wrong class",
)


def kind_of_error(comparison: Comparison) -> str:
    """One of `KINDS`: what tells most of the disagreement of mask and prediction."""
    mask, predicted = comparison.labels > 0, comparison.predicted > 0
    extra, missed = int(np.sum(mask & ~predicted)), int(np.sum(predicted & ~mask))
    wrong = int(np.sum(mask & predicted & (comparison.labels != comparison.predicted)))
    if extra + missed + wrong == 0:
        return "none"
    if wrong > extra + missed:
        return "wrong class"
    if not mask.any():
        return "missing object"
    if not predicted.any():
        return "extra object"
    if abs(extra - missed) < 0.6 * (extra + missed):
        return "shifted"
    return "too large" if extra > missed else "too small"
