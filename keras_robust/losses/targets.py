"""Bring targets and predictions of any accepted form into one: float tensors of equal shape."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.label_check import require_classes, require_probabilities


class Aligned(NamedTuple):
    """Targets and predictions of equal shape `(batch, *spatial, channels)`.

    `targets` holds probabilities: of the foreground for one channel, one per class otherwise.
    `valid` is a boolean tensor `(batch, *spatial)`, or None where nothing is ignored.
    """

    targets: Any
    predictions: Any
    valid: Any


def align(
    y_true,
    y_pred,
    ignore_label: int | None = None,
    dtype: str = "float32",
    kept=None,
    checked: bool = True,
) -> Aligned:
    """Align targets with predictions `(batch, *spatial, channels)`.

    Targets may be integer labels `(batch, *spatial)` or `(batch, *spatial, 1)`, or one-hot or soft
    targets `(batch, *spatial, channels)`. A voxel is ignored where its label (for soft targets:
    every channel) equals `ignore_label`, or where `kept`, a boolean tensor `(batch, *spatial)`, is
    false. Labels that are neither classes nor ignored are an error, or NaN (see `label_check`),
    unless `checked` is false, for targets that are aligned elsewhere, too.

    Raises:
        ValueError: the shapes do not fit; the message names both. Labels are no classes.
    """
    y_true = ops.convert_to_tensor(y_true)
    y_pred = ops.convert_to_tensor(y_pred, dtype=dtype)
    channels = _checked_channels(y_true, y_pred)
    if len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = ops.expand_dims(y_true, -1)
    as_labels = channels > 1 and y_true.shape[-1] == 1
    valid = None
    if ignore_label is not None:
        valid = ops.logical_not(ops.all(has_label(y_true, ignore_label), axis=-1))
        y_true = ops.where(ops.expand_dims(valid, -1), y_true, ops.zeros_like(y_true))
    poison = None
    if checked and as_labels:
        poison = require_classes(y_true, channels, ignore_label)
    elif checked:
        poison = require_probabilities(y_true, ignore_label)
    if as_labels:
        targets = ops.one_hot(ops.cast(ops.squeeze(y_true, -1), "int32"), channels, dtype=dtype)
    else:
        targets = ops.cast(y_true, dtype)
    if poison is not None:
        targets = targets + ops.cast(poison, dtype)
    if kept is not None:
        valid = kept if valid is None else ops.logical_and(valid, kept)
    return Aligned(targets, y_pred, valid)


def has_label(targets, label: int):
    """Where targets of any dtype equal a label; nowhere, if their dtype cannot hold it."""
    if keras.backend.standardize_dtype(targets.dtype) == "bool":
        targets = ops.cast(targets, "uint8")
    dtype = keras.backend.standardize_dtype(targets.dtype)
    if "int" in dtype and not np.iinfo(dtype).min <= label <= np.iinfo(dtype).max:
        return ops.zeros_like(targets, dtype="bool")
    return ops.equal(targets, ops.cast(label, dtype))


def voxel_weights(sample_weight, like) -> tuple[Any, Any]:
    """Split sample weights into per-image `(batch,)` and per-voxel `(batch, *spatial)` parts.

    `like` has the shape `(batch, *spatial)`. One of the two results is None, or both are.
    """
    if sample_weight is None:
        return None, None
    weights = ops.cast(ops.convert_to_tensor(sample_weight), like.dtype)
    rank = len(like.shape)
    if len(weights.shape) == rank + 1 and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, -1)
    per_image = all(size == 1 for size in weights.shape[1:])
    if len(weights.shape) == 0:
        return ops.broadcast_to(weights, ops.shape(like)[:1]), None
    if per_image and _fits(weights.shape[:1], like.shape[:1]):
        return ops.reshape(weights, (-1,)), None
    if _fits(weights.shape, like.shape):
        return None, weights
    raise invalid(
        "sample_weight",
        (
            f"one weight per image, shape {tuple(like.shape[:1])}, or one per "
            f"voxel, shape {tuple(like.shape)}"
        ),
        said=f"sample_weight of shape {tuple(weights.shape)}",
    )


def mean(values, axis=None):
    """`ops.mean`, which on PyTorch rounds float64 to float32."""
    if keras.backend.backend() != "torch":
        return ops.mean(values, axis=axis)
    total = ops.sum(values, axis=axis)
    return total / max(math.prod(values.shape) // max(math.prod(total.shape), 1), 1)


def at_least(values, smallest: float):
    """`ops.maximum` with a number, which on PyTorch rounds float64 to float32."""
    if keras.backend.standardize_dtype(values.dtype) != "float64":
        return ops.maximum(values, smallest)
    return ops.where(values > smallest, values, ops.full_like(values, smallest))


def sum_over(values, axes):
    """Sum over axes, one after the other.

    Partial sums of few terms keep float32 exact at 2e7 voxels, where TensorFlow's sum over all
    axes but the last saturates at 2**24 ones.
    """
    for axis in sorted(axes, reverse=True):
        values = ops.sum(values, axis=axis)
    return values


def _checked_channels(y_true, y_pred) -> int:
    expected = (
        "Expected y_pred of shape (batch, *spatial, channels) with y_true of shape "
        "(batch, *spatial), (batch, *spatial, 1) or (batch, *spatial, channels). "
        f"Received: y_true of shape {_shape(y_true)} and y_pred of shape {_shape(y_pred)}"
    )
    if y_true.shape is None or y_pred.shape is None or _rank(y_true) is None:
        raise ValueError(
            f"Targets and predictions need a known rank. {expected}. "
            "Call `set_shape` on tensors that come from a Python function."
        )
    channels = y_pred.shape[-1] if len(y_pred.shape) > 1 else None
    if channels is None:
        raise ValueError(f"Predictions need a known number of channels. {expected}")
    rank = len(y_pred.shape)
    fits = _fits(y_true.shape[: rank - 1], y_pred.shape[:-1]) and (
        len(y_true.shape) == rank - 1
        or (len(y_true.shape) == rank and y_true.shape[-1] in (1, channels))
    )
    if not fits:
        raise ValueError(f"Targets do not fit the predictions. {expected}")
    if rank == 3 and len(y_true.shape) == 3 and channels > 1 and y_true.shape[-1] == channels:
        # Images without a channel axis would pass as signals with one class per column.
        raise ValueError(f"Predictions need a channel axis. {expected}. Add it: y_pred[..., None]")
    return channels


def _fits(left, right) -> bool:
    return len(left) == len(right) and all(
        a == b or a is None or b is None for a, b in zip(left, right, strict=True)
    )


def _rank(tensor) -> int | None:
    rank = getattr(tensor.shape, "rank", -1)
    return len(tensor.shape) if rank == -1 else rank


def _shape(tensor) -> str:
    return str(tuple(tensor.shape)) if _rank(tensor) is not None else "unknown"
