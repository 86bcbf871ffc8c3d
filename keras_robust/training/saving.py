"""Model files, in which Keras finds the classes of this project."""

from pathlib import Path
from typing import Any

import keras

from keras_robust.common.registry import import_own
from keras_robust.losses import (
    CE,
    GCE,
    MAE,
    NCE,
    NGCE,
    RCE,
    SCE,
    SVLS,
    Dice,
    PerRegion,
    Sum,
    TLoss,
)
from keras_robust.losses.ownership import LossParameters
from keras_robust.losses.registry import LOSSES
from keras_robust.methods import SELECTIONS
from keras_robust.models import (
    CoTeaching,
    DisagreementSelection,
    InstanceNormalization,
    Logits,
    Probabilities,
    SmallLossSelection,
    StochasticSelection,
)
from keras_robust.models.model import FunctionalModel
from keras_robust.training.patches.optimizer import PenalizedSGD

__all__ = ["custom_objects", "load_model"]

_CLASSES: tuple[type, ...] = (
    *(CE, GCE, MAE, NCE, NGCE, RCE, SCE, SVLS, Dice, PerRegion, Sum, TLoss, LossParameters),
    *(FunctionalModel, CoTeaching, InstanceNormalization, Logits, Probabilities),
    *(SmallLossSelection, DisagreementSelection, StochasticSelection),
    PenalizedSGD,
)


def custom_objects() -> dict[str, type]:
    """The classes that a `.keras` file may name, by the names it has for them: those of this
    project, and losses and selections that are registered.

    >>> custom_objects()["keras_robust>InstanceNormalization"].__name__
    'InstanceNormalization'
    """
    registered = [cls for registry in (LOSSES, SELECTIONS) for _, cls in registry.each()]
    return {keras.saving.get_registered_name(cls): cls for cls in (*_CLASSES, *registered)}


def load_model(path: str | Path, compile: bool = True) -> Any:
    """A model from a `.keras` file, whatever of this project it is made of.

    As `keras.models.load_model`, which knows the classes of this project only in a process that
    has used them before. Files are read in safe mode: code in them is not run.

    Args:
        path: Of the file.
        compile: Whether to compile it as it was when it was saved.

    Raises:
        ValueError: No such file, or none of Keras; a class that is neither Keras's, nor of this
            project, nor registered.
    """
    import_own()  # losses of one's own
    return keras.models.load_model(
        path, custom_objects=custom_objects(), compile=compile, safe_mode=True
    )
