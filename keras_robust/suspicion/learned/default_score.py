"""The default score: how improbable it is that a mask is right, learned from its dataset."""

import hashlib
from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from keras_robust.noise import GROUPS
from keras_robust.suspicion.base import Score
from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.learned.detector import Detection, detect, share_of_wrong
from keras_robust.suspicion.learned.evidence import EVIDENCE, PLAIN, Evidence
from keras_robust.suspicion.learned.planting import Planter
from keras_robust.suspicion.learned.recalibration import Recalibration
from keras_robust.suspicion.learned.trust import Trust, is_blind, trust_in
from keras_robust.suspicion.learned.working_grid import WorkingGrid, working_grid

__all__ = ["DefaultScore"]

Floats = NDArray[np.float64]
# Mistakes that are planted: at least, and no more, and one for so many masks between.
FEWEST_PLANTED, MOST_PLANTED, MASKS_PER_PLANTED = 250, 1500, 2


class DefaultScore(Score):
    r"""-log P(mask is right), learned from mistakes planted into the masks of the dataset; above
    0.69 it is wrong more probably than right.

    In nats: 0 for no doubt, without upper end.

    What the model has against a mask is put in figures (see `Evidence`) on the grid of the image,
    or, where that is large, on a coarser one. A detector (see `detect`) learns to tell the given
    masks from mistakes of all kinds that the project can simulate, planted into them. The share of
    masks that are wrong is not assumed but estimated (see `share_of_wrong`).

    Attributes:
        kinds: Names of the kinds of mistake that are planted.
    """

    kinds: Collection[str] = GROUPS["all"]

    def __init__(self, classes: int, nu: float | None = None):
        super().__init__(classes, nu)
        self._recalibration = Recalibration(classes)
        self._planter = Planter(self.kinds)
        self._given: list[Floats] = []
        self._planted: list[Floats] = []
        self._origin: list[int] = []
        self._keys: list[bytes] = []
        self._changed: list[tuple[float, float]] = []

    def learn(self, comparison: Comparison) -> None:
        """Count how often masks agree with each probability."""
        self._recalibration.add(comparison)
        self._planter.offer(_digest(comparison.id), lambda: _grid(comparison).labels)

    def judge(self, comparison: Comparison) -> None:
        """Measure one mask, and mistakes planted into it."""
        grid = _grid(comparison)
        evidence = Evidence(grid, self._recalibration.probabilities(grid.probabilities))
        generator = np.random.default_rng(np.frombuffer(_digest(comparison.id), "<u4"))
        count = self._count(generator)
        for planted in self._planter.plant(grid.labels, comparison.id, generator, count):
            self._planted.append(evidence.measure(np.where(grid.known, planted.labels, 0)))
            self._origin.append(len(self._given))
            self._changed.append((planted.changed, planted.dice))
        self._given.append(evidence.measure(grid.labels))
        self._keys.append(_digest(comparison.id))

    def scores(self) -> list[float]:
        """One per image, in the order of `judge`."""
        return np.logaddexp(0, self._found.given + self._offset).tolist()

    def trust(self, dice: Mapping[int, float]) -> Trust:
        """How far these scores are to be trusted.

        Args:
            dice: Median Dice of predictions and masks, by class.
        """
        found = self._found
        p_wrong = expit(found.given + self._offset)
        changed = np.array([one for one, _ in self._changed], np.float64)
        return trust_in(
            found.given,
            found.planted,
            changed,
            offset=self._offset,
            blind=self._blind,
            wrong_share=float(p_wrong.mean()) if p_wrong.size else 0.0,
            dice=dice,
        )

    @cached_property
    def _found(self) -> Detection:
        return self.detection()

    @cached_property
    def _blind(self) -> bool:
        dice = np.array([one for _, one in self._changed], np.float64)
        agreement = np.array([1 - figures[EVIDENCE.index("Dice")] for figures in self._given])
        return is_blind(self._found.given, self._found.planted, dice, agreement)

    @cached_property
    def _offset(self) -> float:
        """What makes log-odds of it, by the share of wrong masks; no mask is flagged blindly."""
        given = self._found.given
        if not given.size:
            return 0.0
        offset = float(logit(share_of_wrong(given)))
        return min(offset, -float(given.max())) if self._blind else offset

    def detection(self) -> Detection:
        """What was learned of the given masks, and of those with planted mistakes."""
        given = np.stack(self._given) if self._given else np.zeros((0, len(EVIDENCE)))
        planted = np.stack(self._planted) if self._planted else given[:0]
        if not len(given):
            return Detection(np.zeros(0), np.zeros(0))
        order = np.array(sorted(range(len(given)), key=lambda index: self._keys[index]), int)
        # In an order of their own, that of the cases changes nothing.
        place = np.argsort(order)
        origin = place[np.array(self._origin, int)]
        plain = [EVIDENCE.index(name) for name in PLAIN]
        found = detect(given[order], planted, origin, len(EVIDENCE), plain)
        return Detection(found.given[place], found.planted)

    def _count(self, generator: np.random.Generator) -> int:
        """How many mistakes to plant into the next mask."""
        images = max(self._recalibration.images, 1)
        wanted = min(FEWEST_PLANTED + images / MASKS_PER_PLANTED, MOST_PLANTED) / images
        return int(wanted + generator.random())


def _grid(comparison: Comparison) -> WorkingGrid:
    whole = (comparison.labels, comparison.probabilities, comparison.known, comparison.spread)
    return working_grid(WorkingGrid(*whole))


def _digest(id: str) -> bytes:
    # Python's own hash of text differs from process to process.
    return hashlib.sha256(id.encode()).digest()
