"""What to train on where an audit doubts a mask: between the mask and the prediction."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.files.maps import from_levels

__all__ = ["refined_targets", "sureness"]


def sureness(score: float) -> float:
    """How far an audit is sure that a mask is wrong, from its default score.

    The score is -log of the probability that the mask is right. Up to one half nothing is sure;
    from there to certainty it rises to 1.

    >>> [round(sureness(score), 3) for score in (0.0, np.log(2), np.log(4), np.inf)]
    [0.0, 0.0, 0.5, 1.0]
    """
    wrong = 1 - np.exp(-max(float(score), 0.0))
    return float(max(2 * wrong - 1, 0.0))


def refined_targets(
    labels: NDArray,
    probabilities: NDArray,
    sure: float,
    *,
    classes: int = 2,
    ignore_label: int | None = None,
) -> NDArray[np.float32]:
    """Soft targets: the mask, or the prediction, by how sure it is that the mask is wrong.

    Args:
        labels: `(*spatial)`, the mask.
        probabilities: `(*spatial, 1)` of the foreground or `(*spatial, K)`, of a model that has not
            seen the mask; floats in [0, 1], or 8-bit integers.
        sure: From 0, the mask as it is, to 1, the prediction; see `sureness`.
        classes: K, background included.
        ignore_label: Where the mask has it, the prediction is taken.

    Returns:
        For two classes the probability of the foreground, `(*spatial)`; for more those of all,
        `(*spatial, K)`.

    Raises:
        ValueError: Another shape, or `sure` is out of range.

    >>> refined_targets(np.array([[1, 0]]), np.array([[[0.0], [1.0]]]), 0.25).tolist()
    [[0.75, 0.25]]
    """
    if not 0 <= sure <= 1:
        raise invalid("sure", "a number from 0 to 1", said=f"sure={sure}")
    given: ArrayLike = (
        from_levels(probabilities) if probabilities.dtype == np.uint8 else probabilities
    )
    predicted = np.asarray(given, np.float32)
    channels = 1 if classes == 2 else classes
    if predicted.shape != (*labels.shape, channels):
        raise invalid(
            "probabilities",
            f"shape {(*labels.shape, channels)}, as the mask has",
            said=f"probabilities of shape {predicted.shape}",
        )
    if classes == 2:
        drawn = (labels > 0)[..., np.newaxis].astype(np.float32)
    else:
        drawn = np.equal.outer(labels, np.arange(classes)).astype(np.float32)
        predicted = predicted / np.maximum(predicted.sum(axis=-1, keepdims=True), 1e-6)
    weight = np.full((*labels.shape, 1), sure, np.float32)
    if ignore_label is not None:
        weight[labels == ignore_label] = 1
    targets = drawn + weight * (predicted - drawn)
    return targets[..., 0] if classes == 2 else targets
