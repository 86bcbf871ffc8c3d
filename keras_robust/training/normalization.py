"""Intensities as a network wants them, by the name of each channel, as nnU-Net does."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.fingerprint import Intensities

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
        float32, of the same shape.

    Raises:
        ValueError: Another number of schemes than channels, an unknown one, or `"ct"` without
            `intensities`.

    >>> normalize(np.array([[[0.0], [2.0]]]), ["zscore"])[..., 0]
    array([[-1.,  1.]], dtype=float32)
    """
    if len(schemes) != image.shape[-1]:
        raise ValueError(
            f"Invalid value for argument `schemes`. Expected {image.shape[-1]}, one per channel. "
            f"Received: schemes={tuple(schemes)}"
        )
    if intensities is None and "ct" in schemes:
        raise ValueError(
            "Invalid value for argument `intensities`. Expected those of the data set's "
            'foreground, which "ct" needs. Received: intensities=None'
        )
    channels = []
    for number, scheme in enumerate(schemes):
        known = None if intensities is None else intensities[number]
        channels.append(_channel(image[..., number].astype(np.float32), scheme, known, inside))
    return np.stack(channels, axis=-1)


def _channel(
    values: NDArray[np.float32],
    scheme: str,
    known: Intensities | None,
    inside: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    match scheme:
        case "none":
            return values
        case "rgb_to_0_1":
            return values / np.float32(255)
        case "rescale_to_0_1":
            low, high = values.min(), values.max()
            return (values - low) / max(high - low, SMALLEST_STD)
        case "ct" if known is not None:
            clipped = np.clip(values, known.percentile_00_5, known.percentile_99_5)
            return (clipped - known.mean) / max(known.std, SMALLEST_STD)
        case "zscore":
            counted = values if inside is None or not inside.any() else values[inside]
            # Sums of float32 lose digits over millions of voxels.
            mean, std = counted.mean(dtype=np.float64), counted.std(dtype=np.float64)
            scaled = ((values - mean) / max(std, SMALLEST_STD)).astype(np.float32)
            return scaled if inside is None else scaled * inside
    raise ValueError(
        "Invalid value for argument `schemes`. Expected zscore, ct, rescale_to_0_1, rgb_to_0_1 or "
        f"none. Received: {scheme!r}"
    )
