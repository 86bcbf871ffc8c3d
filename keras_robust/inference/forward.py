"""Running a model on batches of NumPy arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.regions import Regions
from keras_robust.models.compiled import compiled
from keras_robust.models.decoding import activation_of
from keras_robust.models.probabilities import with_logits_beside

__all__ = ["forward", "input_shape_of", "mean_logits"]


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
    outputs = _compiled(model, prepare, _first)

    def predict(images: NDArray) -> NDArray[np.float32]:
        return _checked(outputs(images), images.ndim)

    return predict


def mean_logits(
    models: Sequence[keras.Model],
    regions: Regions = (),
    prepare: Callable[[Any], Any] | None = None,
) -> Callable[[NDArray], NDArray[np.float32]]:
    """A function from a batch to the mean logits of models that return probabilities.

    Args:
        models: At least one, all of the same input and output; see
            `keras_robust.models.probabilities.Logits`.
        regions: Of the plan that they were trained by.
        prepare: As of `forward`.

    Returns:
        A function that raises ValueError where the values of a model are no probabilities.
    """
    functions = [_logits(model, regions, prepare) for model in models]

    def predict(images: NDArray) -> NDArray[np.float32]:
        total = functions[0](images)
        for function in functions[1:]:
            total = total + function(images)
        return total / np.float32(len(functions)) if len(functions) > 1 else total

    return predict


def _logits(
    model: keras.Model, regions: Regions, prepare: Callable[[Any], Any] | None
) -> Callable[[NDArray], NDArray[np.float32]]:
    axes = len(input_shape_of(model)) + 1
    returned = _first(model.output)
    _require_one_output(returned, axes)
    both = with_logits_beside(model, activation_of(returned.shape[-1], regions))
    outputs = _compiled(both, prepare, tuple)

    def predict(images: NDArray) -> NDArray[np.float32]:
        probabilities, logits = outputs(images)
        _checked(probabilities, axes)
        return keras.ops.convert_to_numpy(logits)

    return predict


def _checked(returned: Any, axes: int) -> NDArray[np.float32]:
    """What a model returned as probabilities."""
    _require_one_output(returned, axes)
    probabilities = keras.ops.convert_to_numpy(returned)
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


def _require_one_output(returned: Any, axes: int) -> None:
    found = sorted(returned) if isinstance(returned, dict) else tuple(returned.shape)
    if len(found) != axes or isinstance(returned, dict):
        raise invalid(
            "model",
            "an output (batch, *spatial, classes), or a list that begins with it",
            said=f"{found}",
            remedy="Choose an output: `keras.Model(model.inputs, model.outputs[0])`.",
        )


def _compiled(
    model: keras.Model, prepare: Callable[[Any], Any] | None, chosen: Callable[[Any], Any]
) -> Callable[[NDArray], Any]:
    """What is chosen of the outputs of a model for a batch."""

    def run(images: Any) -> Any:
        return chosen(model(images if prepare is None else prepare(images), training=False))

    # What is ready has one signature, whatever the size of the batch; what is not, several.
    like = [(input_shape_of(model), "float32")] if prepare is None else None
    return compiled(run, model, like)


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, list | tuple) else outputs
