"""Running a model on batches of NumPy arrays."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid

__all__ = ["forward", "input_shape_of"]


def input_shape_of(model: keras.Model) -> tuple[Any, ...]:
    """`(*spatial, channels)` of the images that a model takes; sizes may be `None`.

    Raises:
        ValueError: The model has no shape of its own, or other inputs than one of images.
    """
    try:
        shape = model.input_shape
    except AttributeError:
        shape = None  # subclassed, or not built
    if not (isinstance(shape, tuple) and len(shape) in (4, 5) and shape[-1]):
        raise invalid(
            "model",
            (
                "one input of a known shape, (batch, *spatial, channels) with two or "
                "three spatial axes"
            ),
            said=f"a {type(model).__name__} of the input shape {shape}",
            remedy=(
                "Wrap a model that is subclassed or not built: `inputs = "
                "keras.Input((256, 256, 3))`, then `keras.Model(inputs, "
                "model(inputs))`."
            ),
        )
    return shape[1:]


def forward(
    model: keras.Model, prepare: Callable[[Any], Any] | None = None
) -> Callable[[NDArray], NDArray[np.float32]]:
    """A function, compiled on TensorFlow and JAX, from a batch to the probabilities that a model
    returns for it.

    Args:
        model: Returns probabilities, of one output or of several, of which the first, the finest
            of `keras_robust.models.UNet`, is taken.
        prepare: What is done to the batch first; `None` for a batch of float32 that is ready.

    Returns:
        A function that raises ValueError where the model's values are no probabilities.
    """
    shape = input_shape_of(model)
    on_tensorflow = keras.backend.backend() == "tensorflow"
    outputs = _graph(model, shape, prepare) if on_tensorflow else _by_keras(model, prepare)

    def predict(images: NDArray) -> NDArray[np.float32]:
        returned = outputs(images)
        found = sorted(returned) if isinstance(returned, dict) else tuple(returned.shape)
        if len(found) != images.ndim or isinstance(returned, dict):
            raise invalid(
                "model",
                "an output (batch, *spatial, classes), or a list that begins with it",
                said=f"{found}",
                remedy="Choose an output: `keras.Model(model.inputs, model.outputs[0])`.",
            )
        probabilities = np.asarray(returned)
        low, high = probabilities.min(), probabilities.max()
        # Half precision may overshoot a little; logits overshoot by far.
        if not (low >= -0.01 and high <= 1.01):  # so that NaN does not pass
            remedy = "End the model with a sigmoid or a softmax."
            if not np.isfinite(low + high):
                remedy = "Look whether its weights are finite, and how large the values of images."
            raise invalid(
                "model",
                "a model that returns probabilities, 0 to 1",
                said=f"values from {low:.3g} to {high:.3g}. {remedy}",
            )
        return probabilities

    return predict


def _graph(model: keras.Model, shape: tuple[Any, ...], prepare: Any) -> Callable[[NDArray], Any]:
    import tensorflow as tf

    def run(images: Any) -> Any:
        return _first(model(images if prepare is None else prepare(images), training=False))

    # What is ready has one signature, whatever the size of the batch; what is not, several.
    ready = [tf.TensorSpec((None, *shape), tf.float32)]
    options = {"input_signature": ready} if prepare is None else {"reduce_retracing": True}
    compiled = tf.function(run, **options)
    return lambda images: compiled(tf.constant(images))


def _by_keras(model: keras.Model, prepare: Any) -> Callable[[NDArray], Any]:
    def run(images: NDArray) -> Any:
        if prepare is not None:
            images = keras.ops.convert_to_numpy(prepare(keras.ops.convert_to_tensor(images)))
        return _first(model.predict_on_batch(images))

    return run


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, list | tuple) else outputs
