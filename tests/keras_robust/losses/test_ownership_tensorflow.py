"""Loops of one's own, as users of TensorFlow write them."""

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("needs the TensorFlow backend", allow_module_level=True)

import tensorflow as tf

from keras_robust.losses import TLoss
from tests.keras_robust.losses.test_fit import data


class Own(keras.Model):
    """Asks for the parameters of its loss after it has differentiated by its weights, or never."""

    def __init__(self, claims=True):
        super().__init__()
        self.last = keras.layers.Conv2D(1, 1, activation="sigmoid")
        self.t, self.claims = TLoss(), claims
        self.of_nu = keras.optimizers.Adam(0.1)

    def call(self, x):
        return self.last(x)

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape(persistent=True) as tape:
            loss = self.t(y, self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [v.value for v in weights]), weights)
        if self.claims:
            own = self.t.trainable_variables
            self.of_nu.apply([tape.gradient(loss, v.value) for v in own], own)
        return {"loss": loss}


OPTIONS = [{}, {"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_training_step_of_ones_own_trains_nu(options):
    keras.utils.set_random_seed(0)
    x, y = data()
    model = Own()
    model(x)
    model.of_nu.build(model.t.parameters)
    model.compile("adam", **options)
    model.fit(x, y, batch_size=4, verbose=0)
    assert abs(model.t.nu_tilde) > 0.1
    assert len(model.trainable_variables) == 2


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
def test_a_training_step_that_forgets_nu_is_an_error(options):
    x, y = data()
    model = Own(claims=False)
    model(x)
    model.compile("adam", **options)
    with pytest.raises(RuntimeError, match="does not train"):
        model.fit(x, y, batch_size=4, verbose=0)


def test_an_error_of_the_step_itself_is_not_hidden():
    loss = TLoss()

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            value = loss(tf.ones((1, 2, 2)), tf.sigmoid(x))
        tape.gradient(value, x)
        raise KeyError("of the user")

    with pytest.raises(KeyError, match="of the user"):
        step(tf.Variable(tf.zeros((1, 2, 2, 1))))
