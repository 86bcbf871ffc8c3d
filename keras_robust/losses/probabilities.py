"""Probabilities and their logarithms, with values and gradients that stay finite."""

from keras import ops

# Below, log p counts as log FLOOR and its gradient as 0, as in Keras's own cross entropies.
FLOOR = 1e-7


def probabilities(predictions, from_logits: bool):
    """Probabilities `(..., channels)`: sigmoid for one channel, softmax otherwise."""
    if not from_logits:
        return predictions
    if predictions.shape[-1] == 1:
        return ops.sigmoid(predictions)
    return ops.softmax(predictions, axis=-1)


def log_probabilities(predictions, from_logits: bool) -> tuple:
    """Logarithms of the class probabilities.

    For one channel a pair (log of foreground, log of background), each `(..., 1)`; for K channels
    the pair (logs `(..., K)`, None). With logits nothing is clipped: log sigmoid(z) is
    -softplus(-z), and log softmax is shifted by its largest logit.
    """
    if predictions.shape[-1] > 1:
        if from_logits:
            return ops.log_softmax(predictions, axis=-1), None
        return ops.log(ops.maximum(predictions, FLOOR)), None
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
