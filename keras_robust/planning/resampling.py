"""Images and masks on another voxel grid, by the rules of nnU-Net."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np
import scipy  # whose parts are imported when they are needed
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.large_arrays import large_array, slabs

__all__ = ["resample_image", "resample_labels", "resampled_shape", "thick_axis"]

ANISOTROPIC = 3  # a spacing beyond so many times the others' makes a thick axis
SMALLEST_WEIGHT = 1e-8


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]
) -> tuple[int, ...]:
    """The number of voxels along each axis after resampling, at least 1.

    >>> resampled_shape((10, 100, 100), (5, 1, 1), (2.5, 1, 2))
    (20, 100, 50)
    """
    return tuple(
        max(1, round(old / new * n))  # in nnU-Net's order, which decides where halves are rounded
        for n, old, new in zip(shape, spacing_mm, target_mm, strict=True)
    )


def thick_axis(*spacings_mm: Sequence[float]) -> int | None:
    """The axis along which slices are interpolated apart from each other, or `None`.

    It is the one with the largest spacing where that is more than three times the smallest, in the
    first of the grids for which this holds, and there is only one such axis.

    >>> thick_axis((1, 1, 1), (5, 1, 1))
    0
    >>> thick_axis((5, 5, 1)) is None
    True
    """
    for spacing in spacings_mm:
        if len(spacing) == 3 and max(spacing) > ANISOTROPIC * min(spacing):
            axes = np.flatnonzero(np.array(spacing) == max(spacing))
            return int(axes[0]) if len(axes) == 1 else None
    return None


def resample_image(
    image: NDArray,
    shape: Sequence[int],
    separate: int | None = None,
    order: int = 3,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """An image on a grid of another shape that covers the same space.

    Values stay in the range of each channel, since splines overshoot at edges; where slices are
    interpolated apart from each other, in the range of their own slice. Only some slices are held
    at a time, so that `image` and `out` may be memory maps of volumes that do not fit in
    memory.

    Args:
        image: `(*spatial, channels)`.
        shape: Wished size along each spatial axis.
        separate: Axis whose slices are interpolated in their plane, and taken over from the
            nearest along it; see `thick_axis`.
        order: Of the spline, 0 to 5.
        out: Where to write; `None` makes an array, see `keras_robust.common.large_arrays`.

    Returns:
        `out`, or a float32 array `(*shape, channels)`.

    Raises:
        ValueError: As many sizes as spatial axes are needed, from 1.
    """
    old = image.shape[:-1]
    shape = _checked(old, shape)
    result = large_array((*shape, image.shape[-1])) if out is None else out
    if shape == old:
        result[...] = image
        return result
    mixed = tuple(axis for axis in range(len(shape)) if axis != separate)
    low, high = image.min(axis=mixed, keepdims=True), image.max(axis=mixed, keepdims=True)
    if separate is not None:
        nearest = _nearest(old[separate], shape[separate])
        low, high = low.take(nearest, axis=separate), high.take(nearest, axis=separate)
    for rows, read, weights in _parts(old, shape, separate, order, image.shape[-1]):
        part = _interpolated(image[read].astype(np.float32), weights)
        own = rows if separate == 0 else slice(None)
        result[rows] = np.clip(part, low[own], high[own])
    return result


def resample_labels(
    labels: NDArray[np.uint8], shape: Sequence[int], separate: int | None = None
) -> NDArray[np.uint8]:
    """A mask on a grid of another shape: the label whose own map of 0 and 1, interpolated
    linearly, is highest.

    Of labels that are equally high, which even factors make along every boundary, the nearest
    voxel's is taken, else the lowest: places decide, not the numbers of labels, so that structures
    neither shrink nor grow on average. The result is that of nnU-Net's `resample_data_or_seg` with
    batchgenerators 0.25.5, whose sums of weights are repeated in the same order.

    Args:
        labels: `(*spatial)`.
        shape: Wished size along each axis.
        separate: As for `resample_image`.

    Returns:
        Labels that occur in `labels`, of the given shape.

    Raises:
        ValueError: As many sizes as axes are needed, from 1.

    >>> resample_labels(np.array([[0, 2]], np.uint8), (1, 4))
    array([[0, 0, 2, 2]], dtype=uint8)
    """
    shape = _checked(labels.shape, shape)
    result = np.empty(shape, np.uint8)
    sizes = list(zip(labels.shape, shape, strict=True))
    neighbours = [_neighbours(*size, axis == separate) for axis, size in enumerate(sizes)]
    nearest = [_nearest(*size) for size in sizes]
    for rows in slabs((*shape, 2 ** len(shape))):
        first = [(indices[rows], weights[rows]) for indices, weights in neighbours[0]]
        near = labels[np.ix_(nearest[0][rows], *nearest[1:])]
        result[rows] = _highest(labels, [first, *neighbours[1:]], near)
    return result


Neighbours = list[tuple[NDArray[np.int64], NDArray[np.float64]]]  # indices and weights of one axis


def _highest(
    labels: NDArray[np.uint8], neighbours: Sequence[Neighbours], near: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Of the labels around each point the one with the highest sum of weights; see above."""
    corners = [tuple(zip(*corner, strict=True)) for corner in product(*neighbours)]
    around = [labels[np.ix_(*indices)] for indices, _ in corners]
    mixed = np.zeros(near.shape, bool)
    for block in around[1:]:
        mixed |= block != around[0]
    points = np.nonzero(mixed)
    found = [block[points] for block in around]
    shares = [
        prod(along[at] for along, at in zip(weights, points, strict=True)) for _, weights in corners
    ]
    best, winner = np.zeros(len(points[0])), found[0]
    of_nearest, nearest = best.copy(), near[points]
    for value in np.unique(found):
        share = np.zeros_like(best)
        for label, weight in zip(found, shares, strict=True):
            share += weight * (label == value)
        winner = np.where(share > best, value, winner)
        best = np.maximum(share, best)
        of_nearest = np.where(nearest == value, share, of_nearest)
    result = around[0]
    result[points] = np.where(of_nearest == best, nearest, winner)
    return result


