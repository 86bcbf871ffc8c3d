"""The passive losses: they push down the probability of every class but the labelled one.

MAE and RCE ([Ma et al., 2020](https://arxiv.org/abs/2006.13554), section 3.2). Pure functions of
targets and predictions `(batch, *spatial, channels)` with one value per voxel, and Keras classes.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import VoxelLoss
from keras_robust.losses.probabilities import probabilities
from keras_robust.losses.targets import at_least


def mean_absolute_error(targets, predictions, *, from_logits: bool = False):
    r"""Half the L1 distance $\frac12\sum_k|q_k - p_k|$ of each voxel, `(batch, *spatial)`.

    For hard labels this is $1 - p_y$, the reduced form of Ma et al. (2020).
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    distance = ops.absolute(targets - probabilities(predictions, from_logits))
    # The two classes of a sigmoid head differ by the same amount.
    if predictions.shape[-1] == 1:
        return ops.squeeze(distance, -1)
    return 0.5 * ops.sum(distance, axis=-1)


def reverse_cross_entropy(targets, predictions, *, clamp: float = 1e-4, from_logits: bool = False):
    r"""Reverse cross entropy $-\sum_k p_k \ln\max(q_k, c)$ of each voxel, `(batch, *spatial)`.

    The clamp $c$ stands for the logarithm of 0: for hard labels the value is
    $-\ln c\,(1 - p_y)$, 9.21 (1 - p_y) for $c = 10^{-4}$.
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    p = probabilities(predictions, from_logits)
    log_targets = ops.log(at_least(targets, clamp))
    if predictions.shape[-1] > 1:
        return -ops.sum(p * log_targets, axis=-1)
    log_background = ops.log(at_least(1 - targets, clamp))
    return ops.squeeze(p * (log_background - log_targets) - log_background, -1)


@keras.saving.register_keras_serializable(package="keras_robust")
class MAE(VoxelLoss):
    r"""Mean absolute error $1 - p_y$ (half the L1 distance for soft targets).

    ([Ghosh et al., 2017](https://arxiv.org/abs/1712.09482)); options: see `SegmentationLoss`.

    >>> round(float(MAE()([[1, 0]], [[[0.9], [0.2]]])), 4)  # (0.1 + 0.2) / 2
    0.15
    """

    takes_logits = True

    def values(self, targets, predictions):
        return mean_absolute_error(targets, predictions, from_logits=self.from_logits)


@keras.saving.register_keras_serializable(package="keras_robust")
class RCE(VoxelLoss):
    r"""Reverse cross entropy $-\sum_k p_k \ln q_k$ ([Wang et al., 2019]).

    Args:
        clamp: smallest target inside the logarithm, 0 < clamp < 1.
        **options: see `SegmentationLoss`.

    [Wang et al., 2019]: https://arxiv.org/abs/1908.06112

    >>> round(float(RCE()([[1, 0]], [[[0.9], [0.2]]])), 4)  # -ln(1e-4) (0.1 + 0.2) / 2
    1.3816
    """

    takes_logits = True

    def __init__(self, clamp: float = 1e-4, **options: Any):
        super().__init__(**options)
        if not 0 < clamp < 1 or not math.isfinite(clamp):
            raise invalid("clamp", "0 < clamp < 1", clamp)
        self.clamp = float(clamp)

    def values(self, targets, predictions):
        return reverse_cross_entropy(
            targets, predictions, clamp=self.clamp, from_logits=self.from_logits
        )

    def hard_values(self, targets, predictions):
        # Without a logarithm: -ln(clamp) (1 - p_y).
        error = mean_absolute_error(targets, predictions, from_logits=self.from_logits)
        return -math.log(self.clamp) * error

    def get_config(self) -> dict[str, Any]:
        return {"clamp": self.clamp, **super().get_config()}
