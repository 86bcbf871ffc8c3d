"""Who trains the parameters of a loss.

Keras tracks no variables of a loss: what `compile(loss=...)` receives is neither in
`model.trainable_variables` nor in checkpoints. Here a layer of the model owns them: they are
weights like all others, with one optimiser, one loss scale, one gradient accumulation, one
checkpoint, on every backend. `keras_robust.models.Model` sees to that in its own `compile`. For any
other Keras model the first loss with parameters has Keras tell of the losses that models are
compiled with; until then, and for all other models, Keras stays as it is.

Whoever asks for `loss.trainable_variables` claims them, be it a model or a loop of one's own. A
loss whose parameters nobody claimed must not be differentiated: they would stay as they are.
"""

import types
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import keras
from keras import ops, tree

from keras_robust.losses import keras_private

ATTRIBUTE = "loss_parameters"


@keras.saving.register_keras_serializable(package="keras_robust")
class LossParameters(keras.layers.Layer):
    """Owner, inside a model, of the trainable parameters of its losses."""

    def __init__(self, name: str = ATTRIBUTE, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.count = 0
        self.built = True

    def hold(self, variables: Iterable[Any]) -> None:
        """Own these variables, in place of earlier ones."""
        for number in range(self.count):
            delattr(self, f"parameter_{number}")
        self.count = 0
        for number, variable in enumerate(variables):
            setattr(self, f"parameter_{number}", variable)
            self.count = number + 1

    def load_own_variables(self, store):
        # Weights that were trained with another loss hold no parameters: the current ones stay; and
        # a model that is not compiled with such a loss has no use for those of one that was.
        if store.keys() and self.count:
            super().load_own_variables(store)


_OWNERS: WeakKeyDictionary[keras.Model, LossParameters] = WeakKeyDictionary()


def elementary(loss: Any) -> Iterator[Any]:
    """The elementary keras_robust losses in what `compile` accepts: a loss, sum, list or dict."""
    for item in tree.flatten(loss):
        if isinstance(item, keras.losses.Loss) and hasattr(item, "terms"):
            yield from item.terms()


def parameters_of(loss: Any) -> list[Any]:
    """The parameters of all losses in what `compile` accepts, each once; claims none."""
    found = [variable for item in elementary(loss) for variable in item.parameters]
    return list({id(variable): variable for variable in found}.values())


def claim(model: keras.Model, loss: Any) -> list[Any]:
    """The parameters of all losses in what `compile` accepts, for a model that will train them."""
    losses = [item for item in elementary(loss) if item.parameters]
    _move_into_scope(model, losses)
    for item in losses:
        item.is_claimed = True
    return parameters_of(losses)


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
    variables, owner = claim(model, loss), _owner(model)
    if owner is None:
        if not variables:
            return
        owner = LossParameters()
        keras_private.give_layer(_host(model), ATTRIBUTE, owner)
        keras_private.allow_new_layer(model, owner)
        _OWNERS[model] = owner
    owner.hold(variables)
    keras_private.exempt_from_weight_decay(getattr(model, "optimizer", None), variables)
    if variables:
        vars(model)["save"] = types.MethodType(_save, model)
    else:
        vars(model).pop("save", None)


def refuse_hdf5(filepath: Any) -> None:
    """Refuse a model file in a format that cannot hold the parameters of a loss.

    Raises:
        ValueError: a path that ends in '.h5' or '.hdf5'.
    """
    if str(filepath).endswith((".h5", ".hdf5")):
        raise ValueError(
            "A model file in the legacy HDF5 format cannot hold the parameters of a loss. "
            f"Expected a path that ends in '.keras'. Received: filepath={str(filepath)!r}. "
            "Save the model as '.keras', or its weights alone by `save_weights`."
        )


def watch_models() -> None:
    """Let every Keras model own the parameters of the losses that it is compiled with."""
    keras_private.watch_losses_of_models(_compiled)


def watched(loss: Any, tensor: Any) -> Any:
    """The tensor; to differentiate by it is an error where nobody trains the loss's parameters.

    In a graph of TensorFlow they may still be claimed until all of it is traced, elsewhere until
    the loss is next computed; with JAX, whose gradients are taken by variables named before, they
    must have been claimed already.
    """
    if loss.is_claimed or not loss.parameters:
        return tensor
    if loss.is_differentiated:
        _require_claimed(loss)

    @ops.custom_gradient
    def identity(x):
        def gradient(*args, upstream=None):
            _differentiated(loss)
            return args[0] if upstream is None else upstream

        return ops.multiply(x, 1), gradient

    return identity(tensor)


def _differentiated(loss: Any) -> None:
    if keras.backend.backend() == "jax":
        _require_claimed(loss)
    elif not keras_private.after_tracing(lambda: _require_claimed(loss)):
        loss.is_differentiated = True


def _require_claimed(loss: Any) -> None:
    if not loss.is_claimed:
        raise RuntimeError(
            f"{type(loss).__name__} has parameters that the model in training does not train. "
            "Expected the loss object itself in `compile(loss=...)`; it was hidden in a function, "
            "or the model's own `compile` did not pass it on. Pass the object, or call "
            "`keras_robust.losses.attach(model, loss)` before `fit`; in a loop of your own, train "
            "`loss.trainable_variables` beside the weights."
        )


def _compiled(model: keras.Model, loss: Any) -> None:
    """Own the parameters of the loss that a model is compiled with, unless it does already."""
    owner, ids = _owner(model), {id(variable) for variable in parameters_of(loss)}
    held = {id(variable) for variable in owner.variables} if owner else set()
    if not ids <= held or (held and not ids):
        with keras_private.tracking():
            attach(model, loss)


def _owner(model: keras.Model) -> LossParameters | None:
    own = vars(model).get(ATTRIBUTE)
    return own if isinstance(own, LossParameters) else _OWNERS.get(model)


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


def _save(model: keras.Model, filepath: Any, *args: Any, **kwargs: Any) -> None:
    refuse_hdf5(filepath)
    type(model).save(model, filepath, *args, **kwargs)


def _move_into_scope(model: keras.Model, losses: list) -> None:
    """Under tf.distribute a variable must be made in the scope of the model's strategy."""
    if keras.backend.backend() != "tensorflow":
        return
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    with strategy.scope():
        for loss in losses:
            if not strategy.extended.variable_created_in_scope(loss.parameters[0].value):
                loss.renew_variables()
