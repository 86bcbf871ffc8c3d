"""Each private name of Keras and TensorFlow that is used: a new version fails here, if anywhere."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_robust.losses import keras_private
from tests.keras_robust.losses.helpers import value

ROOT = Path(__file__).parents[3]
TENSORFLOW = keras.backend.backend() == "tensorflow"
L = keras.layers


def model():
    return keras.Sequential([keras.Input((4, 4, 3)), L.Conv2D(1, 1, activation="sigmoid")])


def test_private_names_stand_in_one_file():
    """Modules under `keras.src` and `tensorflow.python`, and the names below on foreign objects."""
    private = {"_tracker", "_flatten_layers", "_compile_loss", "_keras_logits", "_clip_gradients"}
    private |= {"_backend_apply_gradients", "_use_weight_decay", "_compiled_trainable_state"}
    private |= {"_exclude_from_weight_decay", "_var_key", "_add_scope_exit_callback"}
    for path in (ROOT / "keras_robust").rglob("*.py"):
        if path.name == "keras_private.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in private, f"{path}: {node.attr}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
                assert not any(n.startswith(("keras.src", "tensorflow.python")) for n in names), (
                    path
                )


def test_compile_assigns_the_loss_where_nothing_is_tracked():
    assert not keras_private.is_compiling()
    seen = []

    class Watching(keras.Model):
        def __setattr__(self, name, given):
            if name == "loss":
                seen.append((given, keras_private.is_compiling()))
            super().__setattr__(name, given)

    watching = Watching()
    watching.compile("adam", loss="mse")
    assert seen[-1] == ("mse", True)


def test_a_model_without_the_attribute_says_so():
    keras_private.watch_losses_of_models(lambda model, loss: None)
    assert model().loss is None
    with pytest.raises(AttributeError, match="loss"):
        object.__new__(keras.Model).loss  # noqa: B018


def test_tracking_is_on_inside_of_compile():
    from keras.src.utils import tracking

    with tracking.DotNotTrackScope():
        assert keras_private.is_compiling()
        with keras_private.tracking():
            assert not keras_private.is_compiling()
        assert keras_private.is_compiling()


def test_a_built_layer_is_given_another():
    class Locked(L.Layer):
        def build(self, shape):
            self.inner = L.Dense(1)
            self.inner.build(shape)

    host, given = Locked(), L.Dense(2)
    host.build((None, 3))
    given.build((None, 3))
    with pytest.raises(ValueError):
        host.further = L.Dense(2)
    keras_private.give_layer(host, "given", given)
    assert len(host.trainable_variables) == 4
    with pytest.raises(ValueError):
        host.further = L.Dense(2)


def test_fit_does_not_warn_of_a_layer_that_is_new():
    inputs = keras.Input((4, 4, 3))
    functional = keras.Model(inputs, L.Conv2D(1, 1)(inputs))
    functional.compile("sgd", "mse")
    functional.new = L.Identity()
    keras_private.allow_new_layer(functional, functional.new)
    functional.fit(np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 1)), verbose=0)


def test_variables_are_left_out_of_weight_decay_beside_earlier_ones():
    first, second, third = (keras.Variable(1.0) for _ in range(3))
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[first])
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    keras_private.exempt_from_weight_decay(scaled, [second])
    decays = [keras_private.has_weight_decay(optimizer, v) for v in (first, second, third)]
    assert decays == [False, False, True]
    optimizer.build([first, second, third])
    keras_private.exempt_from_weight_decay(optimizer, [third])  # too late: as it was
    assert keras_private.has_weight_decay(optimizer, third)


def test_keras_notes_the_logits_of_a_sigmoid():
    logits = keras.ops.convert_to_tensor([[60.0], [-3.0]])
    found = keras_private.cached_logits(keras.activations.sigmoid(logits), "sigmoid")
    np.testing.assert_array_equal(value(found), value(logits))
    two = keras.activations.sigmoid(keras.ops.concatenate([logits, logits], -1))
    assert keras_private.cached_logits(two, "softmax") is None


@pytest.mark.skipif(not TENSORFLOW, reason="of TensorFlow's graphs")
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_a_tensor_of_a_graph_knows_its_activation(activation):
    import tensorflow as tf

    @tf.function
    def run(x):
        y = keras.activations.get(activation)(x)
        other = {"sigmoid": "softmax", "softmax": "sigmoid"}[activation]
        assert keras_private.cached_logits(y, other) is None
        assert keras_private.cached_logits(y + 0, activation) is None
        return keras_private.cached_logits(y, activation)

    np.testing.assert_array_equal(run(tf.constant([[60.0, -3.0]])), [[60.0, -3.0]])


@pytest.mark.skipif(not TENSORFLOW, reason="of TensorFlow's graphs")
def test_a_check_waits_until_all_is_traced():
    import tensorflow as tf

    done = []

    @tf.function
    def inner(x):
        assert keras_private.after_tracing(lambda: done.append("checked"))
        done.append("inner")
        return x

    @tf.function
    def outer(x):
        x = inner(x)
        done.append("outer")
        return x

    outer(tf.constant(1.0))
    assert done == ["inner", "outer", "checked"]
    assert not keras_private.after_tracing(lambda: done.append("never"))


def test_gradients_are_clipped_with_their_variables():
    variable, seen = keras.Variable([1.0, 1.0]), []
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1.0)

    def clip(gradients, variables, together):
        seen.extend(variables)
        return [0 * g for g in together(gradients)]

    keras_private.clip_gradients_by(optimizer, clip)
    optimizer.apply([keras.ops.convert_to_tensor([3.0, 4.0])], [variable])
    assert seen[0] is variable
    np.testing.assert_array_equal(value(variable), [1.0, 1.0])


def test_the_compiled_losses_of_several_outputs_have_metrics():
    inputs = keras.Input((4, 4, 3))
    two = keras.Model(inputs, [L.Conv2D(1, 1, name=name)(inputs) for name in "ab"])
    two.compile("sgd", ["mse", "mse"])
    zeros = [keras.ops.zeros((1, 4, 4, 1))] * 2
    metrics = keras_private.build_compiled_loss(two, zeros, zeros)
    assert [metric.name for metric in metrics] == ["a_loss", "b_loss"]
