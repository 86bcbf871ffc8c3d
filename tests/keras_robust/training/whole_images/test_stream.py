import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_robust import data
from keras_robust.training.feeding import reading_errors
from keras_robust.training.source import DiskSource, MemorySource
from keras_robust.training.whole_images.augment import augment_batch
from keras_robust.training.whole_images.batches import batch_ids, numpy_batches
from keras_robust.training.whole_images.draws import draws_of_pass, order_of_pass
from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range
from keras_robust.training.whole_images.stream import (
    evaluation_stream,
    training_stream,
)

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def numbered():
    """Images whose every pixel is their number; masks with the same."""
    numbers = np.arange(10, dtype=np.uint8)[:, None, None]
    masks = np.broadcast_to(numbers, (10, 4, 4)).copy()
    return MemorySource(tuple("abcdefghij"), masks[..., None].copy(), masks)


def batches(source, count, **options):
    options = {"batch_size": 3, "seed": 0, **options}
    return [(x.numpy(), y.numpy()) for x, y in training_stream(source, **options).take(count)]


def test_every_epoch_has_each_image_at_most_once_and_another_order(numbered):
    epochs = np.array([y[:, 0, 0, 0] for _, y in batches(numbered, 6)]).reshape(2, 9)
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()


def test_images_and_masks_stay_together(numbered):
    for x, y in batches(numbered, 3, augment=False):
        np.testing.assert_allclose((x + 1) / 2 * 255, y, atol=1e-4)


