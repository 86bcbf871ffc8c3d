"""Overlap of two segmentations: the Dice coefficient, per image and pooled, and the IoU."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.metrics.labels import Score, label_pair, scores

__all__ = ["dice", "iou", "mean_dice", "pooled_dice"]


def dice(
    a: ArrayLike,
    b: ArrayLike,
    *,
    classes: int = 2,
    empty: float = 1.0,
    ignore_label: int | None = None,
) -> Score:
    """Dice coefficient 2|A∩B| / (|A| + |B|) of two label arrays.

    Args:
        a: Labels of any shape, boolean or integer. With two classes everything that is not
            zero is foreground.
        b: Labels of the same shape.
        classes: Number of classes, background included.
        empty: The value where a class is in neither array: 1.0 says that they agree, `nan`
            leaves the class out of `mean_dice`.
        ignore_label: Elements with this label in either array do not count.

    Returns:
        A float for two classes; an array of shape (classes - 1,), one value per foreground
        label, for more.

    Raises:
        ValueError: Shapes differ, arrays are not integer, labels are out of range.

    References:
        Dice 1945, https://doi.org/10.2307/1932409

    >>> dice([1, 1, 0, 0], [1, 0, 0, 0])
    0.6666666666666666
    >>> dice([0, 0], [0, 0]), dice([0, 0], [0, 0], empty=0.0), dice([1, 0], [0, 0])
    (1.0, 0.0, 0.0)
    >>> dice([0, 1, 2, 2], [0, 1, 1, 2], classes=3).round(3)
    array([0.667, 0.667])
    """
    return _ratio(*overlap_of_labels(a, b, classes, ignore_label), empty=empty)


def drawn_dice(a: ArrayLike, b: ArrayLike, classes: int, ignore_label: int | None = None) -> float:
    """Mean of `dice` over the labels that either drew; 1 where both drew nothing.

    >>> drawn_dice([1, 1, 0], [0, 0, 0], 9), drawn_dice([0, 0], [0, 0], 2)
    (0.0, 1.0)
    """
    found = dice(a, b, classes=classes, empty=np.nan, ignore_label=ignore_label)
    values = np.atleast_1d(found)
    drawn = values[~np.isnan(values)]
    return float(drawn.mean()) if drawn.size else 1.0


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
    both, total = overlap_of_labels(a, b, classes, ignore_label)
    either = total - both
    value = np.where(either > 0, both / np.maximum(either, 1), empty)
    return scores(value)


def mean_dice(
    a: Iterable[ArrayLike],
    b: Iterable[ArrayLike],
    *,
    classes: int = 2,
    empty: float = 1.0,
    ignore_label: int | None = None,
) -> Score:
    """Mean over images of the Dice coefficient of each image.

    Args:
        a: One label array per image; the images may differ in shape and may come from generators.
        b: As many label arrays.
        classes, empty, ignore_label: As in `dice`. Values that are `nan` are left out of the mean.

    Returns:
        A float for two classes, an array of shape (classes - 1,) for more; `nan` where no image
        counts.

    Raises:
        ValueError: As `dice`; also where `a` and `b` differ in length or hold no image.

    >>> mean_dice([[1, 1], [0, 1]], [[1, 1], [1, 0]])
    0.5
    """
    scores = np.array(
        [
            dice(x, y, classes=classes, empty=empty, ignore_label=ignore_label)
            for x, y in _pairs(a, b)
        ]
    )
    counted = np.sum(~np.isnan(scores), axis=0)
    mean = np.where(counted > 0, np.nansum(scores, axis=0) / np.maximum(counted, 1), np.nan)
    return float(mean) if classes == 2 else mean


def pooled_dice(
    a: Iterable[ArrayLike],
    b: Iterable[ArrayLike],
    *,
    classes: int = 2,
    empty: float = 1.0,
    ignore_label: int | None = None,
) -> Score:
    """Dice coefficient of all images taken as one, so that large objects weigh more.

    Args, returns and raises: as `mean_dice`.

    >>> round(pooled_dice([[1, 1], [0, 1]], [[1, 1], [1, 0]]), 4)
    0.6667
    """
    both, total = np.zeros(classes - 1), np.zeros(classes - 1)
    for x, y in _pairs(a, b):
        counts = overlap_of_labels(x, y, classes, ignore_label)
        both, total = both + counts[0], total + counts[1]
    return _ratio(both, total, empty=empty)


def overlap_of_labels(
    a: ArrayLike, b: ArrayLike, classes: int, ignore_label: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per foreground class: size of the intersection, sum of both sizes."""
    first, second = label_pair(a, b, classes, ignore_label)
    if classes == 2:
        # Counts of ones take a tenth of the time of a count per label.
        total = np.count_nonzero(first) + np.count_nonzero(second)
        return np.array([np.count_nonzero(first & second)], float), np.array([total], float)
    both, *sizes = (
        np.bincount(labels.astype(np.int64).ravel(), minlength=classes)[1:].astype(float)
        for labels in (first[first == second], first, second)
    )
    return both, sizes[0] + sizes[1]


def _ratio(both: NDArray[np.float64], total: NDArray[np.float64], empty: float) -> Score:
    ratio = np.where(total > 0, 2 * both / np.maximum(total, 1), empty)
    return scores(ratio)


def _pairs(a: Iterable[ArrayLike], b: Iterable[ArrayLike]) -> Iterator[tuple[ArrayLike, ArrayLike]]:
    missing, count = object(), 0
    for x, y in zip_longest(a, b, fillvalue=missing):
        if x is missing or y is missing:
            raise ValueError(
                "Invalid value for arguments `a` and `b`. Expected as many masks in both. "
                f"Received: {count} in `{'a' if x is missing else 'b'}`, more in the other."
            )
        yield x, y  # type: ignore[misc]
        count += 1
    if not count:
        raise ValueError(
            "Invalid value for arguments `a` and `b`. Expected at least one mask. Received: none."
        )
