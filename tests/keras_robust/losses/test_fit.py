"""ν trains with the weights of any model, by `compile(loss=TLoss())` and `fit` alone.

On every backend; what only TensorFlow has is in `test_fit_tensorflow.py`.
"""

import keras
import numpy as np
import pytest

from keras_robust.losses import CE, Dice, Sum, TLoss, VoxelLoss, attach, elementary
from keras_robust.models import Model
from tests.keras_robust.losses.helpers import value

L = keras.layers


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def data(images=16, size=8):
    x = np.random.default_rng(0).uniform(size=(images, size, size, 3)).astype("float32")
    return x, (x[..., :1] > 0.5).astype("float32")


def functional():
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(x))


def sequential():
    return keras.Sequential(
        [L.Conv2D(4, 3, padding="same", activation="relu"), L.Conv2D(1, 1, activation="sigmoid")]
    )


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = L.Conv2D(4, 3, padding="same", activation="relu")
        self.last = L.Conv2D(1, 1, activation="sigmoid")

    def call(self, x):
        return self.last(self.first(x))


@keras.saving.register_keras_serializable(package="tests")
class OwnStep(Subclassed):
    """A model with a training step of its own, whose arguments differ by backend."""

    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


def owner():
    model = functional()
    return Model(model.input, model.output)


MODELS = [functional, sequential, Subclassed, OwnStep, owner]


def fit(model, loss, epochs=2, optimizer=None, **options):
    model.compile(optimizer or keras.optimizers.Adam(1e-2), loss=loss, **options)
    return model.fit(*data(), batch_size=4, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.parametrize("make", MODELS)
def test_nu_trains(make):
    loss = TLoss()
    model = make()
    fit(model, loss)
    assert loss.nu_tilde < -0.05
    assert sum(v is loss.trainable_variables[0] for v in model.trainable_variables) == 1


@pytest.mark.parametrize("make", MODELS)
def test_evaluate_and_predict_leave_nu_alone(make):
    loss = TLoss()
    model = make()
    fit(model, loss, epochs=1)
    before = loss.nu_tilde
    model.evaluate(*data(), verbose=0)
    model.predict(data()[0], verbose=0)
    assert loss.nu_tilde == before


@pytest.mark.parametrize("make", MODELS)
def test_saving_and_loading_keeps_nu_and_its_optimizer_state(make, tmp_path):
    model = make()
    fit(model, TLoss())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.nu_tilde == model.loss.nu_tilde
    ours, theirs = model.optimizer.variables, again.optimizer.variables
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(value(a), value(b))
    # Both go on alike.
    for m in (model, again):
        m.fit(*data(), batch_size=4, shuffle=False, verbose=0)
    assert again.loss.nu_tilde == pytest.approx(model.loss.nu_tilde, abs=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_weights_move_between_models_with_and_without_nu(make, tmp_path):
    with_nu, without = make(), make()
    fit(with_nu, TLoss())
    without(data()[0])
    with_nu.save_weights(tmp_path / "with.weights.h5")
    without.load_weights(tmp_path / "with.weights.h5")
    np.testing.assert_allclose(
        without.predict(data()[0], verbose=0), with_nu.predict(data()[0], verbose=0), atol=1e-6
    )
    before = with_nu.loss.nu_tilde
    without.compile("adam", "mse")
    without.fit(*data(), verbose=0)
    without.save_weights(tmp_path / "without.weights.h5")
    with pytest.warns(UserWarning, match="optimizer"):
        with_nu.load_weights(tmp_path / "without.weights.h5")
    assert with_nu.loss.nu_tilde == before


@pytest.mark.parametrize("weights_only", [True, False])
def test_model_checkpoint_and_resuming(weights_only, tmp_path):
    path = str(tmp_path / ("best.weights.h5" if weights_only else "best.keras"))
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only)
    model = functional()
    model.compile(keras.optimizers.Adam(1e-2), loss=TLoss(log_precision="learned"))
    model.fit(*data(), batch_size=4, epochs=2, verbose=0, callbacks=[checkpoint])
    if weights_only:
        again = functional()
        again.compile(keras.optimizers.Adam(1e-2), loss=TLoss(log_precision="learned"))
        again.optimizer.build(again.trainable_variables)
        again.load_weights(path)
    else:
        again = keras.models.load_model(path)
    assert again.loss.nu_tilde == model.loss.nu_tilde
    assert again.loss.log_precision == model.loss.log_precision != 0.0
    for a, b in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(value(a), value(b))


def test_backup_and_restore_keeps_nu(tmp_path):
    model = functional()
    model.compile(keras.optimizers.Adam(1e-2), loss=TLoss())
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(*data(), batch_size=4, epochs=2, verbose=0, callbacks=[backup])
    again = functional()
    again.compile(keras.optimizers.Adam(1e-2), loss=TLoss(nu_tilde=3.0))
    restore = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    again.fit(*data(), batch_size=4, epochs=2, verbose=0, callbacks=[restore])
    assert again.loss.nu_tilde == model.loss.nu_tilde


def test_every_t_loss_of_a_structure_trains():
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same")(x)
    outputs = [L.Conv2D(1, 1, activation="sigmoid", name=name)(x) for name in "ab"]
    model = keras.Model(inputs, outputs)
    first, second = TLoss(), TLoss(nu_tilde=1.0, event="voxel")
    model.compile(keras.optimizers.Adam(1e-2), loss=[first, 0.5 * second + Dice()])
    images, masks = data()
    model.fit(images, [masks, masks], batch_size=4, verbose=0)
    assert first.nu_tilde != 0.0 and second.nu_tilde != 1.0
    assert list(elementary(model.loss))[:2] == [first, second]


def test_compiling_anew_replaces_the_parameters():
    for make in MODELS:
        model = make()
        first, second = TLoss(), TLoss()
        fit(model, first, epochs=1)
        weights = len(model.trainable_variables)
        model.compile("adam", second)
        assert len(model.trainable_variables) == weights
        model.compile("adam", CE())
        assert len(model.trainable_variables) == weights - 1


def test_one_loss_may_serve_two_models():
    loss = TLoss()
    fit(functional(), loss)
    before = loss.nu_tilde
    fit(sequential(), loss)
    assert loss.nu_tilde < before


def test_weight_decay_leaves_nu_alone():
    """Plain SGD with weight decay and a zero gradient would pull ν̃ from 5 towards 0."""
    loss = TLoss(nu_tilde=5.0)
    optimizer = keras.optimizers.AdamW(learning_rate=1e-6, weight_decay=1e4)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = functional()
    fit(model, loss, optimizer=optimizer)
    assert loss.nu_tilde == pytest.approx(5.0, abs=1e-3)
    assert not optimizer._use_weight_decay(model.layers[-1].bias)
    assert optimizer._use_weight_decay(model.layers[-1].kernel)


def test_a_sequential_model_may_end_in_another(tmp_path):
    """The innermost last layer owns ν, which weight decay leaves alone there, too."""
    loss = TLoss(nu_tilde=5.0)
    model = keras.Sequential([L.Rescaling(1.0), keras.Sequential([sequential()])])
    fit(model, loss, epochs=1, optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e2))
    assert 4.9 < loss.nu_tilde < 5.0
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").loss.nu_tilde == loss.nu_tilde


