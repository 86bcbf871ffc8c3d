"""Augmentation and normalisation of whole batches, from random numbers drawn beforehand."""

import tensorflow as tf

DRAWS = 4  # uniform numbers per image: flip rows, flip columns, change gamma or not, which gamma
FLIP_PROBABILITY = 0.5
GAMMA_PROBABILITY = 0.3
GAMMA_RANGE = (0.7, 1.5)


def augment_batch(
    images: tf.Tensor, masks: tf.Tensor, draws: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirror images and masks and raise images to a power.

    Args:
        images: `(B, H, W, C)` in [0, 1].
        masks: `(B, H, W, 1)`.
        draws: `(B, 4)`, uniform in [0, 1): mirrored top to bottom and left to right with
            probability 0.5 each, gamma changed with probability 0.3 to one in [0.7, 1.5).

    Returns:
        Images and masks of the same shapes.

    References:
        [Gonzalez-Jimenez et al., 2023](https://arxiv.org/abs/2306.00753): "mirroring, flipping and
        gamma"; probabilities and range as nnU-Net's and the released code's.
    """
    draws = draws[:, :, tf.newaxis, tf.newaxis, tf.newaxis]
    for axis in (1, 2):
        flip = draws[:, axis - 1] < FLIP_PROBABILITY
        images = tf.where(flip, tf.reverse(images, [axis]), images)
        masks = tf.where(flip, tf.reverse(masks, [axis]), masks)
    low, high = GAMMA_RANGE
    chosen = low + (high - low) * draws[:, 3]
    # The logarithm once and the exponential once: half the time of a power on CPU.
    gamma = tf.where(draws[:, 2] < GAMMA_PROBABILITY, chosen, 1.0)
    powered = tf.exp(gamma * tf.math.log(tf.maximum(images, 1e-7)))
    return tf.where(gamma == 1.0, images, powered), masks


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """8-bit images from 0..255, deeper ones from their own minimum..maximum, to 0..1."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    low = tf.reduce_min(images, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)
    return tf.math.divide_no_nan(images - low, high - low)


def normalize_batch(images: tf.Tensor, normalize: str) -> tf.Tensor:
    """Images in [0, 1] to [-1, 1] (`"range"`) or to mean 0 and deviation 1 (`"zscore"`)."""
    if normalize == "range":
        return images * 2.0 - 1.0
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    deviation = images - mean
    variance = tf.reduce_mean(tf.square(deviation), axis=(1, 2), keepdims=True)
    return deviation * tf.math.rsqrt(variance + 1e-8)
