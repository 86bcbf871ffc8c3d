"""Who trains the parameters of a loss: a model that is compiled with it, or a loop of one's own."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_robust.losses import CE, SVLS, Dice, PerRegion, TLoss, attach
from tests.keras_robust.losses.helpers import gradients
from tests.keras_robust.losses.test_fit import Scaled, data, functional

IN_A_FRESH_PROCESS = """
    import keras
    before = dict(vars(keras.Model)), dict(vars(keras.Model.__mro__[1]))
    from keras_robust import losses
    loss = losses.get("apl2") + losses.SVLS(losses.Dice())
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 1)])
    model.compile("adam", loss=loss)
    assert before == (dict(vars(keras.Model)), dict(vars(keras.Model.__mro__[1])))
    # Python looks `compile` up before it makes the loss, the first one with a parameter.
    model.compile("adam", loss=losses.TLoss())
    assert any(v is model.loss.parameters[0] for v in model.trainable_variables)
    assert keras.Model.compile is before[0].get("compile", keras.Model.compile)
    hook = vars(keras.Model)["loss"]
    losses.TLoss()
    assert vars(keras.Model)["loss"] is hook
    added = set(vars(keras.Model)) - set(before[0])
    assert added == {"loss"}, added
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 1)])
    other.compile("adam", loss="mse")
    assert other.loss == "mse" and len(other.trainable_variables) == 2
    assert "save" not in vars(other) and "save" in vars(model)
    print("untouched")
"""


def test_keras_stays_as_it_is_until_a_loss_has_parameters():
    script = textwrap.dedent(IN_A_FRESH_PROCESS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip().endswith("untouched"), done.stderr[-3000:]


def batch():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, (2, 4, 4, 1)).astype("float32")
    return rng.integers(0, 2, (2, 4, 4)), p


def test_asking_for_the_variables_claims_those_of_all_terms():
    first, second = TLoss(), Scaled()
    total = SVLS(first + 0.5 * second + Dice())
    assert not first.is_claimed and not second.is_claimed
    assert total.parameters == [*first.parameters, *second.parameters]
    assert total.trainable_variables == total.parameters
    assert first.is_claimed and second.is_claimed
    inner = TLoss()
    assert PerRegion(inner, [(1,)]).trainable_variables == inner.parameters and inner.is_claimed


@pytest.mark.parametrize(
    "make", [TLoss, Scaled, lambda: TLoss() + Dice(), lambda: TLoss(log_precision="learned")]
)
def test_differentiating_what_nobody_trains_is_an_error(make):
    """At once, or where it may still be claimed in the step, when it is next computed."""
    loss = make()
    y, p = batch()
    with pytest.raises(RuntimeError, match=r"does not train.*`loss\.trainable_variables`"):
        for _ in range(2):
            derivative(loss, y, p)


def test_evaluating_what_nobody_trains_is_none():
    loss = TLoss()
    y, p = batch()
    assert float(loss(y, p)) == float(loss(y, p))


def test_claimed_parameters_get_their_gradients():
    loss = TLoss()
    _, by_parameters = gradients(loss, *batch())
    assert by_parameters[0] != 0


def derivative(loss, y, p):
    """By the predictions alone, as a loop that forgets the parameters has it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            x = tf.convert_to_tensor(p)
            tape.watch(x)
            value = loss(y, x)
        return tape.gradient(value, x)
    if backend == "jax":
        import jax

        return jax.grad(lambda x: loss(y, x))(p)
    x = keras.ops.convert_to_tensor(p).clone().detach().requires_grad_(True)
    loss(y, x).backward()
    return x.grad


def test_a_loss_in_an_attribute_of_a_model_stays_its_own():
    """Only what `compile` is given belongs to the model."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.loss = TLoss()

    assert Own().trainable_variables == []


def test_attaching_after_compile_replaces_and_releases():
    model = functional()
    model.compile("adam", loss=CE())
    first, second = TLoss(), TLoss()
    attach(model, first)
    attach(model, [second, CE()])
    weights = model.trainable_variables
    assert second.parameters[0] is weights[-1]
    assert not any(v is first.parameters[0] for v in weights)
    attach(model, None)
    assert len(model.trainable_variables) == len(weights) - 1
    model.fit(*data(), verbose=0)