class Scaled(VoxelLoss):
    """A loss of one's own, with a parameter that trains."""

    def __init__(self, **options):
        super().__init__(**options)
        self.scale = keras.Variable(0.0)

    def values(self, targets, predictions):
        squares = keras.ops.mean(keras.ops.square(targets - predictions), axis=-1)
        return keras.ops.exp(self.scale) * squares - self.scale


def test_legacy_files_that_cannot_hold_nu_are_refused(tmp_path):
    bare = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(1, 1)])
    for model in (functional(), bare, owner()):
        model.compile("adam", loss=TLoss())
        with pytest.raises(ValueError, match="ends in '.keras'"):
            model.save(tmp_path / "model.h5")
        model.save_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("loss", [TLoss(), Scaled()])
def test_a_loss_hidden_in_a_function_is_an_error(loss):
    model = functional()
    model.compile("adam", loss=lambda y, p: loss(y, p))
    with pytest.raises(RuntimeError, match=r"does not train.*compile\(loss=\.\.\.\)"):
        model.fit(*data(), batch_size=8, verbose=0)


def test_a_loss_hidden_in_a_function_trains_once_attached():
    loss = TLoss()
    model = functional()
    model.compile(keras.optimizers.Adam(1e-2), loss=lambda y, p: loss(y, p))
    attach(model, loss)
    model.fit(*data(), verbose=0)
    assert loss.nu_tilde != 0.0


def test_a_frozen_model_leaves_nu_as_it_is():
    loss = TLoss()
    model = functional()
    model.trainable = False
    model.compile("adam", loss=loss)
    assert model.trainable_variables == [] and loss.nu_tilde == 0.0


def test_an_empty_sequential_model_is_an_error():
    with pytest.raises(ValueError, match="Add the layers before `compile`"):
        keras.Sequential().compile("adam", loss=TLoss())


def test_a_sum_saves_and_loads(tmp_path):
    model = functional()
    fit(model, TLoss() + 0.5 * Dice())
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.loss, Sum) and again.loss.weights == [1.0, 0.5]
    assert again.loss.losses[0].nu_tilde == model.loss.losses[0].nu_tilde != 0.0


def test_gradient_accumulation_trains_nu_every_few_steps():
    """Two batches of 4, accumulated, are one batch of 8."""
    reached = []
    for batch, every in ((8, None), (4, 2)):
        keras.utils.set_random_seed(0)
        loss, model = TLoss(), functional()
        model.compile(keras.optimizers.Adam(1e-2, gradient_accumulation_steps=every), loss=loss)
        model.fit(*data(), batch_size=batch, epochs=3, shuffle=False, verbose=0)
        reached.append(loss.nu_tilde)
    assert reached[0] != 0.0
    assert reached[1] == pytest.approx(reached[0], abs=1e-5)
