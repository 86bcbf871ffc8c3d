"""The last layer of a network of segmentation."""

from typing import Any

import keras

from keras_robust.common.errors import invalid
from keras_robust.losses.probabilities import with_logits

__all__ = ["Probabilities"]


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
