"""Losses by name."""

import inspect
from typing import Any

from keras_robust.losses._base import SegmentationLoss, invalid
from keras_robust.losses._sum import Sum
from keras_robust.losses.cross_entropy import CE, GCE, SCE
from keras_robust.losses.dice import Dice
from keras_robust.losses.normalized import NCE, NGCE
from keras_robust.losses.passive import MAE, RCE
from keras_robust.losses.student_t import TLoss
from keras_robust.losses.svls import SVLS

_CLASSES: dict[str, type[SegmentationLoss]] = {
    "t": TLoss,
    "mae": MAE,
    "rce": RCE,
    "nce": NCE,
    "ngce": NGCE,
    "gce": GCE,
    "sce": SCE,
    "ce": CE,
    "dice": Dice,
}
# The active-passive losses of nnRobustLoss (2026), section 2, eq. 4 and 6.
_SUMS = {"apl1": "nce+rce+dice", "apl2": "ngce+rce+dice"}
_SMOOTHED = "svls"
_BASELINE = "ce+dice"


def get(name: str | SegmentationLoss, **options: Any) -> SegmentationLoss:
    """A loss by name; names joined by `+` give their sum with unit weights.

    Args:
        name: `"t"`, `"mae"`, `"rce"`, `"nce"`, `"ngce"`, `"gce"`, `"sce"`, `"ce"`, `"dice"`, a sum
            such as `"ngce+rce"` or `"ce+dice"`, `"apl1"` (NCE + RCE + Dice) or `"apl2"`
            (NGCE + RCE + Dice); any of these on smoothed targets, as in `"svls-apl2"`; or
            `"svls"`, short for `"svls-ce+dice"`. A loss object is returned as it is.
        **options: arguments of the classes; in a sum, each goes to every term that takes it.
            `sigma` and `center` are those of `SVLS`; the exponent `q` of NGCE is called w in
            nnRobustLoss.

    Raises:
        ValueError: an unknown name, or an option that no term takes.

    >>> get("ngce+rce", q=0.5).losses[0].q
    0.5
    """
    if isinstance(name, SegmentationLoss):
        if options:
            raise invalid("options", "none beside a loss object", options)
        return name
    key = str(name).strip().lower()
    smoothed, _, inner = key.partition("-")
    if smoothed == _SMOOTHED:
        own = {k: options.pop(k) for k in ("sigma", "center") if k in options}
        return SVLS(get(inner or _BASELINE, **options), **own)
    parts = [part.strip() for part in _SUMS.get(key, key).split("+")]
    unknown = [part for part in parts if part not in _CLASSES]
    if unknown:
        raise invalid("name", f"{names()}, a sum of these, or 'svls-' and one of these", name)
    taken = {part: _options_of(_CLASSES[part]) for part in parts}
    stray = [option for option in options if not any(option in t for t in taken.values())]
    if stray:
        allowed = sorted(set().union(*taken.values()))
        raise invalid("options", f"among {allowed} for the loss {name!r}", stray)
    losses = [
        _CLASSES[part](**{k: v for k, v in options.items() if k in taken[part]}) for part in parts
    ]
    return losses[0] if len(losses) == 1 else Sum(losses)


def names() -> list[str]:
    """The names that `get` knows, sums by `+` aside.

    >>> names()[:3]
    ['t', 'mae', 'rce']
    """
    return [*_CLASSES, *_SUMS, _SMOOTHED]


def _options_of(cls: type) -> set[str]:
    parameters: set[str] = set()
    for base in cls.__mro__:
        if issubclass(base, SegmentationLoss) and "__init__" in vars(base):
            signature = inspect.signature(base.__init__)
            parameters |= {p.name for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD}
    return parameters - {"self"}
