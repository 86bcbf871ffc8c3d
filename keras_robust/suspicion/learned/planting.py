"""Mistakes as people make them, planted into the masks of a dataset, from which the default score
learns."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_robust.noise import GROUPS, LabelNoise

__all__ = ["Planted", "Planter"]

Labels = NDArray[np.uint8]
# Asked for, of the area of an object.
AMOUNTS = (0.1, 0.9)
# What changes less than this of the Dice is no mistake.
NO_MISTAKE = 0.97
# How many masks are kept, to be put in the place of others.
OTHERS = 32


@dataclass(frozen=True)
class Planted:
    """A mask with a mistake.

    Attributes:
        labels: `(*spatial)`, the mask.
        kind: Name of the kind of mistake, see `keras_robust.noise`.
        changed: Elements that differ, by the size of the objects.
        dice: Of both masks, mean over structures.
    """

    labels: Labels
    kind: str
    changed: float
    dice: float


class Planter:
    """Plants mistakes of all kinds.

    Args:
        kinds: Names of kinds, see `keras_robust.noise.LabelNoise`; by default all of the project.
    """

    def __init__(self, kinds: Collection[str] = GROUPS["all"]):
        self.kinds = tuple(kinds)
        self._others: dict[bytes, Labels] = {}

    def offer(self, key: bytes, labels: Callable[[], Labels]) -> None:
        """A mask that may be put in the place of others; those of the least keys are kept."""
        if len(self._others) == OTHERS:
            last = max(self._others)
            if key >= last:
                return
            del self._others[last]
        self._others[key] = labels()

    def plant(
        self, labels: Labels, id: str, generator: np.random.Generator, count: int
    ) -> Iterator[Planted]:
        """Up to so many mistakes, each of another kind.

        Those that cannot be made in this mask are left out, and those that change next to nothing.

        Args:
            labels: `(*spatial)`, classes 0..K-1.
            id: Of the image.
            generator: Where kinds and amounts come from.
            count: How many.
        """
        others = [self._others[key] for key in sorted(self._others)]
        found = 0
        for kind in generator.permutation(self.kinds).tolist():
            if found == count:
                return
            beta, seed = float(generator.uniform(*AMOUNTS)), int(generator.integers(2**31))
            noise = LabelNoise(alpha=1, beta=beta, seed=seed, kinds=(kind,))
            other = others[seed % len(others)] if others else None
            try:
                noisy, done = noise.corrupt(labels, id, kind, None if other is None else other.copy)
            except ValueError:
                continue  # this kind cannot be made here
            if done.dice <= NO_MISTAKE and (noisy != labels).any():
                found += 1
                yield Planted(noisy, kind, done.reached, done.dice)
