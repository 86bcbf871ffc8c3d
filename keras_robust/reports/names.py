"""What tables and figures call a loss, and in which order and colour they show it."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_robust.methods import METHODS

_NAMES = {
    "t": "T-Loss", "dice": "Dice", "nr_dice": "NR-Dice", "squared_dice": "Squared Dice",
    "generalized_dice": "Generalised Dice", "focal": "Focal",
}  # fmt: skip
_SELECTIONS = {"cot": "CoT", "cot+": "CoT+", "stocot": "StoCoT"}
# The order of the paper's tables; T-Loss and its variants close them.
_ORDER = [
    "Baseline (ref.)", "Baseline", "CE", "Focal", "NACL", "Dice", "Squared Dice",
    "Generalised Dice", "NR-Dice", "CE+Dice",
    "NCE", "GCE", "MAE", "RCE", "SCE", "NGCE",
    "NCE+RCE", "NGCE+MAE", "NGCE+RCE", "APL1", "APL2", "CoT", "CoT+", "StoCoT", "SVLS", "HRL",
]  # fmt: skip
# Distinct for colour-blind readers too (after Paul Tol's "muted" scheme); T-Loss has the strongest.
_COLOURS = [
    "#332288", "#88CCEE", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499",
    "#44AA99", "#777777", "#0077BB", "#A65628", "#4D4D4D", "#BBBBBB",
]  # fmt: skip
_T_COLOURS = ["#D55E00", "#E69F00", "#8C2D04"]
_STYLES = ["-", (0, (5, 1.5)), (0, (1.5, 1.2))]


def loss_label(
    name: str,
    options: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
) -> str:
    """The name of a loss, or of a method with two peers, as the papers print it.

    Args:
        name: Of the loss.
        options: Of the loss.
        selection: `name` and `options` of how two peers choose voxels; None for one network.

    >>> loss_label("ngce+rce"), loss_label("t", {"event": "voxel"})
    ('NGCE+RCE', 'T-Loss (event=voxel)')
    >>> loss_label("svls-apl2", {}, {"name": "stocot"}), loss_label("t", {}, {"name": "cot"})
    ('HRL', 'CoT T-Loss')
    """
    label = "+".join(_NAMES.get(part, part.upper()) for part in name.lower().split("+"))
    given = dict(options or {})
    if selection is not None:
        chosen = str(selection["name"])
        methods = {pair: method for method, pair in METHODS.items()}
        method = methods.get((name.lower(), chosen))
        alone = _SELECTIONS.get(chosen, chosen)
        label = f"{alone} {label}" if method is None else _SELECTIONS.get(method, method.upper())
        given |= selection.get("options") or {}
    listed = ", ".join(f"{key}={value}" for key, value in sorted(given.items()))
    return f"{label} ({listed})" if listed else label


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels without repetition, in the order of the paper's tables.

    >>> in_order(["T-Loss", "NGCE", "GCE"])
    ['GCE', 'NGCE', 'T-Loss']
    """

    def rank(label: str) -> tuple[int, str]:
        if label.startswith("T-Loss"):
            return len(_ORDER) + 1, label
        base = label if label in _ORDER else label.split(" (")[0]
        return (_ORDER.index(base) if base in _ORDER else len(_ORDER)), label

    return sorted(set(labels), key=rank)


def line_styles(labels: Iterable[str]) -> dict[str, dict[str, Any]]:
    """matplotlib line properties per label; T-Loss stands out, all others differ from it."""
    styles: dict[str, dict[str, Any]] = {}
    others = proposed = 0
    for label in in_order(labels):
        if label.startswith("T-Loss"):
            colour = _T_COLOURS[proposed % len(_T_COLOURS)]
            style = _STYLES[(proposed + proposed // len(_T_COLOURS)) % len(_STYLES)]
            styles[label] = {"color": colour, "linestyle": style, "linewidth": 2.6, "zorder": 5}
            proposed += 1
        else:
            colour = _COLOURS[others % len(_COLOURS)]
            style = _STYLES[others % len(_STYLES)]
            styles[label] = {"color": colour, "linestyle": style, "linewidth": 1.5, "zorder": 3}
            others += 1
    return styles
