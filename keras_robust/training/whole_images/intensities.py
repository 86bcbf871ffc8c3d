"""Intensities of whole images."""

import tensorflow as tf


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """8-bit images from 0..255, deeper ones from their own minimum..maximum, to 0..1."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    axes = tuple(range(1, len(images.shape)))
    low = tf.reduce_min(images, axis=axes, keepdims=True)
    high = tf.reduce_max(images, axis=axes, keepdims=True)
    return tf.math.divide_no_nan(images - low, high - low)


def normalize_batch(images: tf.Tensor, normalize: str) -> tf.Tensor:
    """Images in [0, 1] to [-1, 1] (`"range"`) or to mean 0 and deviation 1 (`"zscore"`)."""
    if normalize == "range":
        return images * 2.0 - 1.0
    axes = tuple(range(1, len(images.shape) - 1))
    mean = tf.reduce_mean(images, axis=axes, keepdims=True)
    deviation = images - mean
    variance = tf.reduce_mean(tf.square(deviation), axis=axes, keepdims=True)
    return deviation * tf.math.rsqrt(variance + 1e-8)
