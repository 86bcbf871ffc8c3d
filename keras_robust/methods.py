"""Methods with two peers, selections and menus, without importing Keras."""

import inspect
import os
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

from keras_robust.common.errors import invalid, options_of
from keras_robust.common.registry import VARIABLE, Registry, offered

__all__ = [
    "CORRECTED",
    "LOSS_NAMES",
    "LOSS_OPTIONS",
    "LOSS_SUMS",
    "METHODS",
    "NETWORK_NAMES",
    "PEER_NAMES",
    "SELECTIONS",
    "check_names",
    "find_method",
    "loss_menu",
    "method_fields",
    "peer_menu",
    "split_method",
    "stray_options",
]

METHODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cot": ("ce+dice", "cot"),
        "cot+": ("ce+dice", "cot+"),
        "stocot": ("ce+dice", "stocot"),
        "hrl": ("svls-apl2", "stocot"),
    }
)
"""Methods with two peers: name, loss and selection."""

# Named as by entry points: this floor imports nothing of the one above, which imports no Keras.
_FILE = "keras_robust.models.co_teaching.selection"


def _checked(name: str, cls: Any) -> type:
    base = import_module(_FILE).Selection
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise invalid("cls", "a subclass of keras_robust.models.Selection", cls)
    return cls


SELECTIONS: Registry[type] = Registry(
    "selection",
    "keras_robust.selections",
    {
        "cot": f"{_FILE}:SmallLossSelection",
        "cot+": f"{_FILE}:DisagreementSelection",
        "stocot": f"{_FILE}:StochasticSelection",
    },
    _checked,
)
"""How two peers choose voxels, by the names of their methods."""


def find_method(name: str) -> tuple[str, str] | None:
    """Loss and selection of a method with two peers; None for a single network.

    Args:
        name: One of `METHODS`, or a loss and a selection with a dash between them.

    >>> find_method("hrl"), find_method("t+dice-stocot"), find_method("svls-apl2")
    (('svls-apl2', 'stocot'), ('t+dice', 'stocot'), None)
    """
    key = str(name).strip().lower()
    if key in METHODS:
        return METHODS[key]
    loss, _, selection = key.rpartition("-")
    # `svls-` before a loss is no method; that much is known without the modules of one's own.
    if not loss or selection in LOSS_NAMES or selection not in SELECTIONS:
        return None
    return loss, selection


