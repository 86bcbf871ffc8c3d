"""Batches of whole images: by `tf.data` on TensorFlow, by threads of Python on other backends."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count

import keras
import numpy as np
from numpy.typing import NDArray

from keras_robust.models.compiled import Like, compiled
from keras_robust.training.feeding.ahead import ahead
from keras_robust.training.feeding.reading import told
from keras_robust.training.source import MemorySource, Source, require_alike
from keras_robust.training.whole_images.augment import draws_per_image, finished
from keras_robust.training.whole_images.draws import draws_of_pass, order_of_pass

__all__ = ["batch_ids", "evaluation_batches", "like_batches", "numpy_batches", "training_batches"]

Batch = tuple[NDArray[np.float32], NDArray]


def training_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: bool = True,
    normalize: str = "range",
    threads: int | None = None,
) -> Iterable[Batch]:
    """Endless batches for `fit`: `training_stream` on TensorFlow, elsewhere the same in NumPy.

    Images, their order and their random numbers are the same on every backend; intensities differ
    in their last digits.
    """
    if keras.backend.backend() == "tensorflow":
        from keras_robust.training.whole_images.stream import training_stream

        return training_stream(
            source,
            batch_size=batch_size,
            seed=seed,
            first_step=first_step,
            augment=augment,
            normalize=normalize,
            threads=threads,
        )
    return numpy_batches(source, batch_size, seed, first_step, augment, normalize, threads)


def evaluation_batches(
    source: Source, *, batch_size: int, normalize: str = "range", threads: int | None = None
) -> Iterable[Batch]:
    """All images and masks once, in order, not augmented; may be gone through again and again."""
    if keras.backend.backend() == "tensorflow":
        from keras_robust.training.whole_images.stream import evaluation_stream

        return evaluation_stream(
            source, batch_size=batch_size, normalize=normalize, threads=threads
        )
    return _Again(partial(_evaluated, source, batch_size, normalize, threads))


def like_batches(source: Source) -> Like:
    """Shape and type of an image and a mask in a batch."""
    image, mask = source.image(0), source.mask(0)
    return [(image.shape, "float32"), (_with_channels(mask, image.ndim).shape, mask.dtype)]


def batch_ids(ids: tuple[str, ...], batch_size: int, seed: int, epoch: int, batch: int) -> list:
    """Ids of the images in one batch of a pass of `training_batches`."""
    order = order_of_pass(len(ids), seed, epoch)
    return [ids[index] for index in order[batch * batch_size : (batch + 1) * batch_size]]


class _Again:
    """Batches that are made anew whenever they are gone through."""

    def __init__(self, make: Callable[[], Iterator[Batch]]):
        self._make = make

    def __iter__(self) -> Iterator[Batch]:
        return self._make()


def numpy_batches(
    source: Source,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: bool = True,
    normalize: str = "range",
    threads: int | None = None,
) -> Iterator[Batch]:
    """What `training_stream` yields, without `tf.data`."""
    images = len(source.ids)
    numbers = draws_per_image(source.image(0).ndim - 1)
    steps = images // batch_size
    read, finish = _reader(source), _finisher(augment, normalize)

    def make(step: int) -> Batch:
        epoch, batch = divmod(step, steps)
        chosen = order_of_pass(images, seed, epoch)[batch * batch_size :][:batch_size]
        return finish(*read(chosen), draws_of_pass(images, numbers, seed, epoch)[chosen])

    return ahead(make, count(first_step), threads)


def _evaluated(
    source: Source, batch_size: int, normalize: str, threads: int | None
) -> Iterator[Batch]:
    images = len(source.ids)
    read, finish = _reader(source), _finisher(False, normalize)

    def make(first: int) -> Batch:
        chosen = np.arange(first, min(first + batch_size, images))
        return finish(*read(chosen), np.zeros((len(chosen), 1), np.float32))

    return ahead(make, range(0, images, batch_size), threads)


def _reader(source: Source) -> Callable[[NDArray[np.int64]], tuple[NDArray, NDArray]]:
    """From indices to images and masks, these with an axis of channels."""
    if isinstance(source, MemorySource):
        memory = source
        axes = memory.images.ndim
        return lambda chosen: (
            memory.images[chosen],
            _with_channels(memory.masks[chosen], axes),
        )
    first = source.image(0)

    def one(index: int) -> tuple[NDArray, NDArray]:
        image = source.image(index)
        require_alike(source, index, image, first.shape, first.dtype)
        return image, _with_channels(source.mask(index), image.ndim)

    read = told(one, lambda index: source.ids[index])

    def several(chosen: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        images, masks = zip(*(read(int(index)) for index in chosen), strict=True)
        return np.stack(images), np.stack(masks)

    return several


def _finisher(augment: bool, normalize: str) -> Callable[[NDArray, NDArray, NDArray], Batch]:
    finish = compiled(partial(finished, augment=augment, normalize=normalize))

    def on_host(images: NDArray, masks: NDArray, draws: NDArray) -> Batch:
        with keras.device("cpu"):  # accelerators have the training step to do
            ready = finish(images, masks, draws)
        images, masks = map(keras.ops.convert_to_numpy, ready)
        return images, masks

    return on_host


def _with_channels(mask: NDArray, axes: int) -> NDArray:
    return mask if mask.ndim == axes else mask[..., np.newaxis]
