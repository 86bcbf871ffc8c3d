"""What is computed with a model outside training, compiled on every backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from numpy.typing import DTypeLike

__all__ = ["compiled"]

Like = Sequence[tuple[Sequence[int | None], DTypeLike]]


def compiled(
    function: Callable[..., Any], model: keras.Model | None = None, like: Like | None = None
) -> Callable[..., Any]:
    """A function of arrays, compiled on TensorFlow and JAX, without gradients on PyTorch.

    Args:
        function: Of tensors, which it may change by `keras.ops` and give to the model.
        model: Whose weights it reads; those of the moment of each call count.
        like: Shape and type of each array without the axis of the batch, the same for batches of
            any size; `None` where they vary.

    Returns:
        A function of arrays; it returns tensors of the backend.

    >>> import numpy as np
    >>> twice = compiled(lambda x: 2 * x)
    >>> np.asarray(twice(np.ones(2))).tolist()
    [2.0, 2.0]
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _graph(function, like)
    if backend == "jax":
        return _jitted(function, model)
    return _without_gradients(function)


def _graph(function: Callable[..., Any], like: Like | None) -> Callable[..., Any]:
    import tensorflow as tf

    if like is None:
        run = tf.function(function, reduce_retracing=True)
    else:
        signature = [tf.TensorSpec((None, *shape), dtype) for shape, dtype in like]
        run = tf.function(function, input_signature=signature)
    return lambda *arrays: run(*map(tf.convert_to_tensor, arrays))


def _jitted(function: Callable[..., Any], model: keras.Model | None) -> Callable[..., Any]:
    import jax

    variables = [] if model is None else model.variables

    def pure(values: list[Any], *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*arrays)

    run = jax.jit(pure)
    return lambda *arrays: run([variable.value for variable in variables], *arrays)


def _without_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arrays: Any) -> Any:
        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        if keras.backend.backend() != "torch":
            return function(*tensors)
        import torch

        with torch.no_grad():
            return function(*tensors)

    return run
