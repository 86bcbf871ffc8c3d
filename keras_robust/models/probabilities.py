"""The last layer of a network of segmentation, and the way back from it."""

from typing import Any

import keras

from keras_robust.common.errors import invalid
from keras_robust.losses.probabilities import FLOOR, known_logits, with_logits

__all__ = ["Logits", "Probabilities", "with_logits_beside"]


@keras.saving.register_keras_serializable(package="keras_robust")
class Probabilities(keras.layers.Activation):
    """Probabilities of logits, which the losses still know: equal gradients however wrong they are.

    A probability in float32 says nothing of a logit beyond 16: the cross entropies of this library
    cut it off at 1e-7, and a voxel that is more confidently wrong gets no gradient. Behind this
    layer they compute with the logits themselves, on every backend. What comes out is a tensor of
    probabilities like any other, in float32 under every dtype policy.

    Args:
        activation: `"sigmoid"`, each channel by itself, or `"softmax"`.
        **options: Of `keras.layers.Layer`.

    Raises:
        ValueError: Another activation.

    >>> import numpy as np
    >>> from keras_robust.losses import CE
    >>> wrong = Probabilities("sigmoid")(np.full((1, 1, 1), 60.0))
    >>> float(CE()([[0]], wrong))
    60.0
    """

    def __init__(self, activation: str = "softmax", **options: Any):
        if activation not in ("sigmoid", "softmax"):
            raise invalid("activation", "one of 'sigmoid', 'softmax'", activation)
        options.setdefault("dtype", "float32")
        super().__init__(activation, **options)
        self.kind = activation

    def call(self, inputs):
        return with_logits(super().call(inputs), inputs, self.kind)


@keras.saving.register_keras_serializable(package="keras_robust")
class Logits(keras.layers.Layer):
    """The logits that an activation made probabilities of, float32.

    They are known behind `Probabilities`, and in a graph of TensorFlow behind any softmax or
    sigmoid. Elsewhere they are taken from probabilities, which tell no more than 16 on either side:
    the logarithms, of a sigmoid less those of the rest.

    Args:
        activation: `"sigmoid"`, each channel by itself, or `"softmax"`.
        **options: Of `keras.layers.Layer`.

    >>> import numpy as np
    >>> inputs = keras.Input((1,))
    >>> outputs = Logits("sigmoid")(Probabilities("sigmoid")(inputs))
    >>> keras.Model(inputs, outputs).predict_on_batch(np.array([[60.0]]))
    array([[60.]], dtype=float32)
    """

    def __init__(self, activation: str, **options: Any):
        options.setdefault("dtype", "float32")
        super().__init__(autocast=False, **options)
        self.kind = activation

    def call(self, probabilities):
        known = known_logits(probabilities, self.kind)
        if known is not None:
            return keras.ops.cast(known, "float32")
        ops, p = keras.ops, keras.ops.cast(probabilities, "float32")
        log_p = ops.log(ops.maximum(p, FLOOR))
        return log_p if self.kind == "softmax" else log_p - ops.log(ops.maximum(1 - p, FLOOR))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.kind}


def with_logits_beside(model: keras.Model, activation: str) -> keras.Model:
    """The same network with two outputs: its probabilities, of several outputs the first, and their
    logits."""
    probabilities = model.outputs[0]
    logits = Logits(activation, name="logits_of_probabilities")(probabilities)
    return keras.Model(model.inputs, [probabilities, logits])
