"""Resizing volumes as images are resized: linear and antialiased, or nearest neighbour."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["resize_labels", "resize_volume"]


def resize_volume(volume: NDArray, size: Sequence[int]) -> NDArray[np.float32]:
    """A volume on a grid of `size` voxels over the same box.

    Linear along each of the first axes; where an axis shrinks, over as many voxels as fall into
    one of the new ones, as Pillow's bilinear resizing of images does.

    Args:
        volume: Shape (A, B, C) or (A, B, C, channels).
        size: Voxels along the first axes.

    >>> halves = resize_volume(np.arange(4).reshape(4, 1, 1), (2, 1, 1))
    >>> [f"{value:.3f}" for value in halves.ravel()]
    ['0.714', '2.286']
    """
    result = np.asarray(volume, np.float32)
    for axis, length in enumerate(size):
        if result.shape[axis] != length:
            weights = _weights(result.shape[axis], length)
            result = np.moveaxis(np.tensordot(weights, result, (1, axis)), 0, axis)
    return np.ascontiguousarray(result)


def resize_labels(labels: NDArray, size: Sequence[int]) -> NDArray:
    """The label of the nearest voxel, on a grid of `size` voxels over the same box.

    >>> resize_labels(np.array([1, 2]).reshape(2, 1, 1), (4, 1, 1)).ravel().tolist()
    [1, 1, 2, 2]
    """
    nearest = (
        ((np.arange(new) + 0.5) * (old / new)).astype(int)
        for old, new in zip(labels.shape, size, strict=True)
    )
    return np.ascontiguousarray(labels[np.ix_(*nearest)])


def _weights(old: int, new: int) -> NDArray[np.float32]:
    """(new, old): of each old voxel in each new one, a triangle around its centre."""
    scale = old / new
    centres = (np.arange(new)[:, np.newaxis] + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centres) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
