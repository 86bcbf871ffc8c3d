"""From slice to slice: a class copied to the next one, or drawn between those that have it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.review.tools.regions import checked_spacing

__all__ = ["copy_slice", "interpolate_slices"]


def copy_slice(
    labels: NDArray[np.uint8], label: int, axis: int, source: int, target: int
) -> NDArray[np.uint8]:
    """Draw a class in one slice as it is in another; other classes stay.

    Args:
        labels: `(*spatial)`, a volume; not changed.
        label: The class.
        axis: Across the slices.
        source: Index of the slice to copy.
        target: Index of the slice to draw in.

    Raises:
        ValueError: No such axis or slice.
    """
    if not 0 <= axis < labels.ndim:
        raise invalid("axis", f"0 <= axis < {labels.ndim}", axis)
    for name, index in (("source", source), ("target", target)):
        if not 0 <= index < labels.shape[axis]:
            raise invalid(name, f"a slice from 0 to {labels.shape[axis] - 1}", index)
    result = labels.copy()
    planes = np.moveaxis(result, axis, 0)
    wanted, plane = planes[source] == label, planes[target]
    plane[(plane == label) & ~wanted] = 0
    plane[(plane == 0) & wanted] = label
    return result


def interpolate_slices(
    labels: NDArray[np.uint8], label: int, axis: int, spacing: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Draw a class in the slices without it that lie between two that have it.

    The signed distance to the outline is interpolated linearly from one slice to the next that is
    drawn (Raya and Udupa 1990, https://doi.org/10.1109/42.52980); only background is taken. So a
    reader draws, say, every fifth slice.

    Args:
        labels: `(*spatial)`, a volume; not changed.
        label: The class.
        axis: Across the slices.
        spacing: In mm, one per axis.

    Raises:
        ValueError: No such axis, or no such spacing.
    """
    if not 0 <= axis < labels.ndim:
        raise invalid("axis", f"0 <= axis < {labels.ndim}", axis)
    steps = checked_spacing(spacing, labels.ndim)
    within = [step for other, step in enumerate(steps) if other != axis]
    result = labels.copy()
    planes = np.moveaxis(result, axis, 0)
    inside = planes == label
    drawn = np.flatnonzero(inside.any(axis=tuple(range(1, labels.ndim))))
    for first, last in pairwise(drawn.tolist()):
        if last - first < 2:
            continue
        rows = inside[first] | inside[last]
        box = tuple(
            slice(max(0, at[0] - 1), at[-1] + 2)
            for at in (np.flatnonzero(rows.any(axis=axis)) for axis in _others(rows.ndim))
        )
        ends = [_signed(inside[index][box], within) for index in (first, last)]
        for index in range(first + 1, last):
            far = (index - first) / (last - first)
            plane = planes[index][box]
            plane[((1 - far) * ends[0] + far * ends[1] > 0) & (plane == 0)] = label
    return result


def _others(ndim: int) -> list[tuple[int, ...]]:
    return [tuple(other for other in range(ndim) if other != axis) for axis in range(ndim)]


def _signed(inside: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Distance to the outline, above 0 inside; the box has a margin, so that both sides are there
    unless the class fills the image."""
    from scipy.ndimage import distance_transform_edt

    if inside.all():
        return np.full(inside.shape, float(max(inside.shape)))
    deep = distance_transform_edt(inside, sampling=spacing)
    return np.where(inside, deep, -distance_transform_edt(~inside, sampling=spacing))
