"""Augmentation of whole batches, from random numbers drawn beforehand, on every backend."""

from typing import Any

from keras import ops

from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range

FLIP_PROBABILITY = 0.5
GAMMA_PROBABILITY = 0.3
GAMMA_RANGE = (0.7, 1.5)


def draws_per_image(axes: int) -> int:
    """Uniform numbers that `augment_batch` needs: one per axis, whether and which gamma."""
    return axes + 2


def finished(images: Any, masks: Any, draws: Any, augment: bool, normalize: str) -> tuple[Any, Any]:
    """Images as they are stored and their masks as a model is to see them; see
    `training_stream`."""
    images = to_unit_range(images)
    if augment:
        images, masks = augment_batch(images, masks, draws)
    return normalize_batch(images, normalize), masks


def augment_batch(images: Any, masks: Any, draws: Any) -> tuple[Any, Any]:
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
    draws = ops.reshape(draws, (-1, draws.shape[1], *[1] * (len(images.shape) - 1)))
    for axis, number in enumerate((0, 1, 4)[: len(images.shape) - 2], start=1):
        flip = draws[:, number] < FLIP_PROBABILITY
        images = ops.where(flip, ops.flip(images, axis), images)
        masks = ops.where(flip, ops.flip(masks, axis), masks)
    low, high = GAMMA_RANGE
    chosen = low + (high - low) * draws[:, 3]
    # The logarithm once and the exponential once: half the time of a power on CPU.
    gamma = ops.where(draws[:, 2] < GAMMA_PROBABILITY, chosen, 1.0)
    powered = ops.exp(gamma * ops.log(ops.maximum(images, 1e-7)))
    return ops.where(gamma == 1.0, images, powered), masks
