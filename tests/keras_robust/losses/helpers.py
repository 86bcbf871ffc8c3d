"""Backend-neutral helpers of the loss tests."""

import keras
import numpy as np
from keras import ops


def value(x) -> np.ndarray:
    return ops.convert_to_numpy(ops.copy(x))


def gradients(loss, y_true, y_pred, sample_weight=None) -> tuple[np.ndarray, list[np.ndarray]]:
    """Gradient of the (summed) loss by the predictions, and by the loss's own parameters."""
    variables = loss.trainable_variables
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            x = tf.convert_to_tensor(y_pred)
            tape.watch(x)
            total = tf.reduce_sum(loss(y_true, x, sample_weight))
        found = tape.gradient(total, [x, *[v.value for v in variables]])
        return value(found[0]), [value(g) for g in found[1:]]
    if backend == "jax":
        import jax

        def total(x, values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return ops.sum(loss(y_true, x, sample_weight))

        by_x, by_v = jax.grad(total, argnums=(0, 1))(
            ops.convert_to_tensor(y_pred), [v.value for v in variables]
        )
        return value(by_x), [value(g) for g in by_v]
    x = ops.convert_to_tensor(np.asarray(y_pred)).clone().detach().requires_grad_(True)
    for v in variables:
        v.value.grad = None
    ops.sum(loss(y_true, x, sample_weight)).backward()
    return value(x.grad.detach()), [value(v.value.grad) for v in variables]


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def binary(rng, shape=(3, 5, 7)):
    """Hard labels, probabilities in (0.01, 0.99) of the foreground, and the two-class form."""
    y = rng.integers(0, 2, shape)
    p = rng.uniform(0.01, 0.99, (*shape, 1)).astype("float32")
    return y, p, np.concatenate([1 - p, p], -1)


def flat(q, p):
    """(batch, voxels, K) in float64."""
    shape = (q.shape[0], -1, q.shape[-1])
    return q.reshape(shape).astype("float64"), p.reshape(shape).astype("float64")
