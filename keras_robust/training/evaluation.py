"""Dice of a model's predictions on a source, without leaving the graph but for the counts."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_robust.data.regions import Regions
from keras_robust.training.source import Source
from keras_robust.training.whole_images.stream import evaluation_stream


class DiceScores(NamedTuple):
    """Dice of each image `(n,)`, the mean over foreground classes where there are several, and
    of all images pooled into one."""

    per_image: np.ndarray
    pooled: float


class Evaluator:
    """Scores a model on the images of a source against its masks, again and again.

    Args:
        model: Returns probabilities, `(B, *spatial, 1)` or `(B, *spatial, K)`.
        source: Images, and the masks to compare with.
        batch_size: Images per forward pass.
        normalize: See `DataConfig`.
        threads: See `TrainConfig`.
        ignore_label: Label of pixels that do not count.
    """

    def __init__(
        self,
        model: keras.Model,
        source: Source,
        *,
        batch_size: int,
        normalize: str = "range",
        threads: int | None = None,
        ignore_label: int | None = None,
    ):
        self.ids = source.ids
        self._stream = evaluation_stream(
            source, batch_size=batch_size, normalize=normalize, threads=threads
        )
        # One trace for full and partial batches.
        signature = [
            tf.TensorSpec((None, *spec.shape[1:]), spec.dtype) for spec in self._stream.element_spec
        ]
        self._counts = tf.function(
            lambda images, masks: overlap_counts(
                model(images, training=False), masks, ignore_label
            ),
            input_signature=signature,
        )

    def scores(self) -> DiceScores:
        """Dice of the model as it is now."""
        both, total = [], []
        for images, masks in self._stream:
            counts = self._counts(images, masks)
            both.append(counts[0].numpy())
            total.append(counts[1].numpy())
        return dice_scores(np.concatenate(both), np.concatenate(total))


def overlap_counts(
    probabilities: tf.Tensor,
    masks: tf.Tensor,
    ignore_label: int | None = None,
    regions: Regions = (),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Size of the intersection and sum of both sizes, per image and foreground class `(B, K-1)`.

    One channel is foreground above 0.5; of several the largest wins. With `regions`, each channel
    is that of a region, which counts above 0.5 like a class `(B, R)`. Masks are labels
    `(B, *spatial, 1)`, or probabilities of classes, which count like predictions.
    """
    soft = masks.shape[-1] > 1
    if soft and not regions:
        masks = tf.argmax(masks, axis=-1)[..., tf.newaxis]
    if regions:
        predicted = tf.cast(probabilities > 0.5, tf.float32)
        inside = [
            tf.add_n([masks[..., label : label + 1] for label in members]) > 0.5
            if soft
            else tf.reduce_any([tf.equal(masks, label) for label in members], axis=0)
            for _, members in regions
        ]
        true = tf.cast(tf.concat(inside, axis=-1), tf.float32)
    elif probabilities.shape[-1] == 1:
        predicted = tf.cast(probabilities > 0.5, tf.float32)
        true = tf.cast(tf.cast(masks, tf.float32) > 0.5, tf.float32)
    else:
        classes = probabilities.shape[-1]
        predicted = tf.one_hot(tf.argmax(probabilities, axis=-1), classes)[..., 1:]
        # Over several devices Keras first builds its metrics with labels of float32.
        true = tf.one_hot(tf.cast(masks[..., 0], tf.int32), classes)[..., 1:]
    if ignore_label is not None and not soft:
        counted = tf.cast(masks != ignore_label, tf.float32)
        predicted, true = predicted * counted, true * counted
    axes = list(range(1, len(probabilities.shape) - 1))
    both = tf.reduce_sum(predicted * true, axis=axes)
    return both, tf.reduce_sum(predicted, axis=axes) + tf.reduce_sum(true, axis=axes)


def dice_scores(both: np.ndarray, total: np.ndarray) -> DiceScores:
    """Scores from the counts of `overlap_counts`; a class that is in neither mask scores 1."""
    return DiceScores(
        _ratio(both, total).mean(axis=-1), float(_ratio(both.sum(0), total.sum(0)).mean())
    )


def evaluation_batch_size(shape: tuple[int, ...], features: int) -> int:
    """Images whose widest activations stay near 128 MB in float32; 64 at most."""
    return int(np.clip(2**25 // (np.prod(shape[:-1]) * features), 1, 64))


def _ratio(both, total):
    both, total = both.astype(np.float64), total.astype(np.float64)
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)
