"""Intensities as a network wants them, by the name of each channel, as nnU-Net does."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.planning.fingerprint import Intensities

__all__ = ["normalize"]

SMALLEST_STD = 1e-8


def normalize(
    image: NDArray,
    schemes: Sequence[str],
    intensities: Sequence[Intensities] | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Normalise each channel.

    Args:
        image: `(*spatial, channels)`.
        schemes: Of each channel: `"zscore"` (mean 0 and standard deviation 1 of this image),
            `"ct"` (clipped to the 0.5 and 99.5 percentiles of the foreground of all cases, then
            their mean and standard deviation), `"rescale_to_0_1"`, `"rgb_to_0_1"` (by 255),
            `"none"`.
        intensities: Of the foreground of each channel over all cases; needed for `"ct"`.
        inside: `(*spatial)`; z-scores are taken over these voxels, and the others stay 0.

    Returns:
        float32, of the same shape; see `keras_robust.common.large_arrays.large_array`.

    Raises:
        ValueError: Another number of schemes than channels, an unknown one, or `"ct"` without
            `intensities`.

    >>> normalize(np.array([[[0.0], [2.0]]]), ["zscore"])[..., 0]
    array([[-1.,  1.]], dtype=float32)
    """
    if len(schemes) != image.shape[-1]:
        raise invalid(
            "schemes", f"{image.shape[-1]}, one per channel", said=f"schemes={tuple(schemes)}"
        )
    if intensities is None and "ct" in schemes:
        raise invalid(
            "intensities",
            'those of the data set\'s foreground, which "ct" needs',
            said="intensities=None",
        )
    result = large_array(image.shape)
    for number, scheme in enumerate(schemes):
        values = image[..., number]
        masked = inside if scheme == "zscore" else None
        known = None if intensities is None else intensities[number]
        low, high, shift, scale = _scaling(values, scheme, known, masked)
        for rows in slabs(values.shape):
            scaled = (np.clip(values[rows].astype(np.float32), low, high) - shift) / scale
            result[rows, ..., number] = scaled if masked is None else scaled * masked[rows]
    return result


def _scaling(
    values: NDArray, scheme: str, known: Intensities | None, inside: NDArray[np.bool_] | None
) -> tuple[float, float, float, float]:
    """Least and greatest value to keep, what to subtract, and what to divide by."""
    match scheme:
        case "none":
            return -np.inf, np.inf, 0, 1
        case "rgb_to_0_1":
            return -np.inf, np.inf, 0, 255
        case "rescale_to_0_1":
            low, high = float(np.float32(values.min())), float(np.float32(values.max()))
            return low, high, low, max(high - low, SMALLEST_STD)
        case "ct" if known is not None:
            limits = known.percentile_00_5, known.percentile_99_5
            return *limits, known.mean, max(known.std, SMALLEST_STD)
        case "zscore":
            mean, std = _mean_and_std(values, inside if inside is None or inside.any() else None)
            return -np.inf, np.inf, mean, max(std, np.float64(SMALLEST_STD))
    raise invalid("schemes", "zscore, ct, rescale_to_0_1, rgb_to_0_1 or none", said=f"{scheme!r}")


def _mean_and_std(
    values: NDArray, inside: NDArray[np.bool_] | None
) -> tuple[np.float64, np.float64]:
    # Sums of float32 lose digits over millions of voxels.
    def mean_of(function: Callable[[NDArray], NDArray]) -> np.float64:
        total, count = np.float64(0), 0
        for rows in slabs(values.shape):
            part = values[rows] if inside is None else values[rows][inside[rows]]
            total += function(part.astype(np.float64)).sum()
            count += part.size
        return total / count

    mean = mean_of(lambda part: part)
    return mean, np.sqrt(mean_of(lambda part: (part - mean) ** 2))
