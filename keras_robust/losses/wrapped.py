"""Losses that another loss is part of, such as one of smoothed targets."""

from typing import Any

import keras

from keras_robust.common.errors import invalid
from keras_robust.losses.base import SegmentationLoss


class OfLoss(SegmentationLoss):
    """Has the terms, the parameters, the reduction and the ignored label of another loss.

    Args:
        loss: any keras_robust loss, or a sum of them; or its configuration.
        prefix: of the name that it has by default.
        **options: `name` and `dtype`.

    Raises:
        ValueError: `loss` is no such loss, or its terms differ in the label they ignore.
    """

    def __init__(self, loss: SegmentationLoss, prefix: str, **options: Any):
        if isinstance(loss, dict):
            loss = keras.saving.deserialize_keras_object(loss)
        if not isinstance(loss, SegmentationLoss):
            raise invalid("loss", "a keras_robust loss", loss)
        labels = {term.ignore_label for term in loss.terms()}
        if len(labels) > 1:
            raise invalid("loss", "terms of one ignore_label", sorted(labels, key=str))
        options.setdefault("name", f"{prefix}_{loss.name}")
        options.setdefault("dtype", loss.dtype)
        super().__init__(reduction=loss.reduction, ignore_label=labels.pop(), **options)
        self.loss = loss

    def terms(self):
        yield from self.loss.terms()

    def get_config(self) -> dict[str, Any]:
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "name": self.name,
            "dtype": self.dtype,
        }
