"""Which patches an epoch consists of: a pure function of seed, epoch and number of the patch."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.files.maps import from_levels

__all__ = ["cut", "cut_target", "draw_start", "is_foreground"]


def is_foreground(position: int, batch_size: int, share: float) -> bool:
    """Whether a patch of a batch is drawn around foreground: the last ones are.

    Args:
        position: In the batch, from 0.
        batch_size: Patches per batch.
        share: Of such patches.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 4.

    >>> [is_foreground(position, 2, 0.33) for position in range(2)]
    [False, True]
    """
    return position >= round(batch_size * (1 - share))


def draw_start(
    generator: np.random.Generator,
    shape: Sequence[int],
    patch_size: Sequence[int],
    locations: Mapping[int, NDArray[np.int32]] | None = None,
) -> tuple[int, ...]:
    """The first voxel of a patch, along each axis.

    Args:
        generator: Of random numbers.
        shape: Of the image.
        patch_size: In voxels. Where an image is shorter, it lies in the middle of the patch.
        locations: Voxels of each class that is present, `(n, axes)`: the patch is centred on one
            of them, the class drawn first. It may then reach beyond the far edge of the image, as
            in nnU-Net. `None`, or no class, draws anywhere within the image.

    >>> draw_start(np.random.default_rng(0), (20, 6), (8, 8), {1: np.array([[19, 2]])})
    (15, -1)
    """
    # Along a short axis the image is centred, the odd voxel of padding first.
    low = [min(0, (size - edge) // 2) for size, edge in zip(shape, patch_size, strict=True)]
    if locations:
        classes = sorted(locations)
        voxels = locations[classes[generator.integers(len(classes))]]
        centre = voxels[generator.integers(len(voxels))]
        return tuple(
            max(first, int(voxel) - edge // 2)
            for first, voxel, edge in zip(low, centre, patch_size, strict=True)
        )
    high = [max(0, size - edge) for size, edge in zip(shape, patch_size, strict=True)]
    return tuple(
        int(generator.integers(first, last + 1)) if last > 0 else first
        for first, last in zip(low, high, strict=True)
    )


def cut(array, start: Sequence[int], size: Sequence[int]) -> NDArray:
    """A window of an array `(*spatial)` or `(*spatial, channels)`, 0 where it reaches outside.

    Only the window is read.

    >>> cut(np.arange(3), (1,), (3,))
    array([1, 2, 0])
    """
    axes = len(start)
    window = np.zeros((*size, *array.shape[axes:]), array.dtype)
    source, target = [], []
    for first, edge, length in zip(start, size, array.shape, strict=False):
        low, high = max(first, 0), min(first + edge, length)
        if low >= high:
            return window
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    window[tuple(target)] = array[tuple(source)]
    return window


def cut_target(labels, start: Sequence[int], size: Sequence[int]) -> NDArray:
    """A window of labels `(*spatial)`, or, float32, of the probabilities of the foreground classes
    that 255ths `(*spatial, K - 1)` stand for; background where it reaches outside.

    >>> cut_target(np.array([[51], [255]], np.uint8), (1,), (2,)).tolist()
    [[1.0], [0.0]]
    """
    window = cut(labels, start, size)
    return window if window.ndim == len(size) else from_levels(window)
