"""Predictions on images larger than the patch of a network, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain, combinations, product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.large_arrays import large_array
from keras_robust.common.progress import Progress

__all__ = ["gaussian_weights", "sliding_window", "window_starts"]

CACHED_VALUES = 2**16

Predict = Callable[[NDArray[np.float32]], Any]


def sliding_window(
    predict: Predict,
    image: NDArray,
    patch_size: Sequence[int],
    *,
    overlap: float = 0.5,
    batch_size: int = 1,
    mirror_axes: Sequence[int] = (),
    out: Any = None,
    progress: Progress | None = None,
) -> Any:
    """Predict overlapping patches and average them with Gaussian weights, as nnU-Net does.

    Images shorter than the patch are padded with zeros on both sides. One window that covers the
    image gives `predict`'s own values, bit for bit. Only as many slices along the first axis as a
    patch is long are held at a time, so that `image` and `out` may be memory maps of volumes that
    do not fit in memory.

    Args:
        predict: From patches `(batch, *patch_size, channels)`, float32, to `(batch, *patch_size,
            K)`: logits, whose averages are nnU-Net's, or any values.
        image: `(*spatial, channels)`, normalised as the network was trained; anything that can be
            sliced.
        patch_size: In voxels.
        overlap: Least share of a patch that the next one covers again, 0 <= overlap < 1.
        batch_size: Patches per call of `predict`.
        mirror_axes: Spatial axes; the prediction is the mean over all subsets of them mirrored.
        out: Where to write `(*spatial, K)`; `None` makes an array.
        progress: Called with (patches done, total).

    Returns:
        `out`, or a float32 array `(*spatial, K)`.

    Raises:
        ValueError: Sizes that do not fit, or an `overlap` or axes out of range.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 2.

    >>> image = np.arange(12.0).reshape(3, 4, 1)
    >>> halves = sliding_window(lambda patches: patches / 2, image, (2, 2))
    >>> np.allclose(halves, image / 2)
    True
    """
    shape, patch = tuple(image.shape[:-1]), tuple(int(n) for n in patch_size)
    _check(shape, patch, overlap, mirror_axes)
    padded = tuple(max(size, edge) for size, edge in zip(shape, patch, strict=True))
    before = tuple((big - size) // 2 for big, size in zip(padded, shape, strict=True))
    starts = [window_starts(size, edge, overlap) for size, edge in zip(padded, patch, strict=True)]
    across = list(product(*starts[1:]))
    total = len(starts[0]) * len(across)
    slab = _Slab(shape, patch, before, starts, out)
    # Filled again and again: what is padding in one window is so in all.
    buffer = np.zeros((min(batch_size, len(across)), *patch, image.shape[-1]), np.float32)
    done = 0
    for row, first in enumerate(starts[0]):
        slab.advance(first)
        for group in _batches(across, batch_size):
            corners = [(first, *rest) for rest in group]
            patches = buffer[: len(corners)]
            for cut, corner in zip(patches, corners, strict=True):
                _fill(cut, image, corner, before)
            for corner, values in zip(
                corners, mirrored(predict, patches, mirror_axes), strict=True
            ):
                slab.add(corner, values)
            done += len(group)
            if progress:
                progress(done, total)
        if row + 1 == len(starts[0]):
            slab.advance(padded[0])
    return slab.out


def window_starts(size: int, patch: int, overlap: float = 0.5) -> list[int]:
    """Where windows begin along an axis: evenly spread from 0 to `size - patch`, rounded.

    >>> window_starts(100, 40)
    [0, 20, 40, 60]
    >>> window_starts(30, 40)
    [0]
    """
    last = max(size - patch, 0)
    # A hair less, since 1 - 0.9 is more than 0.1 in binary.
    steps = ceil(last / max(patch * (1 - overlap), 1) - 1e-9)
    return [round(last * step / steps) for step in range(steps + 1)] if steps else [0]


def gaussian_weights(patch_size: Sequence[int]) -> NDArray[np.float32]:
    """Weights of the voxels of a patch: a Gaussian of σ = an eighth of each edge, at most 10.

    >>> float(gaussian_weights((8, 8)).max())
    10.0
    """
    return (10 * _outer([_gaussian(size) for size in patch_size])).astype(np.float32)


def _gaussian(size: int) -> NDArray[np.float64]:
    return np.exp(-(((np.arange(size) - size // 2) / (size / 8)) ** 2) / 2)


def _outer(vectors: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return reduce(np.multiply.outer, vectors, np.ones(()))


class _Slab:
    """Weighted sums over the windows that reach the current slices along the first axis.

    Slices that no further window reaches are divided by the sum of their weights and written to
    `out`; their place is taken by later ones, so that nothing is moved.
    """

    def __init__(self, shape, patch, before, starts, out):
        self.shape, self.patch, self.before, self.out = shape, patch, before, out
        self.first = 0
        self.one = all(len(along) == 1 for along in starts)
        # Windows and weights are products over the axes, and so are the sums of the weights.
        self.totals = []
        for size, along in zip(patch, starts, strict=True):
            total = np.zeros(along[-1] + size)
            for start in along:
                total[start : start + size] += _gaussian(size)
            self.totals.append(total)
        self.sum = np.zeros(0, np.float32)

    def _begin(self, channels: int) -> None:
        """Make the arrays; those of weights as deep as the sums, which is quicker by far."""
        across = tuple(slice(b, b + n) for b, n in zip(self.before, self.shape, strict=True))[1:]
        totals = [total[kept] for total, kept in zip(self.totals[1:], across, strict=True)]
        self.kept = across
        along, *others = (_gaussian(size) for size in self.patch)
        self.weights = _deep(_outer(others), channels)
        self.along = along.astype(np.float32).reshape(-1, *[1] * self.weights.ndim)
        self.inverse = _deep(1 / _outer(totals), channels)
        self.row = np.empty_like(self.inverse)
        self.sum = np.zeros((self.patch[0], *map(len, self.totals[1:]), channels), np.float32)
        # So few slices at a time that they stay in the cache of the processor.
        self.step = min(self.patch[0], max(1, CACHED_VALUES // self.weights.size))
        self.weighted = np.empty((self.step, *self.weights.shape), np.float32)
        if self.out is None:
            self.out = large_array((*self.shape, channels))

    def add(self, corner: tuple[int, ...], values: NDArray[np.float32]) -> None:
        if not self.sum.size:
            self._begin(values.shape[-1])
        across = tuple(slice(c, c + n) for c, n in zip(corner[1:], self.patch[1:], strict=True))
        if self.one:
            self.sum[(slice(None), *across)] = values
            return
        depth, low = self.patch[0], 0
        while low < depth:
            place = (corner[0] + low) % depth
            high = min(low + self.step, low + depth - place, depth)
            weighted = self.weighted[: high - low]
            np.multiply(self.weights, self.along[low:high], out=weighted)
            weighted *= values[low:high]
            self.sum[(slice(place, place + high - low), *across)] += weighted
            low = high

    def advance(self, first: int) -> None:
        """Write and drop the slices before `first`."""
        if self.sum.size:
            for row in range(self.first, first):
                values, target = self.sum[row % self.patch[0]], row - self.before[0]
                if 0 <= target < self.shape[0]:
                    mean = values[self.kept]
                    if not self.one:
                        mean = np.multiply(mean, self.inverse, out=self.row)
                        mean *= np.float32(1 / self.totals[0][row])
                    self.out[target] = mean
                values[...] = 0
        self.first = first


def _deep(weights: NDArray[np.float64], channels: int) -> NDArray[np.float32]:
    return np.repeat(weights.astype(np.float32)[..., np.newaxis], channels, axis=-1)


def _fill(cut: NDArray[np.float32], image, corner, before) -> None:
    """Copy the patch at `corner` of the padded image into zeros."""
    source, target = [], []
    for start, size, pad, length in zip(corner, cut.shape, before, image.shape, strict=False):
        low, high = max(start - pad, 0), min(start - pad + size, length)
        source.append(slice(low, high))
        target.append(slice(low + pad - start, high + pad - start))
    cut[tuple(target)] = image[tuple(source)]


def mirrored(predict: Predict, patches: NDArray, axes: Sequence[int]) -> NDArray[np.float32]:
    """Mean prediction over all subsets of mirrored axes.

    Args:
        predict: From `(batch, *spatial, C)` to `(batch, *spatial, K)`.
        patches: `(batch, *spatial, C)`.
        axes: Spatial axes, from 0; none for the prediction as it is.

    Raises:
        ValueError: A prediction of another shape.
    """
    subsets = list(chain.from_iterable(combinations(axes, n) for n in range(len(axes) + 1)))
    total = np.zeros(0, np.float32)
    for subset in subsets:
        flipped = tuple(axis + 1 for axis in subset)
        values = np.flip(np.asarray(predict(np.flip(patches, flipped)), np.float32), flipped)
        if values.shape[:-1] != patches.shape[:-1]:
            raise invalid(
                "predict",
                (
                    "a prediction for every voxel, (batch, *patch_size, K) with "
                    f"{patches.shape[:-1]}"
                ),
                said=f"{values.shape}",
            )
        total = total + values if total.size else values
    return total / np.float32(len(subsets)) if len(subsets) > 1 else total


def _batches(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _check(shape, patch, overlap, mirror_axes) -> None:
    if len(patch) != len(shape) or min((*shape, *patch)) < 1:
        raise invalid(
            "patch_size",
            (f"{len(shape)} positive sizes for an image of {shape} and its channels"),
            said=f"patch_size={patch}",
        )
    if not 0 <= overlap < 1:
        raise invalid("overlap", "0 <= overlap < 1", said=f"overlap={overlap}")
    if not all(0 <= axis < len(shape) for axis in mirror_axes):
        raise invalid(
            "mirror_axes",
            f"axes from 0 to {len(shape) - 1}",
            said=f"mirror_axes={tuple(mirror_axes)}",
        )
