"""All that training changes, as bytes: weights, the loss's parameters, the optimiser."""

import io
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_robust.common.errors import invalid


def dump_state(model: keras.Model) -> bytes:
    """Variables of a compiled model and of its optimiser as an uncompressed `.npz`.

    The variables of a model hold the parameters of its loss and its seed generators.
    """
    arrays = {key: array_of(variable) for key, variable in _variables(model)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_state(model: keras.Model, content: bytes, weights_only: bool = False) -> None:
    """Set the variables that `dump_state` wrote.

    Args:
        model: Compiled as the one that was dumped; with `weights_only` merely of its architecture.
        content: From `dump_state`.
        weights_only: Leave the optimiser, and the parameters of a loss that the model was not
            compiled with, aside.

    Raises:
        ValueError: The variables do not fit those of the model; it is then unchanged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = dict(stored)
    variables = dict(_variables(model, optimizer=not weights_only))
    wanted = {key: tuple(variable.shape) for key, variable in variables.items()}
    found = {key: array.shape for key, array in arrays.items()}
    if weights_only:
        found = {key: shape for key, shape in found.items() if key in wanted}
    if wanted != found:
        wrong = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        first = wrong[0]
        raise invalid(
            "content",
            "the variables of this model",
            said=(
                f"{len(wrong)} that differ, the first {first}: shape "
                f"{found.get(first)}, expected {wanted.get(first)}"
            ),
            remedy="Build the model from the configuration of its run.",
        )
    for key, variable in variables.items():
        variable.assign(arrays[key])


def weights_of(model: keras.Model, states: Iterable[bytes]) -> list[list[np.ndarray]]:
    """The weights of each state, as `get_weights` gives them; the model is left with the last."""
    weights = []
    for state in states:
        load_state(model, state, weights_only=True)
        weights.append(model.get_weights())
    return weights


def _variables(model: keras.Model, optimizer: bool = True) -> Iterable[tuple[str, keras.Variable]]:
    """Variables by names that depend neither on other models in the process nor on the loss."""
    # A loss comes and goes with `compile`: its parameters must not shift the numbers of weights.
    extra = getattr(model, "loss_parameters", None)
    of_loss = extra.variables if extra is not None else []
    weights = [v for v in model.variables if not any(v is other for other in of_loss)]
    groups = {"model": weights, "loss": of_loss}
    if optimizer:
        groups["optimizer"] = model.optimizer.variables
    for group, members in groups.items():
        for number, variable in enumerate(members):
            yield f"{group}-{number:04d}", variable


def array_of(variable: Any) -> np.ndarray:
    """The value of a variable, also of one that several devices hold."""
    if keras.backend.backend() != "tensorflow":
        return np.asarray(keras.ops.convert_to_numpy(variable))
    import tensorflow as tf

    # `keras.ops.convert_to_numpy` warns under NumPy 2, and leaves mirrored variables as they are.
    return np.asarray(tf.convert_to_tensor(variable))
