"""Intersection over union of two segmentations."""

import numpy as np
from numpy.typing import ArrayLike

from keras_robust.metrics.overlap import Score, _counts

__all__ = ["iou"]


def iou(
    a: ArrayLike,
    b: ArrayLike,
    *,
    classes: int = 2,
    empty: float = 1.0,
    ignore_label: int | None = None,
) -> Score:
    """Intersection over union |A∩B| / |A∪B| of two label arrays, the Jaccard index.

    Args:
        a: Labels of any shape, boolean or integer. With two classes everything that is not zero
            is foreground.
        b: Labels of the same shape.
        classes: Number of classes, background included.
        empty: The value where a class is in neither array.
        ignore_label: Elements with this label in either array do not count.

    Returns:
        A float for two classes; an array of shape (classes - 1,), one value per foreground
        label, for more.

    Raises:
        ValueError: As `dice`.

    References:
        Jaccard 1912, https://doi.org/10.1111/j.1469-8137.1912.tb05611.x

    >>> iou([1, 1, 0, 0], [1, 0, 0, 0]), iou([0, 0], [0, 0])
    (0.5, 1.0)
    >>> iou([0, 1, 2, 2], [0, 1, 1, 2], classes=3)
    array([0.5, 0.5])
    """
    both, total = _counts(a, b, classes, ignore_label)
    either = total - both
    value = np.where(either > 0, both / np.maximum(either, 1), empty)
    return float(value[0]) if classes == 2 else value
