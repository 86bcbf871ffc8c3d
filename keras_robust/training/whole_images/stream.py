"""Batches as `tf.data`: a pure function of the seed, so that any epoch can be had again."""

import atexit
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

from keras_robust.training.source import MemorySource, Source, require_alike
from keras_robust.training.whole_images.augment import augment_batch, draws_per_image
from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range

# Errors of reading, by id: TensorFlow turns them into text of its own on their way.
_failures: list[tuple[str, Exception]] = []


@contextmanager
def reading_errors() -> Iterator[None]:
    """Raise what failed while a stream was read, instead of TensorFlow's account of it.

    Raises:
        ValueError: An image or mask cannot be read; its id is named.

    >>> with reading_errors():
    ...     pass
    """
    _failures.clear()
    try:
        yield
    except tf.errors.OpError:
        if not _failures:
            raise
        id, error = _failures[0]
        raise ValueError(f"Case {id!r} cannot be read. {error}") from error


@atexit.register
def _end_streams() -> None:
    """End streams while Python's threads still run.

    A stream that is freed later, by the end of the interpreter, may wait for them for ever; an
    error, or an interrupt, that ended the program holds the stream that it came from.
    """
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    gc.collect()


def from_python(
    make: Callable[[int], tuple[np.ndarray, ...]],
    index: tf.Tensor,
    like: Sequence[tuple[tuple[int, ...], DTypeLike]],
    id: Callable[[int], str],
) -> list[tf.Tensor]:
    """Arrays that a function makes of an index, within a graph.

    What goes wrong is kept for `reading_errors`. TensorFlow learns no more than that something
    did, since it prints a traceback of every exception it sees.

    Args:
        make: Returns the arrays of an index.
        index: A scalar.
        like: Shape and type of each array.
        id: Of the case that an index belongs to.
    """

    def call(index):
        try:
            return (*make(index), np.True_)
        except (ValueError, OSError) as error:
            _failures.append((id(index), error))
            return (*(np.zeros(shape, dtype) for shape, dtype in like), np.False_)

    dtypes = [tf.as_dtype(dtype) for _, dtype in like]
    *arrays, done = tf.numpy_function(call, [index], (*dtypes, tf.bool), stateful=False)
    done.set_shape(())
    with tf.control_dependencies([tf.debugging.Assert(done, ["a case cannot be read"])]):
        return [
            tf.ensure_shape(array, shape) for array, (shape, _) in zip(arrays, like, strict=True)
        ]


def training_stream(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    augment: bool = True,
    normalize: str = "range",
    threads: int | None = None,
) -> tf.data.Dataset:
    """Endless batches of images and masks, pass after pass over the images.

    The order of pass e and the random numbers of image i in it depend on `(seed, e)` and
    `(seed, e, i)` alone: a stream that starts at a step equals the tail of one that starts at 0.

    Args:
        source: Images and masks; a `MemorySource` is gathered from memory, others are read anew
            in each pass.
        batch_size: Images per batch, at most `len(source.ids)`; the rest of a pass is dropped.
        seed: Of order and augmentation.
        first_step: Batch to start with.
        augment: Mirror and change gamma at random.
        normalize: `"range"` or `"zscore"`, see `DataConfig`.
        threads: Threads that read; `None` for TensorFlow's choice.

    Returns:
        Batches `(B, H, W, C)` float32 and `(B, H, W, 1)`, uint8 labels or float32 probabilities,
        those of more than two classes `(B, H, W, K)`.
    """
    count = len(source.ids)
    numbers = draws_per_image(np.ndim(source.image(0)) - 1)

    def indices_of_pass(epoch):
        order = _order(count, seed, epoch)
        draws = tf.random.stateless_uniform((count, numbers), tf.stack([seed, epoch]) + [0, 2**40])
        return tf.data.Dataset.from_tensor_slices((order, tf.gather(draws, order)))

    def finish(images, masks, draws):
        images = to_unit_range(images)
        if augment:
            images, masks = augment_batch(images, masks, draws)
        return normalize_batch(images, normalize), masks

    # Batching inside a pass: no batch spans two.
    def batches_of_pass(epoch):
        return _batches(source, indices_of_pass(epoch), batch_size, threads, drop=True)

    first_pass, skipped = divmod(first_step, count // batch_size)
    passes = tf.data.Dataset.counter(first_pass)
    stream = passes.flat_map(batches_of_pass).skip(skipped).map(finish)
    return stream.prefetch(2).with_options(stream_options(threads))


def evaluation_stream(
    source: Source, *, batch_size: int, normalize: str = "range", threads: int | None = None
) -> tf.data.Dataset:
    """All images and masks once, in order, as `training_stream` yields them, not augmented."""
    indices = tf.data.Dataset.range(len(source.ids)).map(lambda index: (index, 0.0))

    def finish(images, masks, _):
        return normalize_batch(to_unit_range(images), normalize), masks

    stream = _batches(source, indices, batch_size, threads, drop=False).map(finish)
    return stream.prefetch(2).with_options(stream_options(threads))


def batch_ids(ids: tuple[str, ...], batch_size: int, seed: int, epoch: int, batch: int) -> list:
    """Ids of the images in one batch of a pass of `training_stream`."""
    order = _order(len(ids), seed, epoch).numpy()
    return [ids[index] for index in order[batch * batch_size : (batch + 1) * batch_size]]


def _order(count, seed, epoch):
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), key)


def _batches(source, indices, batch_size, threads, drop):
    if isinstance(source, MemorySource):
        with tf.device("CPU:0"):
            images, masks = tf.constant(source.images), tf.constant(source.masks)

        def gather(index, draws):
            return tf.gather(images, index), _channels(tf.gather(masks, index), images), draws

        return indices.batch(batch_size, drop_remainder=drop).map(gather)

    like = [(array.shape, array.dtype) for array in (source.image(0), source.mask(0))]

    def read(index):
        image = source.image(index)
        require_alike(source, index, image, *like[0])
        return image, source.mask(index)

    def load(index, draws):
        image, mask = from_python(read, index, like, lambda index: source.ids[index])
        return image, _channels(mask, image), draws

    loaded = indices.map(load, num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True)
    return loaded.batch(batch_size, drop_remainder=drop)


def _channels(masks, images):
    """Masks with an axis of channels, which probabilities of several classes have already."""
    return masks if len(masks.shape) == len(images.shape) else masks[..., tf.newaxis]


def stream_options(threads: int | None) -> tf.data.Options:
    """In order, and by so many threads."""
    options = tf.data.Options()
    options.deterministic = True
    if threads is not None:
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
    return options
