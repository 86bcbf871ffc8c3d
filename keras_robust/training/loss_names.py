"""Losses and methods with two peers by name, a word on each, without importing Keras: for menus."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["LOSS_NAMES", "PEER_NAMES"]

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
    }
)

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
