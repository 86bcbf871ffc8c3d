"""All that the project uses of the private names of Keras and TensorFlow, a function for each.

`tests/keras_robust/losses/test_keras_private.py` has a test for each: a version of Keras that
changes one of them fails there.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_robust.common.distribution import replicas, sum_over_replicas


class _LossOfModel:
    """The attribute `loss` of every Keras model, which tells of what `compile` assigns to it.

    `compile` itself cannot be what is replaced: in `model.compile(loss=TLoss())` Python has looked
    it up before it makes the loss, the first of which puts this in.
    """

    def __init__(self, compiled: Callable[[keras.Model, Any], None]):
        self.compiled = compiled

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        if "loss" not in vars(model):
            raise AttributeError(f"{type(model).__name__!r} object has no attribute 'loss'")
        return vars(model)["loss"]

    def __set__(self, model: Any, loss: Any) -> None:
        vars(model)["loss"] = loss
        # A model of one's own may have an attribute of this name, which is no business of ours.
        if is_compiling():
            self.compiled(model, loss)


def watch_losses_of_models(compiled: Callable[[keras.Model, Any], None]) -> None:
    """From now on, call `compiled(model, loss)` whenever a Keras model is compiled with a loss."""
    if not isinstance(vars(keras.Model).get("loss"), _LossOfModel):
        keras.Model.loss = _LossOfModel(compiled)


def is_compiling() -> bool:
    """Whether Keras assigns attributes without tracking them, as it does within `compile`."""
    from keras.src.utils import tracking

    return not tracking.is_tracking_enabled()


@contextmanager
def tracking() -> Iterator[None]:
    """Let layers track what is assigned to them, within `compile`, too."""
    from keras.src.backend.common import global_state

    before = not is_compiling()
    global_state.set_global_attribute("tracking_on", True)
    try:
        yield
    finally:
        global_state.set_global_attribute("tracking_on", before)


def give_layer(host: keras.layers.Layer, name: str, layer: keras.layers.Layer) -> None:
    """Make a layer part of another one, which may be built already and so be locked."""
    locked = host._tracker.locked
    host._tracker.unlock()
    setattr(host, name, layer)
    if locked:
        host._tracker.lock()


def allow_new_layer(model: keras.Model, layer: keras.layers.Layer) -> None:
    """Let `fit` not warn of a layer that a compiled model did not have when it was compiled."""
    state = getattr(model, "_compiled_trainable_state", None)
    if state is not None:
        state[layer] = layer.trainable


def exempt_from_weight_decay(optimizer: Any, variables: Iterable[Any]) -> None:
    """Leave variables out of the weight decay of an optimiser, beside what its user left out.

    The public `exclude_from_weight_decay` forgets what was left out before. Whether or not
    `weight_decay` is set: an optimiser of one's own may have a penalty beside it.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    variables = list(variables)
    if not variables or optimizer is None or optimizer.built:
        return
    if not hasattr(optimizer, "_var_key"):
        optimizer.exclude_from_weight_decay(var_list=variables)
        return
    earlier: set = getattr(optimizer, "_exclude_from_weight_decay", set())
    keys = {optimizer._var_key(variable) for variable in variables}
    optimizer._exclude_from_weight_decay = earlier | keys


def has_weight_decay(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether a variable is not left out of the weight decay of an optimiser."""
    return optimizer._use_weight_decay(variable)


def cached_logits(probabilities: Any, activation: str) -> Any:
    """The logits that Keras's `"softmax"` or `"sigmoid"` made a tensor of; None if it cannot say.

    In a graph of TensorFlow a tensor knows what it is of, and Keras's own cross entropies ask it,
    too. Elsewhere Keras notes the logits but not the activation, which one channel alone tells.
    """
    operation = None
    if keras.backend.backend() == "tensorflow" and not hasattr(probabilities, "numpy"):
        operation = getattr(probabilities, "op", None)
    if operation is not None:
        return operation.inputs[0] if operation.type.lower() == activation else None
    is_sigmoid = activation == "sigmoid" and probabilities.shape[-1] == 1
    return getattr(probabilities, "_keras_logits", None) if is_sigmoid else None


def after_tracing(check: Callable[[], None]) -> bool:
    """Call `check` once TensorFlow has traced the outermost function; False outside of any."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    while hasattr(getattr(graph, "outer_graph", None), "_add_scope_exit_callback"):
        graph = graph.outer_graph
    if not hasattr(graph, "_add_scope_exit_callback"):
        return False

    def unless_failed() -> None:
        if sys.exc_info()[0] is None:
            check()

    graph._add_scope_exit_callback(unless_failed)
    return True


def clip_gradients_by(
    optimizer: Any, clip: Callable[[list, list, Callable[[list], list]], list]
) -> None:
    """Let `clip(gradients, variables, together)` clip the gradients of an optimiser.

    `together` is Keras's own clipping. Keras clips inside `_backend_apply_gradients`, after
    unscaling and accumulation, and hands the clipping no variables.
    """
    apply = type(optimizer)._backend_apply_gradients.__get__(optimizer)
    together = type(optimizer)._clip_gradients.__get__(optimizer)
    variables: list = []

    def apply_and_remember(gradients, trainable_variables):
        variables[:] = trainable_variables
        return apply(gradients, trainable_variables)

    optimizer._backend_apply_gradients = apply_and_remember
    optimizer._clip_gradients = _of_sums(lambda gradients: clip(gradients, variables, together))


def sum_before_clipping(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Let an optimiser clip what the replicas (tf.distribute) add up to, as one device does; Keras
    clips the part of each."""
    optimizer._clip_gradients = _of_sums(type(optimizer)._clip_gradients.__get__(optimizer))
    return optimizer


def _of_sums(clip: Callable[[list], list]) -> Callable[[list], list]:
    def clipped(gradients: list) -> list:
        count = replicas()
        if count == 1:
            return clip(gradients)
        # Keras adds up what the replicas return.
        return [gradient / count for gradient in clip(sum_over_replicas(gradients))]

    return clipped


def build_compiled_loss(model: keras.Model, y: Any, y_pred: Any) -> list[keras.metrics.Metric]:
    """Build the losses that a model was compiled with; the metrics of the outputs' losses."""
    if not model._compile_loss.built:
        model._compile_loss.build(y, y_pred)
    return model._compile_loss.metrics
