import os
import signal

import keras
import numpy as np
import pytest

from keras_robust import losses
from keras_robust.training import DivergenceError, NuLogger, StopAtNonFinite

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X = np.random.default_rng(0).uniform(size=(8, 4, 4, 1)).astype("float32")
Y = (X > 0.5).astype("float32")


def network(outputs=1):
    inputs = keras.Input((4, 4, 1))
    heads = [keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs) for _ in range(outputs)]
    return keras.Model(inputs, heads if outputs > 1 else heads[0])


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: losses.MAE() + 2 * t, lambda t: [t], lambda t: 0.5 * t]
)
def test_nu_is_in_the_history(wrap):
    loss = losses.TLoss(nu_tilde=0.5)
    model = network()
    model.compile("adam", loss=wrap(loss))
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[NuLogger()]).history
    assert history["nu_tilde"][-1] == loss.nu_tilde != 0.5
    np.testing.assert_allclose(history["nu"], np.exp(history["nu_tilde"]), rtol=1e-6)


def test_further_t_losses_are_numbered():
    first, second = losses.TLoss(nu_tilde=1.0), losses.TLoss(nu_tilde=2.0)
    values = NuLogger.values({"a": first, "b": losses.MAE() + second})
    assert (values["nu_tilde"], values["nu_tilde_2"]) == (1.0, 2.0)


def test_a_learned_precision_is_logged():
    loss = losses.TLoss(log_precision="learned")
    model = network()
    model.compile("adam", loss=loss)
    history = model.fit(X, Y, epochs=1, verbose=0, callbacks=[NuLogger()]).history
    assert history["log_precision"] == [loss.log_precision] != [0.0]
    assert "log_precision" not in NuLogger.values(losses.TLoss(log_precision=1.0))


def test_losses_without_nu_add_nothing():
    assert NuLogger.values(losses.MAE()) == {}
    assert NuLogger.values("mse") == {}


def test_nu_reaches_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = network()
    loss = losses.TLoss()
    model.compile("adam", loss=loss)
    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[NuLogger(), board])
    events = EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    assert {"epoch_nu", "epoch_nu_tilde"} <= set(events.Tags()["tensors"])


def test_a_loss_that_is_not_finite_ends_training_and_is_named():
    model = network()
    model.compile("sgd", loss="mse")
    y = Y.copy()
    y[5] = np.nan
    stop = StopAtNonFinite(lambda epoch, batch: f"image {2 * batch} or {2 * batch + 1}")
    with pytest.raises(DivergenceError, match=r"epoch 1, batch 3 \(image 4 or 5\)"):
        model.fit(X, y, batch_size=2, shuffle=False, verbose=0, callbacks=[stop])


def test_a_signal_ends_training_between_steps():
    """Raised within a step it could be lost in TensorFlow; the first step of an epoch traces."""
    from keras_robust.common.interrupts import interrupts
    from keras_robust.training.callbacks import StopWhenAsked

    steps = []
    with interrupts() as asked:
        callback = StopWhenAsked(asked)
        callback.on_epoch_end(0)
        callback.on_train_batch_end(0)
        os.kill(os.getpid(), signal.SIGINT)  # within the second step: it goes on
        steps.append("second")
        with pytest.raises(KeyboardInterrupt):
            callback.on_train_batch_end(1)
        with pytest.raises(KeyboardInterrupt):
            callback.on_epoch_end(0)
        with pytest.raises(KeyboardInterrupt):  # what follows an epoch is ended at once
            os.kill(os.getpid(), signal.SIGTERM)
    assert steps == ["second"]
