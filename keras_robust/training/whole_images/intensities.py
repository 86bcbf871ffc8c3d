"""Intensities of whole images, on every backend."""

from typing import Any

import keras
from keras import ops


def to_unit_range(images: Any) -> Any:
    """8-bit images from 0..255, deeper ones from their own minimum..maximum, to 0..1."""
    if keras.backend.standardize_dtype(images.dtype) == "uint8":
        return ops.cast(images, "float32") / 255.0
    axes = tuple(range(1, len(images.shape)))
    low = ops.min(images, axis=axes, keepdims=True)
    high = ops.max(images, axis=axes, keepdims=True)
    return ops.divide_no_nan(images - low, high - low)


def normalize_batch(images: Any, normalize: str) -> Any:
    """Images in [0, 1] to [-1, 1] (`"range"`) or to mean 0 and deviation 1 (`"zscore"`)."""
    if normalize == "range":
        return images * 2.0 - 1.0
    axes = tuple(range(1, len(images.shape) - 1))
    deviation = images - ops.mean(images, axis=axes, keepdims=True)
    variance = ops.mean(ops.square(deviation), axis=axes, keepdims=True)
    return deviation * ops.rsqrt(variance + 1e-8)
