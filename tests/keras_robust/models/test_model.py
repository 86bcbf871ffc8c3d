"""The Keras model that owns the parameters of its losses by public methods alone."""

import keras
import numpy as np
import pytest

from keras_robust.losses import CE, TLoss, keras_private
from keras_robust.models import CoTeaching, Model, SmallLossSelection, UNet

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(8, 8, 8, 3)).astype("float32")
Y = (X[..., 0] > 0.5).astype("int32")


def made():
    inputs = keras.Input((8, 8, 3))
    return Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))


@pytest.fixture
def nothing_private(monkeypatch):
    """No function on private names but the exemption from weight decay, which has a public one."""

    def refuse(*args):
        raise AssertionError("a private name of Keras is used")

    for name in ("give_layer", "allow_new_layer", "watch_losses_of_models", "after_tracing"):
        monkeypatch.setattr(keras_private, name, refuse)
    monkeypatch.setattr("keras_robust.losses.base.watch_models", lambda: None)


def test_nothing_private_is_needed(nothing_private, tmp_path):
    model = made()
    model.compile(keras.optimizers.Adam(1e-2), loss=TLoss())
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    reached = model.loss.nu_tilde
    assert reached != 0.0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again, Model) and again.loss.nu_tilde == reached
    assert int(again.optimizer.iterations.numpy()) == 4
    again.fit(X, Y, batch_size=4, verbose=0)
    assert again.loss.nu_tilde != reached


def test_weight_decay_leaves_nu_alone():
    model, loss = made(), TLoss(nu_tilde=5.0)
    model.compile(keras.optimizers.AdamW(1e-6, weight_decay=1e4), loss=loss)
    model.fit(X, Y, verbose=0)
    assert loss.nu_tilde == pytest.approx(5.0, abs=1e-3)


def test_a_functional_model_of_anybody_is_wrapped():
    inputs = keras.Input((8, 8, 3))
    theirs = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    model = Model(theirs.input, theirs.output)
    assert type(model).__name__ == "FunctionalModel" and model.layers[-1] is theirs.layers[-1]
    model.compile("adam", loss=TLoss(from_logits=True))
    assert len(model.trainable_variables) == 3
    model.compile("adam", loss=CE(from_logits=True))
    assert len(model.trainable_variables) == 2


def test_subclasses_have_a_call_of_their_own():
    class Mine(Model):
        def __init__(self):
            super().__init__()
            self.last = keras.layers.Conv2D(1, 1, activation="sigmoid")

        def call(self, x):
            return self.last(x)

    made()  # which must not make subclasses functional
    model, loss = Mine(), TLoss()
    model(X)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss)
    model.fit(X, Y, batch_size=4, verbose=0)
    assert loss.nu_tilde != 0.0
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(TypeError, match=r"Mine is a subclass.*keras\.Model"):
        Mine.__mro__[1].__init__(Mine(), inputs, inputs)


def test_networks_of_the_project_are_such_models():
    def build():
        return UNet((8, 8, 3), features=2, depth=1)

    assert isinstance(build(), Model)
    assert isinstance(CoTeaching(build, SmallLossSelection()), Model)
