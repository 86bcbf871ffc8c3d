"""Labels that are no classes: an error, or NaN where nothing can be raised.

Unchecked, a label of 255 beside three classes is no class at all to the cross entropies, a wrong
one to Dice, and drives the loss of a sigmoid head to minus infinity, all without a word.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

ROUNDING = 1e-3  # of soft targets in half precision


def require_classes(targets, classes: int, ignore_label: int | None) -> Any:
    """Require integer labels from 0 to `classes` - 1.

    Args:
        targets: labels of any dtype, those that are ignored replaced by 0.
        classes: K >= 2.
        ignore_label: of the loss, for the message.

    Returns:
        None, or in a compiled function a scalar to be added to the targets: 0, or NaN where a
        label is no class.

    Raises:
        ValueError: a label is no class. Compiled it is an error with the same words when it runs,
            `InvalidArgumentError` of TensorFlow, `JaxRuntimeError` of JAX; and compiled by
            TensorFlow's XLA, which leaves assertions out, NaN alone.
    """
    if _is_never_wrong(targets):
        return None
    low, high = ops.min(targets), ops.max(targets)
    fits = ops.logical_and(low >= 0, high <= classes - 1)
    if _is_float(targets):
        fits = ops.logical_and(fits, ops.all(ops.equal(targets, ops.floor(targets))))
    known = f"0 to {classes - 1}"
    return _require(
        fits,
        (low, high),
        f"Invalid value for argument `y_true`. Expected labels {known}, whole numbers, for the "
        f"{classes} classes of the predictions, and ignore_label={ignore_label}. Received: labels "
        "from ",
        " Give the label of voxels that count for nothing as `ignore_label`, and the model a "
        "channel for each class; a mask of 0 and 255 becomes labels by `mask > 0`.",
    )


def require_probabilities(targets, ignore_label: int | None) -> Any:
    """Require targets in [0, 1], soft or one-hot; otherwise as `require_classes`."""
    if _is_never_wrong(targets):
        return None
    low, high = ops.min(targets), ops.max(targets)
    least, most = (-ROUNDING, 1 + ROUNDING) if _is_float(targets) else (0, 1)
    fits = ops.logical_and(low >= least, high <= most)
    return _require(
        fits,
        (low, high),
        "Invalid value for argument `y_true`. Expected labels 0 and 1, or probabilities of the "
        f"classes, and ignore_label={ignore_label}. Received: values from ",
        " A mask of 0 and 255 becomes labels by `mask > 0`; give the label of voxels that count "
        "for nothing as `ignore_label`.",
    )


def _require(fits: Any, extremes: tuple[Any, Any], before: str, after: str) -> Any:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            low, high = extremes
            tf.debugging.Assert(fits, [before, low, "to", high, after])
            return ops.where(fits, 0.0, float("nan"))  # XLA leaves assertions out
    if backend == "jax":
        import jax

        if isinstance(fits, jax.core.Tracer):

            def refuse() -> None:
                jax.debug.callback(partial(_refuse, before, after), *extremes)

            jax.lax.cond(fits, lambda: None, refuse)
            return ops.where(fits, 0.0, float("nan"))
    if backend == "torch" and fits.device.type == "meta":
        return None
    if not bool(fits):
        _refuse(before, after, *extremes)
    return None


def _refuse(before: str, after: str, low: Any, high: Any) -> None:
    low, high = (np.asarray(ops.convert_to_numpy(value)).item() for value in (low, high))
    raise ValueError(f"{before}{low:g} to {high:g}.{after}")


def _is_float(targets: Any) -> bool:
    return "float" in keras.backend.standardize_dtype(targets.dtype)


def _is_never_wrong(targets: Any) -> bool:
    return 0 in tuple(targets.shape) or keras.backend.standardize_dtype(targets.dtype) == "bool"
