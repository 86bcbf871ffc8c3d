"""Weighted sums of losses, as written by operators: `NCE() + RCE() + 0.5 * Dice()`."""

import math
from typing import Any

import keras

from keras_robust.losses._base import SegmentationLoss, invalid


@keras.saving.register_keras_serializable(package="keras_robust")
class Sum(SegmentationLoss):
    """Weighted sum of losses; each term keeps its own options and reduction.

    Args:
        losses: the terms.
        weights: one factor per term.
        name: name of the loss.

    With `reduction="none"` in every term, the result has one value per image, `(batch,)`: losses
    of voxels are averaged over their image first.

    >>> from keras_robust.losses import NCE, RCE, Dice
    >>> loss = NCE() + RCE() + 0.5 * Dice()
    >>> round(float(loss([[1, 0]], [[[0.9], [0.2]]])), 3)
    1.536
    """

    def __init__(self, losses, weights=None, name: str | None = None, dtype: Any = None):
        losses = [
            keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss
            for loss in losses
        ]
        if not losses or not all(isinstance(loss, SegmentationLoss) for loss in losses):
            raise invalid("losses", "a list of keras_robust losses", losses)
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if len(weights) != len(losses) or not all(math.isfinite(w) for w in weights):
            raise invalid("weights", f"{len(losses)} finite factors", weights)
        reductions = {"none" if loss.reduction is None else loss.reduction for loss in losses}
        if len(reductions) > 1:
            raise invalid("losses", "terms of one reduction", sorted(reductions))
        super().__init__(
            reduction=losses[0].reduction,
            name=name or "_plus_".join(loss.name for loss in losses),
            dtype=dtype or losses[0].dtype,
        )
        self.losses = losses
        self.weights = weights

    @classmethod
    def of(cls, *pairs: tuple[float, SegmentationLoss]) -> "Sum":
        """Sum of (weight, loss) pairs, with nested sums flattened."""
        flat = [
            (factor * weight, term)
            for factor, loss in pairs
            for weight, term in (
                zip(loss.weights, loss.losses, strict=True)
                if isinstance(loss, Sum)
                else [(1.0, loss)]
            )
        ]
        return cls([term for _, term in flat], [weight for weight, _ in flat])

    def __call__(self, y_true, y_pred, sample_weight=None, kept=None):
        if self.reduction in ("none", None):
            return self.image_values(y_true, y_pred, sample_weight, kept)
        pairs = zip(self.weights, self.losses, strict=True)
        return sum(weight * loss(y_true, y_pred, sample_weight, kept) for weight, loss in pairs)

    def call(self, y_true, y_pred):
        return self.image_values(y_true, y_pred)

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        pairs = zip(self.weights, self.losses, strict=True)
        return sum(w * loss.image_values(y_true, y_pred, sample_weight, kept) for w, loss in pairs)

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        return self.image_values(y_true, y_pred, sample_weight, kept), None, None

    def terms(self):
        for loss in self.losses:
            yield from loss.terms()

    @property
    def trainable_variables(self) -> list:
        return [v for loss in self.losses for v in loss.trainable_variables]

    def get_config(self) -> dict[str, Any]:
        return {
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "weights": self.weights,
            "name": self.name,
            "dtype": self.dtype,
        }
