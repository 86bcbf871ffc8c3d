"""Probabilities and their logarithms, with values and gradients that stay finite."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_robust.losses.keras_private import cached_logits
from keras_robust.losses.targets import at_least

# Of probabilities whose logits are not known: below, log p counts as log FLOOR and its gradient as
# 0, as in Keras's own cross entropies.
FLOOR = 1e-7
_ATTRIBUTE = "_keras_robust_logits"


def probabilities(predictions, from_logits: bool):
    """Probabilities `(..., channels)`: sigmoid for one channel, softmax otherwise."""
    if not from_logits:
        return predictions
    if predictions.shape[-1] == 1:
        return ops.sigmoid(predictions)
    return ops.softmax(predictions, axis=-1)


def with_logits(probabilities, logits, activation: str):
    """`probabilities`, of which the losses know the logits from now on.

    What is lost in probabilities near 0 and 1 is still in the logits, so that a voxel that is
    confidently wrong gets its full gradient.

    Args:
        probabilities: a tensor `(..., channels)`.
        logits: of the same shape.
        activation: `"sigmoid"` or `"softmax"`, which made the one of the other.
    """
    try:
        setattr(probabilities, _ATTRIBUTE, (logits, activation))
    except AttributeError:  # what JAX traces takes no attributes
        key = id(probabilities)
        reference = weakref.ref(probabilities, lambda _: _TRACED.pop(key, None))
        _TRACED[key] = (reference, (logits, activation))
    return probabilities


# Tensor by its id: a reference to it, its logits and activation.
_TRACED: dict[int, tuple[weakref.ref, tuple[Any, str]]] = {}


def known_logits(probabilities, activation: str) -> Any:
    """The logits that an activation made a tensor of; None where nobody knows them."""
    if not hasattr(probabilities, "shape"):
        return None
    known = getattr(probabilities, _ATTRIBUTE, None)
    if known is None and id(probabilities) in _TRACED:
        reference, found = _TRACED[id(probabilities)]
        known = found if reference() is probabilities else None
    if known is None:
        return cached_logits(probabilities, activation)
    return known[0] if known[1] == activation else None


def keep_logits(predictions, made, through: Callable[[Any], Any]):
    """`predictions`, converted from `made`, with its logits, converted alike and by `through`."""
    activation = _activation(predictions)
    logits = known_logits(made, activation)
    if logits is None:
        return predictions
    logits = through(ops.cast(logits, keras.backend.standardize_dtype(predictions.dtype)))
    return with_logits(predictions, logits, activation)


def logits_if_known(predictions, from_logits: bool) -> tuple[Any, bool]:
    """Predictions, and whether they are logits: the logits themselves, wherever they are known."""
    logits = None if from_logits else known_logits(predictions, _activation(predictions))
    if logits is not None:
        return logits, True
    return ops.convert_to_tensor(predictions), from_logits


def _activation(predictions) -> str:
    return "sigmoid" if predictions.shape[-1] == 1 else "softmax"


def log_probabilities(predictions, from_logits: bool) -> tuple:
    """Logarithms of the class probabilities.

    For one channel a pair (log of foreground, log of background), each `(..., 1)`; for K channels
    the pair (logs `(..., K)`, None). With logits nothing is clipped: log sigmoid(z) is
    -softplus(-z), and log softmax is shifted by its largest logit.
    """
    predictions, from_logits = logits_if_known(predictions, from_logits)
    if predictions.shape[-1] > 1:
        if from_logits:
            return ops.log_softmax(predictions, axis=-1), None
        return ops.log(at_least(predictions, FLOOR)), None
    if from_logits:
        return -ops.softplus(-predictions), -ops.softplus(predictions)
    p = ops.clip(predictions, FLOOR, 1 - FLOOR)
    return ops.log(p), ops.log(1 - p)


def expectation(targets, of_class, of_background=None):
    """Expected value under the targets, summed over channels: `(batch, *spatial)`.

    `of_class` holds a value per class, `(..., channels)`. For one channel, `of_background` holds
    the value of the background.
    """
    if of_background is None:
        return ops.sum(targets * of_class, axis=-1)
    # q a + (1 - q) b with one multiplication.
    return ops.squeeze(of_background + targets * (of_class - of_background), -1)
