"""The last layer of the networks: probabilities whose logits the losses know, on any backend."""

import keras
import numpy as np
import pytest

from keras_robust import losses
from keras_robust.models import Model, Probabilities, UNet

GAPS = (0.0, 1.0, 10.0, 16.0, 18.0, 40.0, 60.0)


def gradient_of(loss, activation, gap, label):
    """By the biases of a layer of logits, after one step of gradient descent of rate 1."""
    channels = 1 if activation == "sigmoid" else 2
    start = [gap] if channels == 1 else [0.0, gap]
    inputs = keras.Input((2, 2, 1))
    dense = keras.layers.Dense(channels, kernel_initializer="zeros")
    model = Model(inputs, Probabilities(activation)(dense(inputs)))
    dense.bias.assign(start)
    model.compile(keras.optimizers.SGD(1.0), loss=loss, jit_compile=False)
    model.train_on_batch(np.zeros((1, 2, 2, 1), "float32"), np.full((1, 2, 2), label, "int32"))
    predicted = model.predict(np.zeros((1, 2, 2, 1), "float32"), verbose=0)
    assert 0 <= predicted.min() and predicted.max() <= 1
    return np.array(start) - keras.ops.convert_to_numpy(keras.ops.copy(dense.bias.value))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_cross_entropy_has_its_full_gradient_at_every_gap(activation):
    """σ(gap) where all is foreground and the label is background: 1/2 at 0, 1 from 17 on."""
    for gap in GAPS:
        found = gradient_of(losses.CE(), activation, gap, 0)[-1]
        assert found == pytest.approx(1 / (1 + np.exp(-gap)), rel=1e-5), gap


@pytest.mark.parametrize("name", ["gce", "sce", "nce", "ngce", "ce+dice", "svls-ce+dice"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_losses_have_the_gradient_that_they_have_of_logits(name, activation):
    for gap in (5.0, 40.0):
        loss = losses.get(name)
        through = gradient_of(loss, activation, gap, 0)
        inputs = keras.Input((2, 2, 1))
        dense = keras.layers.Dense(len(through), kernel_initializer="zeros")
        logits = keras.Model(inputs, dense(inputs))
        start = [gap] if len(through) == 1 else [0.0, gap]
        dense.bias.assign(start)
        logits.compile(keras.optimizers.SGD(1.0), loss=losses.get(name, from_logits=True))
        logits.train_on_batch(np.zeros((1, 2, 2, 1), "float32"), np.zeros((1, 2, 2), "int32"))
        bias = keras.ops.convert_to_numpy(keras.ops.copy(dense.bias.value))
        np.testing.assert_allclose(through, np.array(start) - bias, rtol=1e-4, atol=1e-6)


def test_regions_have_theirs_each():
    loss = losses.PerRegion(losses.CE(), [(1, 2), (2,)])
    inputs = keras.Input((2, 2, 1))
    dense = keras.layers.Dense(2, kernel_initializer="zeros")
    model = Model(inputs, Probabilities("sigmoid")(dense(inputs)))
    dense.bias.assign([40.0, -40.0])
    model.compile(keras.optimizers.SGD(1.0), loss=loss)
    # Label 0: the first region is wrong, by 1/2 for each of two regions; the second is right.
    model.train_on_batch(np.zeros((1, 2, 2, 1), "float32"), np.zeros((1, 2, 2), "int32"))
    bias = keras.ops.convert_to_numpy(keras.ops.copy(dense.bias.value))
    np.testing.assert_allclose(bias, [39.5, -40.0], atol=1e-5)


def test_sigmoids_of_several_channels_are_no_softmax():
    z = np.array([[[40.0, -40.0, 3.0]]], "float32")
    known = losses.CE()([[0]], Probabilities("sigmoid")(z))
    plain = losses.CE()([[0]], 1 / (1 + np.exp(-z)))
    assert float(known) == pytest.approx(float(plain), rel=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_networks_end_in_it_and_predict_probabilities(classes, tmp_path):
    model = UNet((16, 16, 1), classes=classes, features=2, depth=1)
    assert isinstance(model.layers[-1], Probabilities)
    p = model.predict(np.random.default_rng(0).normal(size=(1, 16, 16, 1)), verbose=0)
    assert p.dtype == np.float32 and 0 <= p.min() and p.max() <= 1
    again = Probabilities.from_config(model.layers[-1].get_config())
    assert again.kind == model.layers[-1].kind


def test_other_activations_are_refused():
    with pytest.raises(ValueError, match="`activation`.*relu"):
        Probabilities("relu")
