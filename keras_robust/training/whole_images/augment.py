"""Augmentation and normalisation of whole batches, from random numbers drawn beforehand."""

import tensorflow as tf

FLIP_PROBABILITY = 0.5
GAMMA_PROBABILITY = 0.3
GAMMA_RANGE = (0.7, 1.5)


def draws_per_image(axes: int) -> int:
    """Uniform numbers that `augment_batch` needs: one per axis, whether and which gamma."""
    return axes + 2


def augment_batch(
    images: tf.Tensor, masks: tf.Tensor, draws: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirror images and masks and raise images to a power.

    Args:
        images: `(B, H, W, C)`, or with three axes, in [0, 1].
        masks: `(B, H, W, 1 or K)`, or with three axes.
        draws: `(B, 4)`, uniform in [0, 1): mirrored along the first and the second axis with
            probability 0.5 each, gamma changed with probability 0.3 to one in [0.7, 1.5). For
            volumes `(B, 5)`; the last decides on the third axis.

    Returns:
        Images and masks of the same shapes.

    References:
        [Gonzalez-Jimenez et al., 2023](https://arxiv.org/abs/2306.00753): "mirroring, flipping and
        gamma"; probabilities and range as nnU-Net's and the released code's.
    """
    draws = tf.reshape(draws, (-1, draws.shape[1], *[1] * (len(images.shape) - 1)))
    for axis, number in enumerate((0, 1, 4)[: len(images.shape) - 2], start=1):
        flip = draws[:, number] < FLIP_PROBABILITY
        images = tf.where(flip, tf.reverse(images, [axis]), images)
        masks = tf.where(flip, tf.reverse(masks, [axis]), masks)
    low, high = GAMMA_RANGE
    chosen = low + (high - low) * draws[:, 3]
    # The logarithm once and the exponential once: half the time of a power on CPU.
    gamma = tf.where(draws[:, 2] < GAMMA_PROBABILITY, chosen, 1.0)
    powered = tf.exp(gamma * tf.math.log(tf.maximum(images, 1e-7)))
    return tf.where(gamma == 1.0, images, powered), masks
