"""Counts of stored images, against those of batches and where float32 ends."""

import numpy as np
import pytest
import tensorflow as tf

from keras_robust.training.evaluation import overlap_counts
from keras_robust.training.patches.evaluation import stored_overlap


@pytest.mark.parametrize("ignore_label", [None, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_counts_equal_those_of_batches(channels, ignore_label):
    generator = np.random.default_rng(0)
    probabilities = generator.random((4, 5, 6, channels), np.float32)
    labels = [0, 1, 2 % max(channels, 2), ignore_label or 0]
    mask = generator.choice(labels, (4, 5, 6)).astype(np.uint8)
    found = stored_overlap(probabilities, mask, ignore_label)
    batch = tf.constant(mask)[tf.newaxis, ..., tf.newaxis]
    expected = overlap_counts(tf.constant(probabilities)[tf.newaxis], batch, ignore_label)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy()[0])


def test_counts_are_exact_beyond_float32():
    """A sum of ones in float32 ends at 2**24."""
    shape = (257, 256, 256)
    mask = np.broadcast_to(np.uint8(1), shape)
    probabilities = np.broadcast_to(np.float32([0, 1, 0]), (*shape, 3))
    both, total = stored_overlap(probabilities, mask, None)
    assert (both.tolist(), total.tolist()) == ([mask.size, 0], [2 * mask.size, 0])
