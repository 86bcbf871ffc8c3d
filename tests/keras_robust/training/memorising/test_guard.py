"""The guard on a network whose every epoch is written down."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_robust.losses import CE
from keras_robust.metrics import dice
from keras_robust.models import CoTeaching, SmallLossSelection
from keras_robust.training import MemorisationGuard

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = np.random.default_rng(0).uniform(size=(6, 8, 8, 1)).astype("float32")
MASKS = (IMAGES[..., 0] > 0.5).astype("uint8")


class Threshold(keras.layers.Layer):
    """Foreground is what is brighter than a weight."""

    def build(self, shape):
        self.at = self.add_weight(shape=(), initializer="zeros")

    def call(self, x):
        return ops.sigmoid(100 * (x - self.at))


class Script(keras.callbacks.Callback):
    """Sets the weight of each epoch."""

    def __init__(self, thresholds):
        super().__init__()
        self.thresholds = thresholds

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([np.float32(self.thresholds[epoch])])


def follow(thresholds, **options):
    model = keras.Sequential([keras.Input((8, 8, 1)), Threshold()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    guard = MemorisationGuard((IMAGES, MASKS), **options)
    history = model.fit(
        IMAGES[:1],
        MASKS[:1],
        epochs=len(thresholds),
        verbose=0,
        callbacks=[Script(thresholds), guard],
    ).history
    return model, guard, history


RISE_AND_FALL = [0.5 + 0.4 * abs(np.log(number / 10)) / np.log(10) for number in range(1, 41)]


@pytest.mark.parametrize("stop", [True, False])
def test_the_weights_of_the_peak_are_kept(stop):
    model, guard, history = follow(RISE_AND_FALL, stop=stop)
    assert guard.kept in (9, 10)
    together = [n for n in guard.passes if guard.kept / 1.5 <= n <= guard.kept * 1.5]
    mean = np.mean([RISE_AND_FALL[n - 1] for n in together])
    assert float(model.get_weights()[0]) == pytest.approx(mean)
    assert 6 in together and 13 in together and len(together) >= 7
    # Looks are at 21, 24, 27, ...; 2.5 times the peak is 22.5 or 25.
    assert len(history["loss"]) in ((24, 27) if stop else (40,))
    said = (
        f"kept is the network of pass {guard.kept}, averaged with those of passes {together[0]} to"
    )
    assert said in guard.message
    pairs = list(zip(IMAGES[..., 0], MASKS, strict=True))
    expected = np.mean([dice(image > RISE_AND_FALL[3], mask) for image, mask in pairs])
    assert guard.scores[3] == pytest.approx(expected)


def test_while_held_out_images_gain_nothing_is_taken_back():
    rising = list(np.linspace(0.9, 0.5, 30))
    model, guard, history = follow(rising)
    assert len(history["loss"]) == 30
    assert guard.kept == guard.passes[-1]
    mean = np.mean([rising[n - 1] for n in guard.passes if n >= guard.kept / 1.5])
    assert float(model.get_weights()[0]) == pytest.approx(mean)
    assert guard.message.startswith("No sign")


def test_scores_are_in_the_logs_of_the_looks():
    _, guard, history = follow(RISE_AND_FALL[:3])
    assert history["dice_held_out"] == guard.scores


def test_few_copies_are_held():
    guard = MemorisationGuard((IMAGES, MASKS), stop=False)
    guard.set_model(keras.Sequential([keras.Input((8, 8, 1)), Threshold()]))
    copies = []
    for epoch in range(200):
        guard.model.set_weights([np.float32(0.9 - 0.002 * epoch)])
        guard.on_epoch_end(epoch)
        copies.append(len(guard._weights))
    assert max(copies) <= 12


def scored(model, data, **options):
    guard = MemorisationGuard(data, **options)
    guard.set_model(model)
    guard.on_epoch_end(0)
    return guard.scores[0]


def test_every_form_of_masks_scores_alike():
    x = inputs = keras.Input((None, 8, 1))
    x = Threshold()(x)
    three = keras.Model(inputs, ops.concatenate([1 - x, 0.6 * x, 0.4 * x], -1))
    labels = MASKS * np.random.default_rng(1).integers(1, 3, MASKS.shape).astype("uint8")
    expected = scored(three, (IMAGES, labels))
    assert 0 < expected < 1
    for other in (labels[..., None], np.eye(3, dtype="float32")[labels]):
        assert scored(three, (IMAGES, other)) == pytest.approx(expected)
    batches = [(IMAGES[:4], labels[:4]), (IMAGES[4:], labels[4:])]
    assert scored(three, batches) == pytest.approx(expected)
    several = keras.Model(three.inputs, [three.output, 1 - three.output])
    assert scored(several, (IMAGES, labels)) == pytest.approx(expected)
    ignored = labels.copy()
    ignored[:, :4] = 255
    lower = scored(three, (IMAGES[:, 4:], labels[:, 4:]))
    assert scored(three, (IMAGES, ignored), ignore_label=255) == pytest.approx(lower)


def test_two_peers():
    def build():
        inputs = keras.Input((8, 8, 1))
        return keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))

    model = CoTeaching(build, SmallLossSelection(0.1))
    model.compile("adam", CE())
    guard = MemorisationGuard((IMAGES, MASKS))
    model.fit(IMAGES, MASKS, epochs=2, verbose=0, callbacks=[guard])
    assert guard.passes == [1, 2]


def test_what_cannot_be_scored_is_an_error():
    with pytest.raises(ValueError, match="as many images as masks"):
        MemorisationGuard((IMAGES, MASKS[:2]))
    with pytest.raises(ValueError, match="at least one image"):
        scored(keras.Sequential([keras.Input((8, 8, 1)), Threshold()]), [])
