"""Two networks that choose for each other which voxels to learn from."""

from keras_robust.training.co_teaching.methods import METHODS, RobustMethod, robust_method
from keras_robust.training.co_teaching.model import CoTeaching
from keras_robust.training.co_teaching.selection import (
    DisagreementSelection,
    Selection,
    SmallLossSelection,
    StochasticSelection,
    get_selection,
)

__all__ = [
    "METHODS",
    "CoTeaching",
    "DisagreementSelection",
    "RobustMethod",
    "Selection",
    "SmallLossSelection",
    "StochasticSelection",
    "get_selection",
    "robust_method",
]
