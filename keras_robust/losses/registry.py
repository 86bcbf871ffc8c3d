"""Losses by name."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import keras

from keras_robust.common.errors import invalid, made, options_of
from keras_robust.common.registry import Registry, import_own
from keras_robust.losses.base import SegmentationLoss, Sum
from keras_robust.losses.cross_entropy import CE, GCE, SCE, Focal
from keras_robust.losses.dice import Dice, GeneralizedDice, NoiseRobustDice, SquaredDice
from keras_robust.losses.normalized import NCE, NGCE
from keras_robust.losses.passive import MAE, RCE
from keras_robust.losses.smoothed import NACL, SVLS
from keras_robust.losses.student_t import TLoss
from keras_robust.methods import LOSS_SUMS

Loss = TypeVar("Loss", bound=type[SegmentationLoss])

_SMOOTHED = "svls"
_BASELINE = "ce+dice"


def _checked(name: str, cls: Any) -> type[SegmentationLoss]:
    if not (inspect.isclass(cls) and issubclass(cls, SegmentationLoss)):
        raise invalid("cls", "a subclass of SegmentationLoss", cls)
    return keras.saving.register_keras_serializable("keras_robust_own", name)(cls)


LOSSES: Registry[type[SegmentationLoss]] = Registry(
    "loss",
    "keras_robust.losses",
    {
        "t": TLoss,
        "mae": MAE,
        "rce": RCE,
        "nce": NCE,
        "ngce": NGCE,
        "gce": GCE,
        "sce": SCE,
        "ce": CE,
        "dice": Dice,
        "squared_dice": SquaredDice,
        "generalized_dice": GeneralizedDice,
        "nr_dice": NoiseRobustDice,
        "focal": Focal,
        "nacl": NACL,
    },
    _checked,
    reserved=(*LOSS_SUMS, _SMOOTHED),
)


def get(name: str | SegmentationLoss, **options: Any) -> SegmentationLoss:
    """A loss by name; names joined by `+` give their sum with unit weights.

    Args:
        name: `"t"`, `"mae"`, `"rce"`, `"nce"`, `"ngce"`, `"gce"`, `"sce"`, `"ce"`, `"dice"`,
            `"squared_dice"`, `"generalized_dice"`, `"nr_dice"`, `"focal"`, `"nacl"`, a sum such as
            `"ngce+rce"` or `"ce+dice"`, `"apl1"` (NCE + RCE + Dice) or `"apl2"` (NGCE + RCE +
            Dice); any of these on smoothed targets, as in `"svls-apl2"`; or `"svls"`, short for
            `"svls-ce+dice"`. A loss object is returned as it is.
        **options: arguments of the classes; in a sum, each goes to every term that takes it.
            `sigma` and `center` are those of `SVLS`; the exponent `q` of NGCE is called w in
            nnRobustLoss.

    Raises:
        ValueError: an unknown name, or an option that no term takes, or not with this value.

    >>> get("ngce+rce", q=0.5).losses[0].q
    0.5
    """
    if isinstance(name, SegmentationLoss):
        if options:
            raise invalid("options", "none beside a loss object", options)
        return name
    import_own()  # so that a misspelt module is told of, whatever the loss
    key = str(name).strip().lower()
    smoothed, _, inner = key.partition("-")
    if smoothed == _SMOOTHED:
        own: dict[str, Any] = {k: options.pop(k) for k in ("sigma", "center") if k in options}
        return made(SVLS, own, get(inner or _BASELINE, **options))
    parts = [part.strip() for part in LOSS_SUMS.get(key, key).split("+")]
    classes = {part: cls for part in parts if (cls := LOSSES.get(part))}
    if not all(part in classes for part in parts):
        raise _unknown(name, parts)
    taken = {part: options_of(classes[part]) for part in parts}
    stray = [option for option in options if not any(option in t for t in taken.values())]
    if stray:
        allowed = sorted(set().union(*taken.values()))
        raise invalid("options", f"among {allowed} for the loss {name!r}", stray)
    losses = [
        made(classes[part], {k: v for k, v in options.items() if k in taken[part]})
        for part in parts
    ]
    return losses[0] if len(losses) == 1 else Sum(losses)


def register(name: str, words: str = "") -> Callable[[Loss], Loss]:
    """Make a loss of one's own known by a name, to configurations and to `get`.

    Args:
        name: small letters, digits and `_`; not one of the project's. The same name again takes
            the place of what it stood for.
        words: a sentence on it for menus; by default the first of its docstring.

    Raises:
        ValueError: another name, or a class that is no `SegmentationLoss`.

    >>> from keras import ops
    >>> from keras_robust.losses import VoxelLoss
    >>> @register("squares")
    ... class Squares(VoxelLoss):
    ...     def values(self, targets, predictions):
    ...         return ops.mean(ops.square(targets - predictions), axis=-1)
    >>> float(get("squares")([[1, 0]], [[[0.5], [0.5]]]))
    0.25
    >>> type(get("squares+dice").losses[0]).__name__
    'Squares'
    """
    return LOSSES.register(name, words)


def names() -> list[str]:
    """The names that `get` knows, those of one's own among them, sums by `+` aside.

    >>> names()[:3]
    ['t', 'mae', 'rce']
    """
    return [*LOSSES.built_in, *LOSS_SUMS, _SMOOTHED, *LOSSES.own()]


def _unknown(name: Any, parts: list[str]) -> ValueError:
    expected = f"{names()}, a sum of these, or 'svls-' and one of these"
    return invalid("name", expected, name, LOSSES.remedy(*parts))
