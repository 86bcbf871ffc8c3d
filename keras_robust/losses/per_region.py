"""Losses of regions that overlap, such as an organ and the lesions in it."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import SegmentationLoss
from keras_robust.losses.label_check import require_classes
from keras_robust.losses.probabilities import known_logits, with_logits
from keras_robust.losses.targets import has_label
from keras_robust.losses.wrapped import OfLoss


@keras.saving.register_keras_serializable(package="keras_robust")
class PerRegion(OfLoss):
    """Mean of a loss over regions, each of which has a sigmoid channel of its own.

    Every region is a binary problem: its labels against all others. With `CE() + Dice()` this is
    how nnU-Net trains regions.

    Args:
        loss: any keras_robust loss, or a sum of them; parameters such as ν are those of all
            regions.
        regions: labels of each channel of `y_pred`; they may overlap.
        **options: `name` and `dtype`; all else is that of `loss`.

    Call arguments:
        y_true: integer labels `(batch, *spatial)` or `(batch, *spatial, 1)`; or the probabilities
            of classes, float `(batch, *spatial, K)`, of which a region has the sum of its labels'.
        y_pred: `(batch, *spatial, R)`, a probability (or logit) for each of R regions.

    References:
        [Isensee et al., 2021](https://arxiv.org/abs/2011.00848), section 2.2.1

    >>> from keras_robust.losses import CE, PerRegion
    >>> loss = PerRegion(CE(), regions=[(1, 2), (2,)])
    >>> # Label 1 is in the first region only: -ln 0.5 and -ln(1 - 0.75), on average 3/2 ln 2
    >>> round(float(loss([[1]], [[[0.5, 0.75]]])), 4)
    1.0397
    """

    def __init__(self, loss: SegmentationLoss, regions: Sequence[Sequence[int]], **options: Any):
        if not regions or not all(len(labels) for labels in regions):
            raise invalid("regions", "at least one label for each of at least one region", regions)
        super().__init__(loss, "regions", **options)
        self.regions = [tuple(int(label) for label in labels) for labels in regions]

    def __call__(self, y_true, y_pred, sample_weight=None, kept=None):
        pairs = self._pairs(y_true, y_pred)
        total = sum(self.loss(y, p, sample_weight, kept) for y, p in pairs)
        return total / len(self.regions) + self._unless_classes(y_true)

    def call(self, y_true, y_pred):
        return self.image_values(y_true, y_pred)

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        pairs = self._pairs(y_true, y_pred)
        total = sum(self.loss.image_values(y, p, sample_weight, kept) for y, p in pairs)
        return total / len(self.regions) + self._unless_classes(y_true)

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        return self.image_values(y_true, y_pred, sample_weight, kept), None, None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "regions": self.regions}

    def _pairs(self, y_true, y_pred) -> Iterator[tuple[Any, Any]]:
        """Binary labels `(batch, *spatial, 1)`, the ignored label kept, and the channel."""
        made = y_pred
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_true.shape) == len(y_pred.shape) - 1:
            y_true = ops.expand_dims(y_true, -1)
        soft, most = y_true.shape[-1] != 1, max(map(max, self.regions))
        if y_pred.shape[-1] != len(self.regions) or (soft and y_true.shape[-1] <= most):
            raise ValueError(
                "Targets and predictions do not fit the regions. Expected integer labels of one "
                f"channel, or probabilities of at least {most + 1}, one per class, and predictions "
                f"of {len(self.regions)}, one per region. Received: y_true of shape "
                f"{tuple(y_true.shape)} and y_pred of shape {tuple(y_pred.shape)}"
            )
        logits = known_logits(made, "sigmoid")
        for number, labels in enumerate(self.regions):
            target = (self._shares if soft else self._inside)(y_true, labels)
            channel = y_pred[..., number : number + 1]
            if logits is not None:
                channel = with_logits(channel, logits[..., number : number + 1], "sigmoid")
            yield target, channel

    def _unless_classes(self, y_true):
        """0, or NaN where a label is in no region, nor background, nor ignored."""
        y_true = ops.convert_to_tensor(y_true)
        dtype = keras.backend.standardize_dtype(y_true.dtype)
        if "float" in dtype:  # shares, which the terms of the loss look at
            return 0.0
        if self.ignore_label is not None:
            ignored = has_label(y_true, self.ignore_label)
            y_true = ops.where(ignored, ops.zeros_like(y_true), y_true)
        classes = 1 + max(map(max, self.regions))
        poison = require_classes(y_true, classes, self.ignore_label)
        return 0.0 if poison is None else poison

    def _shares(self, y_true, labels):
        share = sum(y_true[..., label : label + 1] for label in labels)
        if self.ignore_label is not None:
            ignored = ops.all(has_label(y_true, self.ignore_label), axis=-1, keepdims=True)
            share = ops.where(ignored, ops.cast(self.ignore_label, share.dtype), share)
        return share

    def _inside(self, y_true, labels):
        inside = has_label(y_true, labels[0])
        for label in labels[1:]:
            inside = ops.logical_or(inside, has_label(y_true, label))
        target = ops.cast(inside, y_true.dtype)
        if self.ignore_label is not None:
            target = ops.where(has_label(y_true, self.ignore_label), y_true, target)
        return target
