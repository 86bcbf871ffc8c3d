"""How the parameters of a loss come to be trained by the model that is compiled with it.

Keras tracks no variables of a loss: what `compile(loss=...)` receives is neither in
`model.trainable_variables` nor in checkpoints. Here, `keras.Model.compile` first hands the
parameters to a layer that the model owns. From then on they are weights like all others: one
optimiser, one loss scale, one gradient accumulation, one checkpoint, on every backend.
"""

import functools
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

_ATTRIBUTE = "loss_parameters"


@keras.saving.register_keras_serializable(package="keras_robust")
class LossParameters(keras.layers.Layer):
    """Owner, inside a model, of the trainable parameters of its losses."""

    def __init__(self, variables=(), name: str = _ATTRIBUTE, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        for variable in variables:
            self._track_variable(variable)
        self.built = True

    def load_own_variables(self, store):
        # Weights that were trained with another loss hold no parameters: the current ones stay.
        if store.keys():
            super().load_own_variables(store)


def elementary(loss: Any) -> Iterator[Any]:
    """The elementary keras_robust losses in what `compile` accepts: a loss, sum, list or dict."""
    from keras_robust.losses.base import SegmentationLoss

    for item in tree.flatten(loss):
        if isinstance(item, SegmentationLoss):
            yield from item.terms()


def attach(model: keras.Model, loss: Any) -> None:
    """Make the parameters of `loss` trainable weights of `model`, in place of earlier ones.

    `model.compile(loss=loss)` does this by itself; call it only for a model whose `compile` does
    not pass the loss on to `keras.Model.compile`, after `compile` and before the first `fit` or
    `evaluate`, which show the optimiser the weights.

    Args:
        model: any Keras model.
        loss: what `compile` accepts: a loss, or a list or dict of losses.

    Raises:
        ValueError: an empty `Sequential` model, which has no place for them.
    """
    detach(model)
    losses = [item for item in elementary(loss) if item.trainable_variables]
    if not losses:
        return
    _move_into_scope(model, losses)
    variables = list({id(v): v for item in losses for v in item.trainable_variables}.values())
    _set(_host(model), LossParameters(variables))
    _exempt_from_weight_decay(model)


def detach(model: keras.Model) -> None:
    """Take the parameters of an earlier loss out of the weights of `model`."""
    for host in (model, *model._flatten_layers(include_self=False)):
        layer = getattr(host, _ATTRIBUTE, None)
        if isinstance(layer, LossParameters):
            host._tracker.unlock()
            host._tracker.untrack(layer)
            delattr(host, _ATTRIBUTE)


def require_trained(loss: Any) -> None:
    """See to it that the model whose training step evaluates `loss` trains its parameters.

    `model.compile(loss=TLoss())` looks `compile` up before it makes the loss, which may be what
    imports this module. Such a model is caught here, while Keras builds it and before its
    optimiser has looked at the weights.

    Raises:
        RuntimeError: the parameters would stay frozen.
    """
    model, is_training = _running_model()
    if model is None or _trains(model, loss):
        return
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and loss in elementary(model.loss):
        attach(model, model.loss)
    if is_training and not _trains(model, loss):
        raise RuntimeError(
            f"{type(loss).__name__} has parameters that model {model.name!r} does not train. "
            "Expected the loss object itself in `compile(loss=...)`, with the model trainable; it "
            "was hidden in a function, or the model's own `compile` did not pass it on. Pass the "
            "object, or call `keras_robust.losses.attach(model, loss)` before `fit`."
        )


def _trains(model: keras.Model, loss: Any) -> bool:
    trained = {id(v) for v in model.trainable_variables}
    return all(id(v) in trained for v in loss.trainable_variables)


def _install() -> None:
    """Let every Keras model attach the parameters of its losses, and save them or say why not."""
    # Keras reloads the compilation only of models whose `compile` is the one of this class.
    owner = next(cls for cls in keras.Model.__mro__ if "compile" in vars(cls))
    original = owner.compile
    signature = inspect.signature(original)

    @functools.wraps(original)
    def compile_and_attach(self, *args, **kwargs):
        attach(self, signature.bind(self, *args, **kwargs).arguments.get("loss"))
        original(self, *args, **kwargs)
        _exempt_from_weight_decay(self)

    owner.compile = compile_and_attach
    save = keras.Model.save

    @functools.wraps(save)
    def save_with_parameters(self, filepath, *args, **kwargs):
        if str(filepath).endswith((".h5", ".hdf5")) and _layers(self):
            raise ValueError(
                "A model file in the legacy HDF5 format cannot hold the parameters of a loss. "
                f"Expected a path that ends in '.keras'. Received: filepath={str(filepath)!r}. "
                "Save the model as '.keras', or its weights alone by `save_weights`."
            )
        return save(self, filepath, *args, **kwargs)

    keras.Model.save = save_with_parameters


def _layers(model: keras.Model) -> list[LossParameters]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, LossParameters)]


def _host(model: keras.Model) -> keras.layers.Layer:
    # What a Sequential model owns is its sequence, so its last layer takes the parameters in.
    host: keras.layers.Layer = model
    while isinstance(host, keras.Sequential):
        if not host.layers:
            raise ValueError(
                "A Sequential model without layers has no place for the parameters of its loss. "
                "Expected at least one layer. Received: none. Add the layers before `compile`."
            )
        host = host.layers[-1]
    return host


def _set(host: keras.layers.Layer, layer: LossParameters) -> None:
    locked = host._tracker.locked
    host._tracker.unlock()
    setattr(host, _ATTRIBUTE, layer)
    if locked:
        host._tracker.lock()


def _move_into_scope(model: keras.Model, losses: list) -> None:
    """Under tf.distribute a variable must be made in the scope of the model's strategy."""
    if keras.backend.backend() != "tensorflow":
        return
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    with strategy.scope():
        for loss in losses:
            if not strategy.extended.variable_created_in_scope(loss.trainable_variables[0].value):
                loss.renew_variables()


def _exempt_from_weight_decay(model: keras.Model) -> None:
    """Weight decay would pull ν towards 1, which no prior asks for."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    layers = _layers(model)
    if not layers or optimizer is None or optimizer.built:
        return
    # Whether or not `weight_decay` is set: an optimiser of one's own may have a penalty beside it.
    exempt: set = getattr(optimizer, "_exclude_from_weight_decay", set())
    optimizer._exclude_from_weight_decay = exempt | {
        optimizer._var_key(v) for layer in layers for v in layer.trainable_variables
    }


def _running_model() -> tuple[keras.Model | None, bool]:
    """The model further up the stack that is being built or trained, and whether it is trained."""
    frame = sys._getframe(2)
    while frame is not None:
        # AutoGraph prefixes the names of what it converts.
        name = frame.f_code.co_name.removeprefix("tf__")
        if name in ("train_step", "_symbolic_build"):
            model = frame.f_locals.get("self")
            if isinstance(model, keras.Model):
                return model, name == "train_step"
        frame = frame.f_back  # type: ignore[assignment]
    return None, False


_install()
