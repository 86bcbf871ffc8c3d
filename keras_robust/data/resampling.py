"""Images and masks on another voxel grid, by the rules of nnU-Net."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keras_robust.data.large_arrays import large_array, slabs

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
        max(1, round(n * old / new))
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

    Values stay in the range of each channel, since splines overshoot at edges. Only some slices
    are held at a time, so that `image` and `out` may be memory maps of volumes that do not fit in
    memory.

    Args:
        image: `(*spatial, channels)`.
        shape: Wished size along each spatial axis.
        separate: Axis whose slices are interpolated in their plane, and taken over from the
            nearest along it; see `thick_axis`.
        order: Of the spline, 0 to 5.
        out: Where to write; `None` makes an array, see `keras_robust.data.large_arrays`.

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
    spatial = tuple(range(len(shape)))
    low, high = image.min(axis=spatial), image.max(axis=spatial)
    first, *others = (
        _weights(n, new, order if axis != separate else None)
        for axis, (n, new) in enumerate(zip(old, shape, strict=True))
    )
    largest = (max(n, new) for n, new in zip(old[1:], shape[1:], strict=True))
    for rows in slabs((shape[0], -(-old[0] // shape[0]), *largest, image.shape[-1])):
        touched = np.flatnonzero(first[rows].any(axis=0))
        read = slice(touched[0], touched[-1] + 1)
        part = image[read].astype(np.float32)
        for axis, weights in enumerate((first[rows, read], *others)):
            if weights.shape[0] != weights.shape[1] or (weights != np.eye(len(weights))).any():
                part = np.moveaxis(np.tensordot(weights, part, (1, axis)), 0, axis)
        result[rows] = np.clip(part, low, high)
    return result


def resample_labels(
    labels: NDArray[np.uint8], shape: Sequence[int], separate: int | None = None, order: int = 1
) -> NDArray[np.uint8]:
    """A mask on a grid of another shape: the label whose own map is highest after interpolation.

    Args:
        labels: `(*spatial)`.
        shape: Wished size along each axis.
        separate: As for `resample_image`.
        order: Of the interpolation of each label's map of 0 and 1.

    Returns:
        Labels that occur in `labels`, of the given shape.

    Raises:
        ValueError: As many sizes as axes are needed, from 1.

    >>> resample_labels(np.array([[0, 2]], np.uint8), (1, 4))
    array([[0, 0, 2, 2]], dtype=uint8)
    """
    shape = _checked(labels.shape, shape)
    if shape == labels.shape:
        return labels.copy()
    values = np.unique(labels)
    best = np.full(shape, -np.inf, np.float32)
    found = np.full(shape, values[0], np.uint8)
    for value in values:
        share = _resample((labels == value).astype(np.float32), shape, separate, order)
        higher = share > best
        best[higher], found[higher] = share[higher], value
    return found


def _weights(old: int, new: int, order: int | None) -> NDArray[np.float32]:
    """(new, old): the spline as a matrix, since it is linear and its axes are independent; without
    an order the nearest voxel, of two the lower."""
    if order is None or old == new:
        nearest = _nearest(old, new)
        return (nearest[:, np.newaxis] == np.arange(old)).astype(np.float32)
    weights = np.stack([_zoom(row, (new,), order) for row in np.eye(old, dtype=np.float32)], axis=1)
    # Far from a voxel, a cubic spline's weights fall by a quarter with each step.
    return np.where(abs(weights) < SMALLEST_WEIGHT, np.float32(0), weights)


def _nearest(old: int, new: int) -> NDArray[np.intp]:
    """Old slices nearest to the centres of the new ones, of two the lower."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    return np.clip(np.ceil(centres - 0.5), 0, old - 1).astype(np.intp)


def _resample(
    array: NDArray[np.float32], shape: tuple[int, ...], separate: int | None, order: int
) -> NDArray[np.float32]:
    if separate is None:
        return _zoom(array, shape, order)
    planes = np.moveaxis(array, separate, 0)
    in_plane = tuple(n for axis, n in enumerate(shape) if axis != separate)
    zoomed = np.stack([_zoom(plane, in_plane, order) for plane in planes])
    return np.moveaxis(zoomed[_nearest(len(planes), shape[separate])], 0, separate)


def _zoom(array: NDArray[np.float32], shape: tuple[int, ...], order: int) -> NDArray[np.float32]:
    """Spline interpolation between voxel centres, edges repeated outside."""
    if shape == array.shape:
        return array
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    return ndimage.zoom(
        array, factors, np.float32, order=order, mode="nearest", grid_mode=True, prefilter=order > 1
    )


def _checked(current: tuple[int, ...], shape: Sequence[int]) -> tuple[int, ...]:
    wished = tuple(int(n) for n in shape)
    if len(wished) != len(current) or min(wished) < 1:
        raise ValueError(
            f"Invalid value for argument `shape`. Expected {len(current)} sizes from 1 for an "
            f"array of {current}. Received: shape={wished}"
        )
    return wished
