import keras
import numpy as np
import pytest

from keras_robust import metrics
from keras_robust.training.evaluation import Evaluator, dice_scores, overlap_counts
from keras_robust.training.source import MemorySource

RNG = np.random.default_rng(0)


def scores(probabilities, masks, **options):
    counts = overlap_counts(probabilities.astype("float32"), masks, **options)
    return dice_scores(*(count.numpy() for count in counts))


@pytest.mark.parametrize("ignore_label", [None, 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_shares_count_as_the_most_probable_label(channels, ignore_label):
    predicted, shares = RNG.dirichlet(np.ones(max(channels, 2)), (2, 4, 8, 9)).astype("float32")
    labels = shares.argmax(axis=-1)[..., np.newaxis].astype(np.uint8)
    if channels == 1:
        predicted, shares = predicted[..., 1:], shares[..., 1:]
    found, expected = (scores(predicted, y, ignore_label=ignore_label) for y in (shares, labels))
    np.testing.assert_array_equal(found.per_image, expected.per_image)
    assert 0 < found.pooled == expected.pooled < 1


@pytest.mark.parametrize("ignore_label", [None, 255])
def test_binary_dice_is_that_of_metrics(ignore_label):
    probabilities = RNG.uniform(size=(6, 8, 9, 1))
    masks = RNG.integers(0, 2, (6, 8, 9, 1), dtype=np.uint8)
    masks[0], probabilities[1], masks[1] = 1, 0, 0
    if ignore_label:
        masks[2, :3] = ignore_label
    result = scores(probabilities, masks, ignore_label=ignore_label)
    options = {"ignore_label": ignore_label}
    labels = probabilities > 0.5
    expected = [
        metrics.dice(a.astype(np.uint8), b, **options) for a, b in zip(labels, masks, strict=True)
    ]
    np.testing.assert_allclose(result.per_image, expected)
    pooled = metrics.pooled_dice(labels.astype(np.uint8), masks, **options)
    assert result.pooled == pytest.approx(pooled)
    assert result.per_image[1] == 1


def test_multi_class_dice_is_the_mean_over_foreground():
    probabilities = RNG.dirichlet(np.ones(4), size=(5, 8, 8))
    masks = RNG.integers(0, 4, (5, 8, 8, 1), dtype=np.uint8)
    labels = probabilities.argmax(-1)
    expected = [
        np.mean(metrics.dice(a, b[..., 0], classes=4)) for a, b in zip(labels, masks, strict=True)
    ]
    np.testing.assert_allclose(scores(probabilities, masks).per_image, expected)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_scores_do_not_depend_on_the_batch_size(batch_size):
    source = MemorySource(
        tuple("abcdefg"),
        RNG.integers(0, 256, (7, 8, 8, 1), dtype=np.uint8),
        RNG.integers(0, 2, (7, 8, 8), dtype=np.uint8),
    )
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(inputs))
    result = Evaluator(model, source, batch_size=batch_size).scores()
    expected = [
        metrics.dice(image[..., 0] > 127, mask)
        for image, mask in zip(source.images, source.masks, strict=True)
    ]
    np.testing.assert_allclose(result.per_image, expected)
