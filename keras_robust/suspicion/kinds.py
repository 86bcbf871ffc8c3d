"""What kind of error a mask seems to have."""

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import label as components

from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.structure import Measures

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


def kind_of_error(comparison: Comparison, measures: Mapping[int, Measures]) -> str:
    """One of `KINDS`: what would mend most of what the model has against the mask.

    Where most of the disagreement lies in elements that both hold to be foreground, it is a wrong
    class; in components of the prediction that the mask does not touch, a missing object; in
    components of the mask that the prediction does not touch, an extra one. Else the outline that
    would gain most tells: a smaller one, a larger one or a moved one of the class that there is
    most evidence against.

    Args:
        comparison: Mask and prediction.
        measures: Of each foreground class that either of them holds.
    """
    labels, predicted = comparison.labels, comparison.predicted
    differs = labels != predicted
    total = int(differs.sum())
    if not total or not measures:
        return "none"
    if int((differs & (labels > 0) & (predicted > 0)).sum()) > total / 2:
        return "wrong class"
    missing, extra = _untouched(predicted > 0, labels > 0), _untouched(labels > 0, predicted > 0)
    if max(missing, extra) > total / 2:
        return "missing object" if missing > extra else "extra object"
    worst = max(measures.values(), key=lambda found: found.evidence)
    gains = {
        "too large": worst.shrinking,
        "too small": worst.growing,
        "shifted": worst.moving,
    }
    return max(gains, key=lambda kind: gains[kind])


def _untouched(own: np.ndarray, other: np.ndarray) -> int:
    """Elements of the components of one mask that share none with the other."""
    numbered, count = components(own, np.ones((3,) * own.ndim))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    sizes[np.unique(numbered[other])] = 0
    return int(sizes[1:].sum())
