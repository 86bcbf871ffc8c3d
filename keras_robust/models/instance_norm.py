"""Instance normalisation, by the form that is fastest for its shape, number type and device.

Measured by `scripts/bench/instance_norm.py`.
"""

import math

import keras
from keras import ops

from keras_robust.common.errors import invalid

LARGEST_BATCH = 16  # that is normalised sample by sample
KERNEL_LANES = 16  # channels that TensorFlow's kernel takes at once; ten times slower between them
FOLDED_WIDTH = 256  # of rows that TensorFlow passes over on a CPU about as fast as of wider ones


@keras.saving.register_keras_serializable(package="keras_robust")
class InstanceNormalization(keras.layers.Layer):
    """Normalise every channel of every sample to mean 0 and variance 1 over its spatial axes.

    ```
    y = gamma * (x - mean(x)) / sqrt(mean((x - mean(x))**2) + epsilon) + beta
    ```

    Statistics are computed in float32 whatever the dtype policy, and the variance as the mean of
    squared deviations: `E[x**2] - E[x]**2` cancels where the mean is large against the spread.
    The same result as `keras.layers.GroupNormalization(groups=-1)`, faster on CPU.

    Args:
        epsilon: Added to the variance.
        gamma_initializer: Of the scale; `"zeros"` lets a residual block begin as its shortcut.

    Call arguments:
        inputs: `(batch, *spatial, channels)`, any number of spatial axes.

    Reference:
        [Ulyanov et al., 2016](https://arxiv.org/abs/1607.08022)

    >>> import numpy as np
    >>> y = InstanceNormalization()(np.arange(8.0).reshape(1, 4, 2))
    >>> float(abs(np.mean(y))) < 1e-6
    True
    """

    def __init__(self, epsilon: float = 1e-5, gamma_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None or len(input_shape) < 3:
            raise invalid(
                "inputs",
                "shape (batch, *spatial, channels) with a known number of channels",
                said=f"inputs.shape={tuple(input_shape)}",
            )
        self.gamma = self.add_weight(
            shape=(channels,),
            initializer=self.gamma_initializer,
            name="gamma",
            dtype="float32",
            autocast=False,
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta", dtype="float32", autocast=False
        )

    def call(self, inputs):
        if self.compute_dtype == "bfloat16" and _fits_kernel(inputs):
            return _by_kernel(inputs, ops.copy(self.gamma), ops.copy(self.beta), self.epsilon)
        x = ops.cast(inputs, "float32")
        y = _normalize(x, ops.copy(self.gamma), ops.copy(self.beta), self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        initializer = keras.initializers.serialize(self.gamma_initializer)
        own = {"epsilon": self.epsilon, "gamma_initializer": initializer}
        return {**super().get_config(), **own}


def _fits_kernel(inputs) -> bool:
    """Whether TensorFlow's kernel of batch normalisation does it: on CPU, few samples, full lanes.

    It takes half the time of `_normalize`, and loses about a digit more where the mean is large
    against the spread, which does not show in bfloat16.
    """
    batch, channels = inputs.shape[0], inputs.shape[-1]
    if batch is None or batch > LARGEST_BATCH or channels % KERNEL_LANES:
        return False
    return _by_tensorflow_on_cpu()


def _by_tensorflow_on_cpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def _by_kernel(inputs, gamma, beta, epsilon):
    """Each sample as a batch of its own."""
    import tensorflow as tf

    channels = inputs.shape[-1]
    normalized = [
        tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(sample, (1, 1, -1, channels)),
            scale=gamma,
            offset=beta,
            mean=[],
            variance=[],
            epsilon=epsilon,
            is_training=True,
        ).y
        for sample in tf.unstack(inputs)
    ]
    return tf.reshape(tf.stack(normalized), tf.shape(inputs))


def _normalize(x, gamma, beta, epsilon):
    shape, channels = ops.shape(x), x.shape[-1]
    places = math.prod(x.shape[1:-1]) if None not in x.shape[1:-1] else 1
    folds = _folds(places, channels)
    if folds > 1:
        x = ops.reshape(x, (-1, places // folds, folds * channels))
        gamma, beta = ops.tile(gamma, folds), ops.tile(beta, folds)
    axes = tuple(range(1, len(x.shape) - 1))

    def mean(x):
        """Over space, for every channel of every fold."""
        found = ops.mean(x, axis=axes, keepdims=True)
        if folds == 1:
            return found
        of_channels = ops.mean(ops.reshape(found, (-1, 1, folds, channels)), axis=2)
        return ops.tile(of_channels, (1, 1, folds))

    # The derivative written out takes fewer passes over the images than automatic differentiation
    # of the statistics: a training step of a small U-Net is about a fifth faster on CPU.
    @ops.custom_gradient
    def normalize(x, gamma, beta):
        deviation = x - mean(x)
        variance = mean(ops.square(deviation))
        inverse = ops.rsqrt(variance + epsilon)
        scale = inverse * gamma

        def gradient(*args, upstream=None):
            dy = args[0] if upstream is None else upstream
            along, moment = mean(dy), mean(dy * deviation)
            dx = scale * dy - (deviation * (scale * ops.square(inverse) * moment) + scale * along)
            size = ops.cast(ops.size(dy[0, ..., 0]), dy.dtype)
            batch_and_space = (0, *axes)
            return (
                dx,
                size * ops.sum(moment * inverse, axis=batch_and_space),
                size * ops.sum(along, axis=batch_and_space),
            )

        return deviation * scale + beta, gradient

    return ops.reshape(normalize(x, gamma, beta), shape)


def _folds(places: int, channels: int) -> int:
    """How many neighbours in space to take as channels of one row.

    TensorFlow passes over rows of few channels at a fraction of the speed: 3-D with 4 channels is
    twice as fast folded.
    """
    folds = 1
    if _by_tensorflow_on_cpu():
        while folds * channels < FOLDED_WIDTH and places % (2 * folds) == 0:
            folds *= 2
    return folds
