"""The methods with two peers and what their selections take, without importing Keras: for studies
and menus."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["METHODS", "SELECTION_OPTIONS", "split_method"]

METHODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cot": ("ce+dice", "cot"),
        "cot+": ("ce+dice", "cot+"),
        "stocot": ("ce+dice", "stocot"),
        "hrl": ("svls-apl2", "stocot"),
    }
)
"""Methods with two peers: name, loss and selection."""

_ALL = ("balanced", "min_kept")
SELECTION_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cot": ("forget_rate", "ramp_epochs", *_ALL),
        "cot+": ("forget_rate", "ramp_epochs", "warmup", *_ALL),
        "stocot": ("alpha", "beta", "warmup", "ramp", *_ALL),
    }
)
"""What the selections take, by their names."""


def split_method(
    name: str, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """The loss, its options and the selection of a method, as `TrainConfig` has them.

    Args:
        name: Of a method with two peers, or of a loss.
        options: Of both. What both know, such as α and β of SCE, goes to the selection.

    Returns:
        `loss`, `loss_options` and `selection`; the last is None for a single network.

    >>> split_method("hrl", {"alpha": 4.0, "sigma": 0.5})
    ('svls-apl2', {'sigma': 0.5}, {'name': 'stocot', 'options': {'alpha': 4.0}})
    >>> split_method("gce", {"q": 0.5})
    ('gce', {'q': 0.5}, None)
    """
    key = str(name).strip().lower()
    if key not in METHODS:
        return name, dict(options), None
    loss, selection = METHODS[key]
    known = SELECTION_OPTIONS[selection]
    chosen = {option: value for option, value in options.items() if option in known}
    others = {option: value for option, value in options.items() if option not in known}
    return loss, others, {"name": selection, "options": chosen}
