"""The normalised active losses NCE and NGCE ([Ma et al., 2020](https://arxiv.org/abs/2006.13554)).

Pure functions of targets and predictions `(batch, *spatial, channels)` with one value per voxel,
and Keras classes.
"""

from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import VoxelLoss
from keras_robust.losses.cross_entropy import power_of_probabilities
from keras_robust.losses.probabilities import (
    FLOOR,
    expectation,
    log_probabilities,
    logits_if_known,
)


def normalized_cross_entropy(targets, predictions, *, from_logits: bool = False):
    r"""Normalised cross entropy $\sum_k q_k \ln p_k / \sum_k \ln p_k$, `(batch, *spatial)`.

    The denominator, the cross entropy summed over all labels, is at least $K \ln K$ in size.
    """
    targets = ops.convert_to_tensor(targets)
    predictions, from_logits = logits_if_known(predictions, from_logits)
    if predictions.shape[-1] == 1 and not from_logits:
        return _of_two_classes(targets, _background_share_of_logs(predictions))
    logs = log_probabilities(predictions, from_logits)
    return expectation(targets, *logs) / _sum_over_classes(*logs)


def normalized_generalized_cross_entropy(
    targets, predictions, *, q: float = 0.7, from_logits: bool = False
):
    r"""Normalised generalised cross entropy, one value per voxel `(batch, *spatial)`.

    $\sum_k t_k (1 - p_k^q) / (K - \sum_k p_k^q)$ for targets $t$ and exponent $0 < q \le 1$.
    """
    targets = ops.convert_to_tensor(targets)
    predictions, from_logits = logits_if_known(predictions, from_logits)
    if predictions.shape[-1] == 1 and not from_logits:
        return _of_two_classes(targets, _background_share_of_powers(predictions, q))
    powers = power_of_probabilities(predictions, q, from_logits)
    classes = max(predictions.shape[-1], 2)
    return (1 - expectation(targets, *powers)) / (classes - _sum_over_classes(*powers))


def _sum_over_classes(of_class, of_background):
    if of_background is None:
        return ops.sum(of_class, axis=-1)
    return ops.squeeze(of_class + of_background, -1)


def _of_two_classes(q, background_share):
    # (q a + (1 - q) b) / (a + b) for a, b of the two classes: only b / (a + b) depends on p.
    return ops.squeeze(q + (1 - 2 * q) * background_share, -1)


# The two shares have their derivatives written out: half the passes over the voxels of automatic
# differentiation, and finite at p = 0 and p = 1 without a further guard.


@ops.custom_gradient
def _background_share_of_logs(p):
    """ln(1 - p) / (ln p + ln(1 - p)); its derivative is H(p) / (p (1 - p) (ln p + ln(1 - p))²)."""
    p = ops.clip(p, FLOOR, 1 - FLOOR)
    u = 1 - p
    log_p, log_u = ops.log(p), ops.log(u)
    total = log_p + log_u

    def gradient(*args, upstream=None):
        dy = args[0] if upstream is None else upstream
        return -dy * (p * log_p + u * log_u) / (p * u * ops.square(total))

    return log_u / total, gradient


def _background_share_of_powers(p, q):
    """(1 - u^q) / (2 - p^q - u^q) for u = 1 - p."""

    @ops.custom_gradient
    def share(p):
        p = ops.clip(p, FLOOR, 1 - FLOOR)
        u = 1 - p
        power_p, power_u = ops.exp(q * ops.log(p)), ops.exp(q * ops.log(u))
        total = 2 - power_p - power_u

        def gradient(*args, upstream=None):
            dy = args[0] if upstream is None else upstream
            cross = power_u / u * (1 - power_p) + power_p / p * (1 - power_u)
            return dy * (q * cross / ops.square(total))

        return (1 - power_u) / total, gradient

    return share(p)


@keras.saving.register_keras_serializable(package="keras_robust")
class NCE(VoxelLoss):
    r"""Normalised cross entropy $\ln p_y / \sum_k \ln p_k$; options: see `SegmentationLoss`.

    >>> round(float(NCE()([[1]], [[[0.5]]])), 4)
    0.5
    """

    takes_logits = True

    def values(self, targets, predictions):
        return normalized_cross_entropy(targets, predictions, from_logits=self.from_logits)


@keras.saving.register_keras_serializable(package="keras_robust")
class NGCE(VoxelLoss):
    r"""Normalised generalised cross entropy $(1 - p_y^q) / (K - \sum_k p_k^q)$.

    Args:
        q: exponent, 0 < q <= 1.
        **options: see `SegmentationLoss`.

    >>> round(float(NGCE(q=1.0)([[1, 0]], [[[0.9], [0.2]]])), 4)
    0.15
    """

    takes_logits = True

    def __init__(self, q: float = 0.7, **options: Any):
        super().__init__(**options)
        if not 0 < q <= 1:
            raise invalid("q", "0 < q <= 1", q, "Use NCE() for the limit q = 0.")
        self.q = float(q)

    def values(self, targets, predictions):
        return normalized_generalized_cross_entropy(
            targets, predictions, q=self.q, from_logits=self.from_logits
        )

    def get_config(self) -> dict[str, Any]:
        return {"q": self.q, **super().get_config()}
