"""A class within a mask: where it is, and what becomes of a mask when it is somewhere else."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid

__all__ = ["box_of", "checked_spacing", "moved_class", "voxel"]


def box_of(inside: NDArray[np.bool_], margin: Sequence[int]) -> tuple[slice, ...] | None:
    """The least box around what is true, wider by `margin` on each axis; `None` for nothing.

    >>> box_of(np.array([False, False, True, False, False, False]), [1])
    (slice(1, 4, None),)
    """
    found = []
    for axis, more in enumerate(margin):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        at = np.flatnonzero(inside.any(axis=others))
        if not at.size:
            return None
        end = min(inside.shape[axis], int(at[-1]) + 1 + more)
        found.append(slice(max(0, int(at[0]) - more), end))
    return tuple(found)


def moved_class(
    labels: NDArray[np.uint8], label: int, inside: NDArray[np.bool_], box: tuple[slice, ...]
) -> NDArray[np.uint8]:
    """A copy of a mask in which a class is `inside` within a box, and nowhere else in it.

    What the class leaves becomes background; what it enters was background, for other classes stay.
    """
    result = labels.copy()
    part = result[box]
    before = part == label
    part[before & ~inside] = 0
    part[inside & (part == 0)] = label
    return result


def checked_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """One positive distance per axis; 1 where nothing is known, and lengths are elements then.

    Raises:
        ValueError: Another number of axes, or a distance that is none.
    """
    if spacing is None:
        return (1.0,) * ndim
    if len(spacing) != ndim or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise invalid("spacing", f"{ndim} distances above 0, one per axis", tuple(spacing))
    return tuple(float(s) for s in spacing)


def voxel(at: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """An index into an array of `shape`.

    Raises:
        ValueError: It lies outside.
    """
    index = tuple(int(n) for n in at)
    if len(index) != len(shape) or not all(
        0 <= n < size for n, size in zip(index, shape, strict=True)
    ):
        raise invalid("at", f"an index into the mask, of shape {shape}", index)
    return index
