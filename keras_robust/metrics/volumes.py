"""Volumes (in 2-D, areas) of segmentations and how they differ."""

import math
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from keras_robust.metrics.labels import Score, checked_spacing, label_array, label_pair, scores

__all__ = ["relative_volume_difference", "volume", "volume_difference"]


def volume(labels: ArrayLike, spacing_mm: Sequence[float], *, classes: int = 2) -> Score:
    """Volume in mm³ of each foreground label; in 2-D, its area in mm².

    Args:
        labels: Labels of any shape, boolean or integer. With two classes everything that is not
            zero is foreground.
        spacing_mm: Distance between neighbouring elements along each axis, in mm.
        classes: Number of classes, background included.

    Returns:
        A float for two classes; an array of shape (classes - 1,), one value per foreground
        label, for more.

    Raises:
        ValueError: Labels are not integer or out of range; the spacing does not fit.

    >>> volume([[0, 1], [1, 1]], spacing_mm=(2.0, 0.5))
    3.0
    >>> volume([[0, 1], [2, 1]], spacing_mm=(2.0, 0.5), classes=3)
    array([2., 1.])
    """
    array = label_array("labels", labels, classes)
    element = prod(checked_spacing(spacing_mm, array.ndim))
    return scores(np.bincount(array.astype(np.int64).ravel(), minlength=classes)[1:] * element)


def volume_difference(
    a: ArrayLike, b: ArrayLike, spacing_mm: Sequence[float], *, classes: int = 2
) -> Score:
    """Volume of `a` less that of the reference `b`, in mm³ (in 2-D, mm²).

    Args:
        a: Labels, as in `volume`.
        b: Labels of the same shape, the reference.
        spacing_mm, classes: As in `volume`.

    Returns:
        As `volume`: positive where `a` is too large.

    Raises:
        ValueError: As `volume`; also where shapes differ.

    >>> volume_difference([[1, 1, 1, 0]], [[1, 1, 0, 0]], spacing_mm=(2.0, 0.5))
    1.0
    """
    first, second = label_pair(a, b, classes)
    return volume(first, spacing_mm, classes=classes) - volume(second, spacing_mm, classes=classes)


def relative_volume_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    classes: int = 2,
    empty: float = 0.0,
    missing: float = math.inf,
) -> Score:
    """Difference of the volumes of `a` and the reference `b`, divided by that of `b`.

    Args:
        a: Labels of any shape, boolean or integer.
        b: Labels of the same shape, the reference.
        classes: Number of classes, background included.
        empty: The value where a class is in neither array.
        missing: The value where a class is in `a` but not in the reference.

    Returns:
        As `volume`: 0.25 where `a` is a quarter too large, -1 where it has nothing.

    Raises:
        ValueError: As `volume_difference`.

    >>> relative_volume_difference([[1, 1, 1, 0]], [[1, 1, 0, 0]])
    0.5
    >>> relative_volume_difference([[1, 0]], [[0, 0]]), relative_volume_difference([[0]], [[0]])
    (inf, 0.0)
    """
    first, second = label_pair(a, b, classes)
    counts = [
        np.bincount(labels.astype(np.int64).ravel(), minlength=classes)[1:]
        for labels in (first, second)
    ]
    relative = (counts[0] - counts[1]) / np.maximum(counts[1], 1)
    return scores(np.where(counts[1] > 0, relative, np.where(counts[0] > 0, missing, empty)))
