"""Batches as `tf.data`: a pure function of the seed, so that any epoch can be had again."""

import tensorflow as tf

from keras_robust.training.feeding.graph import from_python, stream_options
from keras_robust.training.source import MemorySource, Source, require_alike
from keras_robust.training.whole_images.augment import draws_per_image, finished

__all__ = ["evaluation_stream", "training_stream"]


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
    numbers = draws_per_image(source.image(0).ndim - 1)

    def indices_of_pass(epoch):
        order = _order(count, seed, epoch)
        draws = tf.random.stateless_uniform((count, numbers), tf.stack([seed, epoch]) + [0, 2**40])
        return tf.data.Dataset.from_tensor_slices((order, tf.gather(draws, order)))

    def finish(images, masks, draws):
        return finished(images, masks, draws, augment, normalize)

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

    def finish(images, masks, draws):
        return finished(images, masks, draws, False, normalize)

    stream = _batches(source, indices, batch_size, threads, drop=False).map(finish)
    return stream.prefetch(2).with_options(stream_options(threads))


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