@pytest.mark.parametrize("first", [2, 3, 5])
def test_a_later_start_is_the_tail_of_an_earlier_one(first):
    source = MemorySource(
        tuple("abcdefg"),
        RNG.integers(0, 256, (7, 6, 5, 3), dtype=np.uint8),
        RNG.integers(0, 2, (7, 6, 5), dtype=np.uint8),
    )
    whole, tail = batches(source, first + 3), batches(source, 3, first_step=first)
    for (x, y), (u, v) in zip(whole[first:], tail, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


def test_seeds_differ(numbered):
    first, second = batches(numbered, 3), batches(numbered, 3, seed=1)
    assert any((a[1] != b[1]).any() for a, b in zip(first, second, strict=True))


def test_ids_of_a_batch_are_those_that_it_holds(numbered):
    stream = batches(numbered, 6)
    for position, (_, y) in enumerate(stream):
        ids = batch_ids(numbered.ids, 3, 0, position // 3, position % 3)
        assert ids == [numbered.ids[number] for number in y[:, 0, 0, 0]]


@pytest.mark.parametrize("normalize", ["range", "zscore"])
def test_streaming_from_disk_equals_memory(normalize):
    dataset = data.sample().select(split="test")
    dataset = dataset.select(ids=dataset.ids[:5])
    disk = DiskSource(dataset, (16, 24))
    options = {"batch_size": 2, "normalize": normalize}
    pairs = zip(
        batches(disk, 4, **options), batches(MemorySource.of(disk), 4, **options), strict=True
    )
    for (x, y), (u, v) in pairs:
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
    for source in (disk, MemorySource.of(disk)):
        evaluated = list(evaluation_stream(source, **options))
        assert [len(x) for x, _ in evaluated] == [2, 2, 1]
        assert evaluated[0][0].shape[1:] == (16, 24, 3)


def test_images_of_different_kinds_are_named():
    class Mixed(DiskSource):
        def image(self, index):
            return super().image(index)[..., : 3 - index]

    dataset = data.sample().select(split="test")
    source = Mixed(dataset.select(ids=dataset.ids[:2]), (8, 8))
    message = rf"{dataset.ids[1]}.*\(8, 8, 3\)"
    with pytest.raises(ValueError, match=message), reading_errors():
        list(evaluation_stream(source, batch_size=2))


class TestAugmentation:
    images = tf.constant(RNG.uniform(size=(4, 6, 5, 3)), tf.float32)
    masks = tf.constant(RNG.integers(0, 2, (4, 6, 5, 1)), tf.uint8)

    def draws(self, rows, columns, change, gamma):
        return tf.constant(np.tile([[rows, columns, change, gamma]], (4, 1)), tf.float32)

    def test_nothing_drawn_nothing_done(self):
        x, y = augment_batch(self.images, self.masks, self.draws(0.9, 0.9, 0.9, 0.1))
        np.testing.assert_array_equal(x, self.images)
        np.testing.assert_array_equal(y, self.masks)

    @pytest.mark.parametrize(("rows", "columns", "axis"), [(0.1, 0.9, 1), (0.9, 0.1, 2)])
    def test_mirrors_image_and_mask_alike(self, rows, columns, axis):
        x, y = augment_batch(self.images, self.masks, self.draws(rows, columns, 0.9, 0.1))
        np.testing.assert_array_equal(x, np.flip(self.images, axis))
        np.testing.assert_array_equal(y, np.flip(self.masks, axis))

    def test_gamma_is_a_power_between_the_limits(self):
        x, y = augment_batch(self.images, self.masks, self.draws(0.9, 0.9, 0.1, 0.25))
        np.testing.assert_allclose(x, np.power(self.images, 0.7 + 0.25 * 0.8), atol=1e-5)
        np.testing.assert_array_equal(y, self.masks)

    def test_images_of_a_batch_are_changed_each_on_its_own(self):
        draws = tf.constant(RNG.uniform(size=(4, 4)), tf.float32)
        together = augment_batch(self.images, self.masks, draws)[0]
        for index in range(4):
            alone = augment_batch(*(a[index : index + 1] for a in (self.images, self.masks, draws)))
            # Powers are taken of several numbers at a time, whose rounding depends on their place.
            np.testing.assert_allclose(together[index], alone[0][0], rtol=1e-6)


def test_value_ranges():
    eight_bit = tf.constant([[[[0], [255]]]], tf.uint8)
    deep = tf.constant([[[[-1000.0], [3000.0], [1000.0]]]])
    np.testing.assert_allclose(
        normalize_batch(to_unit_range(eight_bit), "range")[0, 0, :, 0], [-1, 1]
    )
    np.testing.assert_allclose(to_unit_range(deep)[0, 0, :, 0], [0, 1, 0.5])
    np.testing.assert_array_equal(to_unit_range(tf.ones((1, 2, 2, 1))), np.zeros((1, 2, 2, 1)))
    z = normalize_batch(tf.constant(RNG.uniform(size=(2, 9, 9, 3)), tf.float32), "zscore").numpy()
    np.testing.assert_allclose(z.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std((1, 2)), 1, atol=1e-4)


ENDS_IN_AN_ERROR = """
import atexit, gc

@atexit.register  # the last, since it is the first
def tell():
    print("alive:", sum(type(found).__name__ == "OwnedIterator" for found in gc.get_objects()))

import numpy as np
from keras_robust.training.source import MemorySource
from keras_robust.training.feeding import reading_errors
from keras_robust.training.whole_images.stream import training_stream

images = np.zeros((4, 8, 8, 1), np.uint8)
with reading_errors():
    def read():
        stream = iter(training_stream(source, batch_size=2, seed=0))
        next(stream)
        raise KeyboardInterrupt
    source = MemorySource(tuple("abcd"), images, images[..., 0])
    read()
"""


def test_no_stream_outlives_a_program_that_an_error_ends():
    done = subprocess.run(
        [sys.executable, "-c", ENDS_IN_AN_ERROR], capture_output=True, text=True, timeout=300
    )
    assert "KeyboardInterrupt" in done.stderr and done.returncode != 0
    assert done.stdout == "alive: 0\n"


@pytest.mark.parametrize("seed", [0, 3, 2**31 + 7])
@pytest.mark.parametrize("count", [1, 2, 11])
def test_order_and_draws_are_those_of_tensorflow(count, seed):
    for epoch in (0, 5):
        shuffled = tf.random.experimental.stateless_shuffle(
            tf.range(count), tf.constant([seed, epoch], tf.int64)
        )
        np.testing.assert_array_equal(order_of_pass(count, seed, epoch), shuffled)
        key = tf.constant([seed, epoch + 2**40], tf.int64)
        drawn = tf.random.stateless_uniform((count, 4), key)
        np.testing.assert_array_equal(draws_of_pass(count, 4, seed, epoch), drawn)


@pytest.mark.parametrize("normalize", ["range", "zscore"])
def test_other_backends_see_the_same_batches(normalize):
    dataset = data.sample().select(split="test")
    disk = DiskSource(dataset.select(ids=dataset.ids[:5]), (16, 24))
    for source in (disk, MemorySource.of(disk)):
        expected = batches(source, 4, batch_size=2, first_step=1, normalize=normalize)
        found = numpy_batches(source, 2, 0, 1, normalize=normalize, threads=2)
        for (x, y), (u, v) in zip(expected, found, strict=False):
            np.testing.assert_allclose(u, x, atol=1e-5)
            np.testing.assert_array_equal(v, y)
