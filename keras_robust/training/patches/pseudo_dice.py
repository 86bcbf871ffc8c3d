"""The Dice of patches, pooled over an epoch as one image: cheap, and steady once averaged."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_robust.data.regions import Regions
from keras_robust.training.evaluation import overlap_counts
from keras_robust.training.state import array_of

__all__ = ["DECAY", "PseudoDice", "columns", "dice_of_classes", "moving_average"]

DECAY = 0.9


class PseudoDice(keras.metrics.Metric):
    """Dice of each foreground class over all voxels since the last reset.

    Args:
        classes: Channels of the prediction, background included; 1 for a sigmoid.
        ignore_label: Label of voxels that do not count.
        regions: What the channels are where the plan has regions, which then stand for classes.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), whose training
        monitors it on validation patches.
    """

    def __init__(
        self,
        classes: int,
        ignore_label: int | None = None,
        regions: Regions = (),
        name: str = "pseudo_dice",
    ):
        super().__init__(name=name, dtype="float32")
        self.ignore_label, self.regions = ignore_label, regions
        shape = (len(regions) or max(1, classes - 1),)
        self.both = self.add_weight(shape=shape, initializer="zeros", name="both")
        self.total = self.add_weight(shape=shape, initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        both, total = overlap_counts(y_pred, y_true, self.ignore_label, self.regions)
        self.both.assign_add(ops.sum(both, axis=0))
        self.total.assign_add(ops.sum(total, axis=0))

    def result(self):
        present = self.total.value > 0
        dice = ops.divide_no_nan(2 * self.both.value, self.total.value)
        return ops.divide_no_nan(ops.sum(dice), ops.sum(ops.cast(present, "float32")))

    def of_classes(self) -> NDArray[np.float64]:
        """See `dice_of_classes`."""
        return dice_of_classes(array_of(self.both), array_of(self.total))


def dice_of_classes(both: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """Dice of each class of the counts `(K,)`, NaN where it was neither there nor predicted.

    >>> dice_of_classes(np.array([3, 0]), np.array([8, 0]))
    array([0.75,  nan])
    """
    both, total = both.astype(np.float64), total.astype(np.float64)
    return np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)


def columns(
    name: str, dice: NDArray[np.float64], rows: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Columns of the history: the mean over classes, each class, and the moving average.

    Args:
        name: Of the mean.
        dice: Of each foreground class, NaN for one that does not count.
        rows: Of the epochs before.

    >>> columns("pseudo_dice_train", np.array([0.5, 0.7]), [{"pseudo_dice_train_ema": 0.4}])
    {'pseudo_dice_train': 0.6, 'pseudo_dice_train_1': 0.5, 'pseudo_dice_train_2': 0.7, \
'pseudo_dice_train_ema': 0.42}
    """
    counted = dice[~np.isnan(dice)]
    mean = float(counted.mean()) if len(counted) else 0.0
    found = {name: mean}
    if len(dice) > 1:
        each = {f"{name}_{label}": float(value) for label, value in enumerate(dice, start=1)}
        found |= {key: value for key, value in each.items() if not np.isnan(value)}
    found[f"{name}_ema"] = moving_average(rows[-1][f"{name}_ema"] if rows else None, mean)
    return {key: round(value, 6) for key, value in found.items()}


def moving_average(before: float | None, value: float) -> float:
    """0.9 of what it was and 0.1 of the new value, which it begins with.

    >>> round(moving_average(0.4, 0.6), 6), moving_average(None, 0.6)
    (0.42, 0.6)
    """
    return value if before is None else DECAY * before + (1 - DECAY) * value
