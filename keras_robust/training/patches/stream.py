"""Batches of patches as `tf.data`."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_robust.training.feeding.graph import from_python, stream_options
from keras_robust.training.patches.patches import Patches, of_outputs

__all__ = ["patch_stream"]


def patch_stream(
    patches: Patches,
    first_epoch: int = 0,
    strides: Sequence[Sequence[int]] | None = None,
    threads: int | None = None,
) -> tf.data.Dataset:
    """What `patch_batches` says."""

    def load(index):
        return from_python(patches.numbered, index, patches.like, patches.id_of)

    def targets(images, labels):
        return images, of_outputs(labels, strides)

    first = first_epoch * patches.per_epoch
    numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    loaded = numbers.map(load, num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True)
    batches = loaded.batch(patches.plan.batch_size, drop_remainder=True).map(targets)
    return batches.prefetch(2).with_options(stream_options(threads))
