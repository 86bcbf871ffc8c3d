"""Checks of what every measure takes: two label arrays of one shape, and their spacing."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid

__all__ = ["Score", "checked_spacing", "label_array", "label_pair", "scores"]

Score = float | NDArray[np.float64]


def label_pair(
    a: ArrayLike, b: ArrayLike, classes: int, ignore_label: int | None = None
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Both arrays as labels from 0 to classes - 1; with two classes all but zero becomes one.

    Elements that are `ignore_label` in either are left out, and what is left is flat.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        raise invalid(
            "b",
            "the shape of `a`",
            said=f"a.shape={first.shape}, b.shape={second.shape}",
            remedy="Resize one to the other first.",
        )
    if ignore_label is not None:
        kept = (first != ignore_label) & (second != ignore_label)
        first, second = first[kept], second[kept]
    return label_array("a", first, classes), label_array("b", second, classes)


def label_array(name: str, value: ArrayLike, classes: int) -> NDArray[np.integer]:
    if classes < 2:
        raise invalid("classes", "at least 2 (background included)", said=f"classes={classes}")
    labels = np.asarray(value)
    if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
        raise invalid(
            name,
            "booleans or integer labels",
            said=f"dtype={labels.dtype}",
            remedy="Threshold probabilities first, as in `p > 0.5`.",
        )
    if labels.dtype == bool:
        return labels.view(np.uint8)
    if classes == 2:
        # 0/255 masks are as common as 0/1.
        return (labels != 0).view(np.uint8)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise invalid(
            name,
            f"labels from 0 to {classes - 1}",
            said=f"labels from {labels.min()} to {labels.max()}",
            remedy=(
                "Set `classes`, or leave the elements of other labels out "
                "(`ignore_label`, where there is one)."
            ),
        )
    return labels


def checked_spacing(spacing_mm: Sequence[float], ndim: int) -> tuple[float, ...]:
    """The spacing as a tuple of `ndim` positive, finite floats."""
    spacing = tuple(float(s) for s in np.ravel(spacing_mm))
    if len(spacing) != ndim or not all(0 < s < math.inf for s in spacing):
        raise invalid(
            "spacing_mm",
            f"one positive, finite number for each of the {ndim} axes",
            said=f"spacing_mm={spacing_mm}",
            remedy="Use 1.0 for every axis to measure in elements.",
        )
    return spacing


def scores(values: Sequence[float] | NDArray) -> Score:
    """A float for one foreground class, an array for more."""
    return float(values[0]) if len(values) == 1 else np.array(values, float)
