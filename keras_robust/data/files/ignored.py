"""Keeping the ignored region of a mask out of what is done to the mask."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["set_aside_ignored"]


def set_aside_ignored(
    mask: NDArray, ignore_label: int | None
) -> tuple[NDArray, Callable[[NDArray], NDArray]]:
    """A mask whose ignored region is background, and a function that puts the region back.

    Args:
        mask: Labels, any shape.
        ignore_label: The label of the region; `None` for masks without one.

    Returns:
        The mask without the region, and a function from a mask of the same shape to that mask
        with the region in its old place.

    >>> mask = np.array([0, 1, 255], np.uint8)
    >>> known, put_back = set_aside_ignored(mask, 255)
    >>> known.tolist(), put_back(np.ones_like(known)).tolist()
    ([0, 1, 0], [1, 1, 255])
    """
    if ignore_label is None:
        return mask, lambda changed: changed
    ignored = mask == ignore_label
    return np.where(ignored, 0, mask).astype(mask.dtype), lambda changed: np.where(
        ignored, mask, changed
    )
