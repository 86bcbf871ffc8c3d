"""The robust methods of nnRobustLoss by name: a loss, and how voxels are chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_robust import losses
from keras_robust.common.errors import invalid
from keras_robust.methods import METHODS, find_method, split_method
from keras_robust.models.co_teaching.model import CoTeaching
from keras_robust.models.co_teaching.selection import Selection, get_selection

__all__ = ["METHODS", "RobustMethod", "robust_method"]


@dataclass(frozen=True)
class RobustMethod:
    """A loss, and for methods with two peers a selection of voxels.

    Args:
        name: of the method.
        loss: what to compile with.
        selection: how the peers choose voxels; None for a single network.
    """

    name: str
    loss: losses.SegmentationLoss
    selection: Selection | None = None

    def model(self, build_model: Callable[[], keras.Model], **options: Any) -> keras.Model:
        """The model to compile with `loss`: `build_model()`, or `CoTeaching` of two of them.

        Args:
            build_model: returns a new model at each call.
            **options: of `CoTeaching`; a single network has none.
        """
        if self.selection is None:
            return build_model()
        return CoTeaching(build_model, self.selection, **options)


def robust_method(
    name: str, loss: str | losses.SegmentationLoss | None = None, **options: Any
) -> RobustMethod:
    """A robust method by name.

    Args:
        name: `"cot"` (co-teaching), `"cot+"` (co-teaching+), `"stocot"` (stochastic co-teaching),
            each with CE + Dice, `"hrl"` (stochastic co-teaching with APL2 on smoothed targets), a
            loss and one of the first three, such as `"t+dice-stocot"`, or a name that
            `keras_robust.losses.get` knows, one's own among them, for a single network.
        loss: another loss for one of `METHODS`; a name or a loss.
        **options: of the selection and the loss. What both know, such as α and β of SCE, goes to
            the selection.

    Raises:
        ValueError: an unknown name or option.

    >>> method = robust_method("hrl", alpha=4.0, sigma=0.5, q=0.4)
    >>> method.selection.alpha, method.loss.sigma
    (4.0, 0.5)
    >>> robust_method("t+dice").selection is None
    True
    """
    key = str(name).strip().lower()
    if loss is not None and key not in METHODS:
        raise invalid("loss", f"None beside a name that is not among {list(METHODS)}", loss)
    if find_method(key) is None:
        try:
            return RobustMethod(key, losses.get(key, **options))
        except ValueError as error:
            error.add_note(
                f"Methods with two peers are {', '.join(METHODS)}, and a loss with a selection, "
                "such as t+dice-stocot."
            )
            raise
    default, others, selection = split_method(key, options)
    chosen = get_selection(selection["name"], **selection["options"]) if selection else None
    return RobustMethod(key, losses.get(loss or default, **others), chosen)
