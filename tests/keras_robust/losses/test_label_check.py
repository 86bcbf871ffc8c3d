"""A label that is neither a class nor ignored ends in an error, or in NaN."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust import losses
from tests.keras_robust.losses.formulas import IMAGEWISE
from tests.keras_robust.losses.helpers import value
from tests.keras_robust.losses.test_values import ALL

PREDICTED = {k: np.full((2, 4, 4, k), 1 / max(k, 2), "float32") for k in (1, 3)}
ERRORS: tuple = (ValueError,)
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    ERRORS = (ValueError, tf.errors.InvalidArgumentError)
if keras.backend.backend() == "jax":
    import jax

    ERRORS = (ValueError, jax.errors.JaxRuntimeError)


def labels(wrong, dtype="int32", shape=(2, 4, 4)):
    y = np.zeros(shape, dtype)
    y[0, 1, 2] = wrong
    return y


@pytest.mark.parametrize("name", [*ALL, "ce+dice", "svls-ce+dice"])
@pytest.mark.parametrize(
    "channels, wrong", [(3, 255), (3, -100), (3, 3), (1, 255), (1, 2), (1, -1)]
)
def test_every_loss_refuses_it(name, channels, wrong):
    with pytest.raises(ValueError, match=rf"`y_true`.*{wrong}.*`ignore_label`"):
        losses.get(name)(labels(wrong), PREDICTED[channels])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_ignored_may_be_any(name, channels):
    for label in (255, -100, 3):
        loss = losses.get(name, ignore_label=label)
        assert np.isfinite(value(loss(labels(label), PREDICTED[channels])))


@given(
    classes=st.integers(2, 5),
    label=st.integers(-3, 8),
    dtype=st.sampled_from(["uint8", "int8", "int32", "int64", "float32"]),
    last=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_classes_pass_and_nothing_else(classes, label, dtype, last):
    if label < 0 and dtype == "uint8":
        return
    y = labels(label, dtype)
    y = y[..., None] if last else y
    p = np.full((2, 4, 4, classes), 1 / classes, "float32")
    if 0 <= label < classes:
        assert np.isfinite(value(losses.CE()(y, p)))
    else:
        with pytest.raises(ValueError, match=f"0 to {classes - 1}.* {label}"):
            losses.CE()(y, p)


@pytest.mark.parametrize("wrong", [0.5, 1.7, np.nan])
def test_labels_of_several_classes_are_whole(wrong):
    with pytest.raises(ValueError, match="whole numbers"):
        losses.CE()(labels(wrong, "float32"), PREDICTED[3])


def test_soft_targets_are_probabilities():
    y = np.full((2, 4, 4, 3), 1 / 3, "float16")  # rounded
    assert np.isfinite(value(losses.CE()(y, PREDICTED[3])))
    with pytest.raises(ValueError, match="probabilities.*255"):
        losses.Dice()(255 * np.eye(3)[labels(1)], PREDICTED[3])


def test_regions_know_their_labels():
    loss = losses.PerRegion(losses.CE(ignore_label=9), regions=[(1, 2), (2,)])
    p = np.full((2, 4, 4, 2), 0.5, "float32")
    for label in (0, 1, 2, 9):
        assert np.isfinite(value(loss(labels(label), p)))
    with pytest.raises(ValueError, match="0 to 2.*255"):
        loss(labels(255), p)


def fit(options, wrong, loss):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Conv2D(3, 1, activation="softmax")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss=loss, **options)
    return model.fit(PREDICTED[3], labels(wrong), verbose=0).history["loss"][0]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=str)
def test_training_ends_in_the_error(options, capfd):
    with pytest.raises(ERRORS, match=r"Expected labels 0 to 2[\s\S]*255[\s\S]*`ignore_label`"):
        fit(options, 255, losses.get("ce+dice"))
    assert np.isfinite(fit(options, 255, losses.get("ce+dice", ignore_label=255)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of XLA in TensorFlow")
@pytest.mark.parametrize("name", [n for n in ALL if n not in ("focal", *IMAGEWISE)] + ["dice"])
def test_xla_which_leaves_assertions_out_gives_nan(name):
    step = tf.function(losses.get(name), jit_compile=True)
    p = tf.constant(PREDICTED[3])
    assert np.isnan(step(tf.constant(labels(255)), p))
    assert np.isfinite(step(tf.constant(labels(2)), p))
