"""Soft Dice, as nnU-Net trains it."""

from typing import Any

import keras
from keras import ops

from keras_robust.common.distribution import sum_over_replicas
from keras_robust.common.errors import invalid
from keras_robust.losses.base import ImageLoss
from keras_robust.losses.probabilities import probabilities
from keras_robust.losses.targets import mean, sum_over


def soft_dice(
    targets,
    predictions,
    weights=None,
    *,
    smooth: float = 1e-5,
    batch: bool = False,
    include_background: bool = False,
    from_logits: bool = False,
):
    r"""Soft Dice coefficient $(2\sum pq + s) / (\sum p + \sum q + s)$, shape `(batch, classes)`.

    The background (channel 0 of K) is left out unless `include_background`. With `batch`, sums
    run over the whole batch and the result has the shape `(1, classes)`. Where prediction and
    target are both exactly empty, the coefficient is 1 with gradient 0.
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    p = probabilities(predictions, from_logits)
    if predictions.shape[-1] > 1 and not include_background:
        targets, p = targets[..., 1:], p[..., 1:]
    axes = range(0 if batch else 1, len(p.shape) - 1)
    weighted = p if weights is None else p * ops.expand_dims(weights, -1)
    intersection = sum_over(weighted * targets, axes)
    if weights is not None:
        targets = targets * ops.expand_dims(weights, -1)
    total = sum_over(weighted, axes) + sum_over(targets, axes)
    if batch:
        # A batch that devices share is one batch.
        intersection, total = (
            ops.expand_dims(sum_over_replicas(sums), 0) for sums in (intersection, total)
        )
    empty = ops.equal(total, 0.0)
    safe = ops.where(empty, ops.ones_like(total), total)
    return ops.where(empty, ops.ones_like(total), (2 * intersection + smooth) / (safe + smooth))


@keras.saving.register_keras_serializable(package="keras_robust")
class Dice(ImageLoss):
    r"""Soft Dice loss $1 - (2\sum pq + s) / (\sum p + \sum q + s)$, mean over foreground classes.

    Two exactly empty masks give loss 0 and gradient 0.

    Args:
        smooth: the summand $s$ > 0.
        batch: sums over the batch, on all devices, instead of over each image (nnU-Net's batch
            Dice). Weights of images then count in the sums, as weights of their voxels.
        include_background: count class 0 of a softmax head, too.
        **options: see `SegmentationLoss`.

    Reference: [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z).

    >>> round(float(Dice()([[1, 0]], [[[1.0], [1.0]]])), 4)  # 1 - 2 / 3
    0.3333
    """

    takes_logits = True

    def __init__(
        self,
        smooth: float = 1e-5,
        batch: bool = False,
        include_background: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        if not smooth > 0:
            raise invalid("smooth", "smooth > 0", smooth)
        self.smooth, self.batch = float(smooth), bool(batch)
        self.include_background = bool(include_background)

    def values(self, targets, predictions, weights):
        coefficients = soft_dice(
            targets,
            predictions,
            weights,
            smooth=self.smooth,
            batch=self.batch,
            include_background=self.include_background,
            from_logits=self.from_logits,
        )
        loss = 1 - mean(coefficients, -1)
        return ops.broadcast_to(loss, ops.shape(predictions)[:1]) if self.batch else loss

    def get_config(self) -> dict[str, Any]:
        own = {
            "smooth": self.smooth,
            "batch": self.batch,
            "include_background": self.include_background,
        }
        return {**own, **super().get_config()}
