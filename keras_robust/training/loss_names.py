"""The names of losses with a word on each, without importing Keras: for menus."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["LOSS_NAMES"]

LOSS_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "t": "T-Loss: learns how far to trust masks; the best start for imperfect ones",
        "ce+dice": "Cross entropy + Dice: the usual loss, for masks that are right",
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
    }
)
