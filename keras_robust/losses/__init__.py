"""Losses for masks that people drew imperfectly, for every Keras 3 backend.

Classes for `model.compile(loss=...)`, sums by operators (`NCE() + RCE() + 0.5 * Dice()`), all of
them by name (`get`), and the pure functions beneath, one value per voxel.
"""

from keras_robust.losses._base import ImageLoss, SegmentationLoss, VoxelLoss
from keras_robust.losses._registry import get, names, register
from keras_robust.losses._sum import Sum
from keras_robust.losses._training import attach, elementary
from keras_robust.losses.cross_entropy import (
    CE,
    GCE,
    SCE,
    cross_entropy,
    generalized_cross_entropy,
)
from keras_robust.losses.dice import Dice, soft_dice
from keras_robust.losses.normalized import (
    NCE,
    NGCE,
    normalized_cross_entropy,
    normalized_generalized_cross_entropy,
)
from keras_robust.losses.passive import MAE, RCE, mean_absolute_error, reverse_cross_entropy
from keras_robust.losses.per_region import PerRegion
from keras_robust.losses.student_t import TLoss, student_t_nll
from keras_robust.losses.svls import SVLS, smooth_targets

__all__ = [
    "CE",
    "Dice",
    "GCE",
    "ImageLoss",
    "MAE",
    "NCE",
    "NGCE",
    "PerRegion",
    "RCE",
    "SCE",
    "SVLS",
    "SegmentationLoss",
    "Sum",
    "TLoss",
    "VoxelLoss",
    "attach",
    "cross_entropy",
    "elementary",
    "generalized_cross_entropy",
    "get",
    "mean_absolute_error",
    "names",
    "normalized_cross_entropy",
    "normalized_generalized_cross_entropy",
    "register",
    "reverse_cross_entropy",
    "smooth_targets",
    "soft_dice",
    "student_t_nll",
]
