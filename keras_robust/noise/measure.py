"""By how much a noisy mask differs from the clean one."""

from typing import NamedTuple

import numpy as np

from .structures import labels_of


class Change(NamedTuple):
    """The difference of two masks.

    Attributes:
        reached: ``|clean XOR noisy| / |clean|``, summed over structures; 0 for an empty mask.
        dice: mean over the structures of either mask; 1 without any.
        same: labels of the structures that did not change.
    """

    reached: float
    dice: float
    same: tuple[int, ...]


def measure(clean: np.ndarray, noisy: np.ndarray) -> Change:
    """How much `noisy` differs from `clean`, a mask of the same shape.

    >>> measure(np.array([[1, 1, 2, 0]]), np.array([[1, 0, 2, 2]]))  # 1 of 2 lost, 1 of 1 gained
    Change(reached=0.6666666666666666, dice=0.6666666666666666, same=())
    """
    drawn = (clean != 0) | (noisy != 0)
    clean, noisy = clean[drawn], noisy[drawn]
    changed = total = 0
    dice, same = [], []
    for label in sorted({*labels_of(clean), *labels_of(noisy)}):
        own, other = clean == label, noisy == label
        area, difference = int(np.count_nonzero(own)), int(np.count_nonzero(own != other))
        together = area + int(np.count_nonzero(other))
        changed, total = changed + difference, total + area
        dice.append((together - difference) / together)
        if difference == 0:
            same.append(label)
    return Change(
        changed / total if total else 0.0, float(np.mean(dice)) if dice else 1.0, tuple(same)
    )
