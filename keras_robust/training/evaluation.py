"""Dice of a model's predictions on a source, computed where the model is but for the counts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_robust.data.regions import Regions
from keras_robust.models.compiled import compiled
from keras_robust.training.source import Source
from keras_robust.training.whole_images.batches import evaluation_batches, like_batches


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
        self._batches = evaluation_batches(
            source, batch_size=batch_size, normalize=normalize, threads=threads
        )
        self._counts = compiled(
            lambda images, masks: overlap_counts(
                model(images, training=False), masks, ignore_label
            ),
            model,
            like_batches(source),
        )

    def scores(self) -> DiceScores:
        """Dice of the model as it is now."""
        both, total = [], []
        for images, masks in self._batches:
            counts = self._counts(images, masks)
            both.append(ops.convert_to_numpy(counts[0]))
            total.append(ops.convert_to_numpy(counts[1]))
        return dice_scores(np.concatenate(both), np.concatenate(total))


def overlap_counts(
    probabilities: Any, masks: Any, ignore_label: int | None = None, regions: Regions = ()
) -> tuple[Any, Any]:
    """Size of the intersection and sum of both sizes, per image and foreground class `(B, K-1)`.

    One channel is foreground above 0.5; of several the largest wins. With `regions`, each channel
    is that of a region, which counts above 0.5 like a class `(B, R)`. Masks are labels
    `(B, *spatial, 1)`, or probabilities of classes, which count like predictions.
    """
    soft = masks.shape[-1] > 1
    if soft and not regions:
        masks = ops.argmax(masks, axis=-1)[..., None]
    # Over several devices Keras first builds its metrics with labels of float32.
    labels = masks if soft and regions else ops.cast(masks, "int32")
    if regions:
        predicted = ops.cast(probabilities > 0.5, "float32")
        inside = [_inside(labels, members, soft) for _, members in regions]
        true = ops.cast(ops.concatenate(inside, axis=-1), "float32")
    elif probabilities.shape[-1] == 1:
        predicted = ops.cast(probabilities > 0.5, "float32")
        true = ops.cast(ops.cast(masks, "float32") > 0.5, "float32")
    else:
        classes = probabilities.shape[-1]
        predicted = ops.one_hot(ops.argmax(probabilities, axis=-1), classes)[..., 1:]
        true = ops.one_hot(labels[..., 0], classes)[..., 1:]
    if ignore_label is not None and not soft:
        counted = ops.cast(labels != ignore_label, "float32")
        predicted, true = predicted * counted, true * counted
    axes = list(range(1, len(probabilities.shape) - 1))
    both = ops.sum(predicted * true, axis=axes)
    return both, ops.sum(predicted, axis=axes) + ops.sum(true, axis=axes)


def _inside(masks: Any, members: Sequence[int], soft: bool) -> Any:
    """Where a region is, `(B, *spatial, 1)`."""
    if soft:
        return sum(masks[..., label : label + 1] for label in members) > 0.5
    found = [ops.equal(masks, label) for label in members]
    return ops.any(ops.stack(found), axis=0)


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