def _centres(old: int, new: int) -> NDArray[np.float64]:
    """Of new voxels, in old ones; rounded as by `scipy.ndimage.zoom`, which decides halves."""
    return (np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5


def _nearest(old: int, new: int) -> NDArray[np.int64]:
    """Old voxels of new ones, of two that are equally near the one further along."""
    return np.clip(np.floor(_centres(old, new) + 0.5).astype(np.int64), 0, old - 1)


def _neighbours(old: int, new: int, separate: bool) -> Neighbours:
    if separate or old == new:
        return [(_nearest(old, new), np.ones(new))]
    centres = _centres(old, new)
    lower = np.floor(centres).astype(np.int64)
    weight = 1 - (centres - lower)
    last = old - 1  # outside, edges are repeated
    return [(np.clip(lower, 0, last), weight), (np.clip(lower + 1, 0, last), 1 - weight)]


def _parts(
    old: Sequence[int], new: Sequence[int], separate: int | None, order: int, channels: int
) -> Iterator[tuple[slice, slice, list[NDArray[np.float32]]]]:
    """Slices of the result, the slices that they come from, and the weights along each axis."""
    first, *others = (
        _weights(n, count, None if axis == separate else order)
        for axis, (n, count) in enumerate(zip(old, new, strict=True))
    )
    largest = (max(n, count) for n, count in zip(old[1:], new[1:], strict=True))
    for rows in slabs((new[0], -(-old[0] // new[0]), *largest, channels)):
        touched = np.flatnonzero(first[rows].any(axis=0))
        read = slice(int(touched[0]), int(touched[-1]) + 1)
        yield rows, read, [first[rows, read], *others]


def _interpolated(
    part: NDArray[np.float32], weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    for axis, matrix in enumerate(weights):
        if matrix.shape[0] != matrix.shape[1] or (matrix != np.eye(len(matrix))).any():
            part = np.moveaxis(np.tensordot(matrix, part, (1, axis)), 0, axis)
    return part


def _weights(old: int, new: int, order: int | None) -> NDArray[np.float32]:
    """(new, old): the spline as a matrix, since it is linear and its axes are independent; without
    an order the nearest voxel, of two the one further along, as in nnU-Net.

    Interpolation is between the centres of voxels; outside, edges are repeated.
    """
    if order is None or old == new:
        return (_nearest(old, new)[:, np.newaxis] == np.arange(old)).astype(np.float32)
    options = {"order": order, "mode": "nearest", "grid_mode": True, "prefilter": order > 1}
    rows = [scipy.ndimage.zoom(row, new / old, np.float32, **options) for row in np.eye(old)]
    weights = np.stack(rows, axis=1)
    # Far from a voxel, a cubic spline's weights fall by a quarter with each step.
    return np.where(abs(weights) < SMALLEST_WEIGHT, np.float32(0), weights)


def _checked(current: tuple[int, ...], shape: Sequence[int]) -> tuple[int, ...]:
    wished = tuple(int(n) for n in shape)
    if len(wished) != len(current) or min(wished) < 1:
        raise invalid(
            "shape",
            f"{len(current)} sizes from 1 for an array of {current}",
            said=f"shape={wished}",
        )
    return wished