def split_method(
    name: str, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """The loss, its options and the selection of a method, as `TrainConfig` has them.

    Args:
        name: Of a method with two peers, see `find_method`, or of a loss.
        options: Of both. What both know, such as α and β of SCE, goes to the selection.

    Returns:
        `loss`, `loss_options` and `selection`; the last is None for a single network.

    >>> split_method("hrl", {"alpha": 4.0, "sigma": 0.5})
    ('svls-apl2', {'sigma': 0.5}, {'name': 'stocot', 'options': {'alpha': 4.0}})
    >>> split_method("gce", {"q": 0.5})
    ('gce', {'q': 0.5}, None)
    """
    found = find_method(name)
    if found is None:
        return name, dict(options), None
    loss, selection = found
    known = options_of(SELECTIONS.find(selection))
    chosen = {option: value for option, value in options.items() if option in known}
    others = {option: value for option, value in options.items() if option not in known}
    return loss, others, {"name": selection, "options": chosen}


CORRECTED = "-corrected"
"""Ends the name of a method that corrects its masks, see `TrainConfig.correct`."""


def method_fields(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the name of a method says of a `TrainConfig`.

    Args:
        name: See `split_method`; with `-corrected` behind it masks are corrected meanwhile.
        options: Of loss and selection.

    Returns:
        `loss`, `loss_options` and `selection`; `stop` and `correct` where masks are corrected.

    >>> method_fields("t-corrected", {})["stop"]
    'memorising'
    """
    key = str(name).strip()
    corrects = key.lower().endswith(CORRECTED)
    loss, others, selection = split_method(key[: -len(CORRECTED)] if corrects else name, options)
    fields: dict[str, Any] = {"loss": loss, "loss_options": others, "selection": selection}
    return fields | ({"stop": "memorising", "correct": True} if corrects else {})


LOSS_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "t+dice": "T-Loss + Dice: learns how far to trust masks; helped with wrong boundaries",
        "ce+dice": "Cross entropy + Dice: the usual loss, hard to beat; compare others with it",
        "t": "T-Loss: learns how far to trust masks; often better with Dice beside it",
        "apl1": "NCE + RCE + Dice: active and passive, robust",
        "apl2": "NGCE + RCE + Dice: active and passive, robust",
        "ngce+rce": "Normalised generalised + reverse cross entropy: robust",
        "gce": "Generalised cross entropy: between cross entropy and MAE",
        "sce": "Symmetric cross entropy: cross entropy + reverse cross entropy",
        "svls": "Cross entropy and Dice on labels smoothed at borders",
        "nce": "Normalised cross entropy",
        "ngce": "Normalised generalised cross entropy",
        "rce": "Reverse cross entropy",
        "mae": "Mean absolute error: robust, slow to learn",
        "ce": "Cross entropy",
        "dice": "Soft Dice",
        "nr_dice": "Noise-robust Dice: between Dice and MAE (COPLE-Net)",
        "squared_dice": "Dice with squares in the denominator (V-Net)",
        "generalized_dice": "Generalised Dice: all classes at once, rare ones weigh more",
        "focal": "Focal: what is hard counts more; for rare classes, not for wrong labels",
        "nacl": "Cross entropy, logits held near the classes around: calibrates",
    }
)

LOSS_SUMS: Mapping[str, str] = MappingProxyType({"apl1": "nce+rce+dice", "apl2": "ngce+rce+dice"})
"""The active-passive losses of nnRobustLoss (2026), section 2, eq. 4 and 6."""

_OF_ALL = ("dtype", "from_logits", "ignore_label", "name", "reduction")
LOSS_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "t": ("epsilon", "event", "log_precision", "nu_tilde", "scale"),
        "rce": ("clamp",),
        "ngce": ("q",),
        "gce": ("q",),
        "sce": ("alpha", "beta", "clamp"),
        "dice": ("batch", "include_background", "smooth"),
        "squared_dice": ("batch", "include_background", "smooth"),
        "generalized_dice": ("weight",),
        "nr_dice": ("gamma", "include_background", "smooth", "squared"),
        "focal": ("alpha", "gamma"),
        "nacl": ("weight",),
        "svls": ("center", "sigma"),
    }
)
"""What losses take beside `_OF_ALL`, which all take."""

NETWORK_NAMES = ("unet",)


def stray_options(loss: str, options: Iterable[str]) -> list[str]:
    """Options that no term of a loss takes; none where a term is not one of the project's.

    >>> stray_options("svls-apl2", ["q", "sigma", "nu_tilde"])
    ['nu_tilde']
    """
    smoothed, _, inner = loss.strip().lower().partition("-")
    terms = [smoothed] if smoothed == "svls" else []
    rest = (inner or "ce+dice") if terms else loss.strip().lower()
    terms += [term.strip() for term in LOSS_SUMS.get(rest, rest).split("+")]
    if not set(terms) <= LOSS_NAMES.keys():
        return []
    known = {*_OF_ALL, *(option for term in terms for option in LOSS_OPTIONS.get(term, ()))}
    return [option for option in options if option not in known]


def check_names(loss: str, options: Iterable[str] = (), network: str | None = None) -> None:
    """Refuse losses, options of these and networks that there are not, as far as is seen without
    Keras.

    Args:
        loss: Of a single network, or of the peers of a method.
        options: Of the loss, by name.
        network: None for one that is known.

    Raises:
        ValueError: Nothing is called so.
    """
    unknown = set(re.split("[+-]", loss.strip().lower())) - LOSS_NAMES.keys()
    if unknown and not _may_be_own("keras_robust.losses"):
        raise invalid(
            "loss",
            f"{[*LOSS_NAMES]}, a sum of these, or 'svls-' and one of these",
            loss,
            f"A loss of your own is registered in a module that {VARIABLE} names.",
        )
    if stray := stray_options(loss, options):
        raise invalid(
            "loss_options",
            f"options of the loss {loss!r}",
            stray,
            "The reference of the losses lists them.",
        )
    known = (None, *NETWORK_NAMES)
    if network not in known and not _may_be_own("keras_robust.networks"):
        raise invalid(
            "model.name",
            f"one of {[*NETWORK_NAMES]}",
            network,
            f"A network of your own is registered in a module that {VARIABLE} names.",
        )


def _may_be_own(group: str) -> bool:
    """Whether there are modules or packages that may have registered a name."""
    return bool("keras" in sys.modules or os.environ.get(VARIABLE) or offered(group))


PEER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "t+dice-stocot": "T-Loss + Dice, with stochastic co-teaching: two networks, twice the "
        "time; helped most, with wrong boundaries and with masks of a crowd; leaves voxels out "
        "from epoch 20 on",
        "stocot": "Stochastic co-teaching: two networks, twice the time; helped with masks of a "
        "crowd, not with wrong boundaries; leaves voxels out from epoch 20 on",
        "cot": "Co-teaching: two networks, twice the time; helped with masks of a crowd, can fail "
        "with small structures in large volumes",
        "cot+": "Co-teaching+: two networks, twice the time; helped a little with masks of a "
        "crowd, but its probabilities are badly calibrated",
        "hrl": "Stochastic co-teaching with APL2 on smoothed labels: two networks, twice the time; "
        "helped a little with masks of a crowd; leaves voxels out from epoch 20 on",
    }
)
"""What helped with what: `docs/results/nnrobustloss`."""


def loss_menu() -> dict[str, str]:
    """Losses for a menu, each with a word on it; those of installed packages close it.

    What only a module of one's own registers is not among them: it needs Keras.
    """
    offers = offered("keras_robust.losses")
    return dict(LOSS_NAMES) | {
        name: f"A loss of the package {_package(entry)}"
        for name, entry in offers.items()
        if name not in LOSS_NAMES
    }


def peer_menu() -> dict[str, str]:
    """Methods with two peers for a menu, as `loss_menu`."""
    offers = offered("keras_robust.selections")
    return dict(PEER_NAMES) | {
        f"ce+dice-{name}": f"Two networks, by a selection of the package {_package(entry)}"
        for name, entry in offers.items()
    }


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"
