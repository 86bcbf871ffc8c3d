"""nnU-Net's augmentation of patches, in its order, with its probabilities and ranges."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keras_robust.training.patches.drawing import cut, cut_target

__all__ = ["augment", "is_flat", "sample"]

FLAT = 3  # a patch so many times shorter along its first axis is turned within its slices alone
LONG = 1.5  # a 2-D patch so many times longer than wide is turned by 15 degrees at most

ROTATION, SCALING, SCALES = 0.2, 0.2, (0.7, 1.4)
NOISE, NOISE_STD = 0.1, (0.0, 0.1)
BLUR, BLUR_SIGMA, BLUR_TRUNCATE = 0.2, (0.5, 1.0), 3.0
BRIGHTNESS, CONTRAST, FACTORS = 0.15, 0.15, (0.75, 1.25)
LOW_RESOLUTION, RESOLUTIONS = 0.25, (0.5, 1.0)
PER_CHANNEL = 0.5  # of blur and low resolution
INVERTED_GAMMA, GAMMA, GAMMAS = 0.1, 0.3, (0.7, 1.5)
MIRROR = 0.5
SMALLEST = 1e-7


def is_flat(patch_size: Sequence[int]) -> bool:
    """Whether slices along the first axis are turned and scaled as one.

    >>> is_flat((20, 320, 256)), is_flat((40, 56, 40))
    (True, False)
    """
    return len(patch_size) == 3 and max(patch_size) / patch_size[0] > FLAT


def sample(
    image,
    labels,
    start: Sequence[int],
    patch_size: Sequence[int],
    generator: np.random.Generator,
    previous=None,
) -> tuple[NDArray, ...]:
    """A patch, at times turned and scaled about its centre, of image and labels.

    Both are interpolated linearly, labels as the maps of each, 0 outside; a patch that is neither
    turned nor scaled is only read.

    Args:
        image: `(*spatial, channels)`, anything that can be sliced.
        labels: `(*spatial)`, or those of soft masks; see `cut_target`.
        start: First voxel of the patch.
        patch_size: In voxels.
        generator: Of random numbers.
        previous: Labels that the previous stage of a cascade predicted, moved along.

    Returns:
        `(*patch_size, channels)`, and `(*patch_size)` or `(*patch_size, K - 1)`; with `previous`
        that as well, `(*patch_size)`.
    """
    matrix = _draw_matrix(generator, patch_size)
    maps = [labels] if previous is None else [labels, previous]
    if matrix is None:
        patch = cut(image, start, patch_size).astype(np.float32)
        return patch, *(cut_target(one, start, patch_size) for one in maps)
    centre = (np.array(patch_size) - 1) / 2
    corners = np.array(list(product(*((0, edge - 1) for edge in patch_size)))) - centre
    reached = corners @ matrix.T + centre
    low = np.floor(reached.min(axis=0)).astype(int)
    size = np.ceil(reached.max(axis=0)).astype(int) + 2 - low
    first = low + np.array(start)
    image, maps = cut(image, first, size), [cut_target(one, first, size) for one in maps]
    offset = centre - matrix @ centre - low

    def moved(one: NDArray) -> NDArray:
        of_labels = _affine_labels if one.ndim == len(patch_size) else _affine_channels
        return of_labels(one, matrix, offset, patch_size)

    return _affine_channels(image, matrix, offset, patch_size), *map(moved, maps)


def augment(
    image: NDArray[np.float32],
    labels: NDArray,
    generator: np.random.Generator,
    mirror_axes: Sequence[int],
    keep_zero: bool = False,
    previous: NDArray[np.uint8] | None = None,
) -> tuple[NDArray, ...]:
    """Noise, blur, brightness, contrast, low resolution, gamma and mirroring, each at times.

    Args:
        image: `(*patch_size, channels)`; may be overwritten.
        labels: `(*patch_size)`, or `(*patch_size, K - 1)`, which are mirrored alone, too.
        generator: Of random numbers.
        mirror_axes: Axes that may be mirrored.
        keep_zero: Leave what is 0 in every channel 0, as where z-scores are those of the voxels
            that are not.
        previous: As of `sample`; mirrored alone.

    Returns:
        Image and labels of the same shapes; with `previous` that as well.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 4.
    """
    outside = (image == 0).all(axis=-1) if keep_zero else None
    happens = generator.random
    channels = range(image.shape[-1])
    if happens() < NOISE:
        std = np.float32(generator.uniform(*NOISE_STD))
        image += std * generator.standard_normal(image.shape, np.float32)
    if happens() < BLUR:
        for channel in channels:
            if happens() < PER_CHANNEL:
                for axis in range(image.ndim - 1):
                    image[..., channel] = ndimage.gaussian_filter1d(
                        image[..., channel],
                        generator.uniform(*BLUR_SIGMA),
                        axis,
                        mode="mirror",
                        truncate=BLUR_TRUNCATE,
                    )
    if happens() < BRIGHTNESS:
        image *= np.array([_factor(generator, FACTORS) for _ in channels], np.float32)
    if happens() < CONTRAST:
        for channel in channels:
            _contrast(image[..., channel], _factor(generator, FACTORS))
    if happens() < LOW_RESOLUTION:
        for channel in channels:
            if happens() < PER_CHANNEL:
                scale = generator.uniform(*RESOLUTIONS)
                kept = 0 if is_flat(image.shape[:-1]) else None
                image[..., channel] = _low_resolution(image[..., channel], scale, kept)
    for probability, sign in ((INVERTED_GAMMA, -1), (GAMMA, 1)):
        if happens() < probability:
            for channel in channels:
                gamma = _factor(generator, GAMMAS)
                image[..., channel] = sign * _gamma(sign * image[..., channel], gamma)
    flipped = tuple(axis for axis in mirror_axes if happens() < MIRROR)
    if outside is not None:
        image[outside] = 0
    maps = [image, labels] if previous is None else [image, labels, previous]
    return tuple(np.flip(one, flipped) for one in maps)


def _draw_matrix(generator: np.random.Generator, patch_size: Sequence[int]) -> NDArray | None:
    """From offsets in the patch to offsets in the image; `None` for the same."""
    turned, scaled = generator.random() < ROTATION, generator.random() < SCALING
    if not (turned or scaled):
        return None
    axes = len(patch_size)
    first = 1 if is_flat(patch_size) else 0
    matrix = np.eye(axes)
    if turned:
        if axes - first == 2:
            most = 15 if axes == 2 and max(patch_size) / min(patch_size) > LONG else 180
            planes = [(first, first + 1)]
        else:
            most, planes = 30, [(1, 2), (0, 2), (0, 1)]
        for plane in planes:
            angle = np.deg2rad(generator.uniform(-most, most))
            turn = np.eye(axes)
            turn[np.ix_(plane, plane)] = [
                [np.cos(angle), -np.sin(angle)],
                [np.sin(angle), np.cos(angle)],
            ]
            matrix = turn @ matrix
    if scaled:
        matrix[:, first:] *= generator.uniform(*SCALES)
    return matrix


def _affine(
    array: NDArray, matrix: NDArray, offset: NDArray, shape: Sequence[int]
) -> NDArray[np.float32]:
    return ndimage.affine_transform(
        array, matrix, offset, tuple(shape), np.float32, order=1, mode="grid-constant"
    )


def _affine_channels(
    array: NDArray, matrix: NDArray, offset: NDArray, shape: Sequence[int]
) -> NDArray[np.float32]:
    channels = range(array.shape[-1])
    return np.stack([_affine(array[..., c], matrix, offset, shape) for c in channels], axis=-1)


def _affine_labels(
    labels: NDArray[np.uint8], matrix: NDArray, offset: NDArray, shape: Sequence[int]
) -> NDArray[np.uint8]:
    """The label, background outside, whose own map is highest after interpolation."""
    found, rest = np.zeros(tuple(shape), np.uint8), np.ones(tuple(shape), np.float32)
    shares = {}
    for value in np.flatnonzero(np.bincount(labels.ravel()))[::-1]:
        if value:
            shares[value] = _affine((labels == value).astype(np.float32), matrix, offset, shape)
            rest -= shares[value]
    best = rest
    for value, share in shares.items():
        higher = share > best
        best = np.where(higher, share, best)
        found[higher] = value
    return found


def _factor(generator: np.random.Generator, bounds: tuple[float, float]) -> float:
    """As often below 1 as above."""
    low, high = bounds
    return generator.uniform(low, 1) if generator.random() < 0.5 else generator.uniform(1, high)


def _contrast(channel: NDArray[np.float32], factor: float) -> None:
    """Away from the mean or towards it, within the range that there was, in place."""
    low, high, mean = channel.min(), channel.max(), channel.mean()
    channel -= mean
    channel *= np.float32(factor)
    channel += mean
    np.clip(channel, low, high, out=channel)


def _low_resolution(
    channel: NDArray[np.float32], scale: float, kept: int | None
) -> NDArray[np.float32]:
    """The nearest voxels of a coarser grid, and back by linear interpolation."""
    for axis, size in enumerate(channel.shape):
        coarse = max(1, round(size * scale))
        if axis == kept or coarse == size:
            continue
        taken = ((np.arange(coarse) + 0.5) * size / coarse).astype(int)
        place = np.clip((np.arange(size) + 0.5) * coarse / size - 0.5, 0, coarse - 1)
        before = place.astype(int)
        after = np.minimum(before + 1, coarse - 1)
        weight = (place - before).astype(np.float32)
        weight = weight.reshape([-1 if other == axis else 1 for other in range(channel.ndim)])
        below = channel.take(taken[before], axis)
        channel = below + weight * (channel.take(taken[after], axis) - below)
    return channel


def _gamma(channel: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    """The range from 0 to 1 raised to a power; mean and standard deviation stay."""
    mean, std = channel.mean(), channel.std()
    low = channel.min()
    extent = channel.max() - low
    powered = ((channel - low) / max(extent, SMALLEST)) ** np.float32(gamma)
    powered -= powered.mean()
    powered *= std / max(powered.std(), SMALLEST)
    return powered + mean
