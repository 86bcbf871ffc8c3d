"""Batches of patches: by `tf.data` on TensorFlow, by threads of Python on other backends."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

import keras
import numpy as np

from keras_robust.training.feeding.ahead import ahead
from keras_robust.training.feeding.reading import told
from keras_robust.training.patches.patches import Patches, of_outputs

__all__ = ["patch_batches"]


def patch_batches(
    patches: Patches,
    first_epoch: int = 0,
    strides: Sequence[Sequence[int]] | None = None,
    threads: int | None = None,
) -> Iterable[Any]:
    """Endless batches of patches, epoch after epoch: by `tf.data` on TensorFlow, by threads of
    Python on other backends.

    Args:
        patches: Which.
        first_epoch: Epoch to start with.
        strides: Of each output of a deeply supervised network against the patch; `None` for one
            output.
        threads: Threads that make patches; `None` for TensorFlow's choice, or one per processor.

    Returns:
        Batches `(B, *patch_size, channels)` float32 and `(B, *patch_size, 1)` uint8, or the
        probabilities of soft masks, float32; a tuple of these with `strides`: of each output those
        of the nearest voxels.
    """
    if keras.backend.backend() == "tensorflow":
        from keras_robust.training.patches.stream import patch_stream

        return patch_stream(patches, first_epoch, strides, threads)
    return _numpy_batches(patches, first_epoch, strides, threads)


def _numpy_batches(
    patches: Patches, first_epoch: int, strides: Sequence[Sequence[int]] | None, threads: int | None
) -> Iterator[Any]:
    size = patches.plan.batch_size
    make = told(patches.numbered, patches.id_of)
    made = ahead(make, count(first_epoch * patches.per_epoch), threads, held=2 * size)
    while True:
        images, targets = (np.stack(parts) for parts in zip(*islice(made, size), strict=True))
        yield images, of_outputs(targets, strides)
