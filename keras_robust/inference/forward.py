"""Running a model on batches of NumPy arrays."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_robust.data import Case
from keras_robust.data.large_arrays import slabs

__all__ = ["forward", "require_finite"]


def forward(
    model: keras.Model, prepare: Callable[[tf.Tensor], tf.Tensor] | None = None
) -> Callable[[NDArray], NDArray[np.float32]]:
    """A compiled function from a batch to the probabilities that a model returns for it.

    Args:
        model: Returns probabilities, of one output.
        prepare: What is done to the batch first; `None` for a batch of float32 that is ready.

    Returns:
        A function that raises ValueError where the model's values are no probabilities.
    """
    ready = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]

    def run(images: tf.Tensor) -> tf.Tensor:
        return model(images if prepare is None else prepare(images), training=False)

    compiled = (
        tf.function(run, input_signature=ready)
        if prepare is None
        else tf.function(run, reduce_retracing=True)
    )

    def predict(images: NDArray) -> NDArray[np.float32]:
        probabilities = np.asarray(compiled(tf.constant(images)))
        low, high = probabilities.min(), probabilities.max()
        # Half precision may overshoot a little; logits overshoot by far.
        if not (low >= -0.01 and high <= 1.01):  # so that NaN does not pass
            remedy = "End the model with a sigmoid or a softmax."
            if not np.isfinite(low + high):
                remedy = "Look whether its weights are finite, and how large the values of images."
            raise ValueError(
                "Invalid value for argument `model`. Expected a model that returns probabilities, "
                f"0 to 1. Received: values from {low:.3g} to {high:.3g}. {remedy}"
            )
        return probabilities

    return predict


def require_finite(image: NDArray, case: Case) -> None:
    """Refuse an image that a network would turn into NaN altogether."""
    if not all(np.isfinite(image[rows]).all() for rows in slabs(image.shape)):
        raise ValueError(
            f"Invalid value for image {case.id!r}. Expected finite values. Received: NaN or "
            f"infinity in {case.image.name}. `keras-robust verify` lists such files."
        )
