"""Boundary noise: every structure dilated or eroded, to a mean Dice that is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress

from .batch import Other, check_length, corrupt_all, each_once, unchanged_note
from .boundary import resize_object
from .corruption import Corruption
from .generators import generator_of, unit_vector
from .morphology import room
from .structures import check_mask, labels_of, map_structures

KIND = "boundary"
_STEPS = 60  # of the bisection: past the precision of a float


@dataclass(frozen=True)
class BoundaryNoise:
    r"""Label noise along boundaries, calibrated to a mean Dice per structure.

    Every structure of every mask is dilated or eroded, with equal chances. By how much is drawn as
    well: the Dice against the clean structure is :math:`1 - su` with :math:`u \sim U(0, 2)`, and
    the severity :math:`s` of each label is found by bisection, so that the mean over the masks in
    which it occurs is the one asked for. Structures reach their Dice to the voxel (see
    `keras_robust.noise.boundary`), but for those that have no room to grow or would vanish; the
    calibration makes up for these as far as the others allow.

    What happens to a structure depends on (seed, id, label), its mask and the severity.

    Args:
        mean_dice: mean Dice against the clean masks, in [0.5, 1]; nnRobustLoss's noise on KiTS has
            0.96. Single structures reach down to 2 * mean_dice - 1.
        seed: integer >= 0.
        severity: of every label (as text), from `calibrated`; of others 1 - mean_dice.

    Raises:
        ValueError: an argument is out of range.

    Reference:
        Are robust loss functions still relevant for medical image segmentation with noisy labels?
        (2026), section 3.1, task 3.

    >>> import numpy as np
    >>> masks = np.zeros((40, 48, 48), np.uint8)
    >>> for number, mask in enumerate(masks):
    ...     mask[8 : 20 + number // 2, 10:40] = 1
    >>> noisy, log = BoundaryNoise(mean_dice=0.85).apply(masks, [f"case{n}" for n in range(40)])
    >>> round(float(np.mean([done.dice for done in log])), 3)
    0.85
    >>> all((done.apply(mask) == out).all() for done, mask, out in zip(log, masks, noisy))
    True
    """

    mean_dice: float
    seed: int = 0
    severity: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.5 <= self.mean_dice <= 1:
            raise invalid("mean_dice", "0.5 <= mean_dice <= 1", said=f"mean_dice={self.mean_dice}")
        if not isinstance(self.seed, Integral) or self.seed < 0:
            raise invalid("seed", "an integer >= 0", self.seed)
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "severity", dict(self.severity))

    def plan(self, ids: Iterable[str]) -> dict[str, str]:
        """Kind of every id: all are corrupted along the boundary.

        Raises:
            ValueError: an id occurs twice.
        """
        return dict.fromkeys(each_once(ids), KIND)

    def calibrated(self, sizes: Mapping[str, Mapping[int, tuple[int, int]]]) -> "BoundaryNoise":
        """The same noise with the severity that gives the mean Dice asked for.

        Args:
            sizes: of every mask by id, what `sizes_of` says.
        """
        draws: dict[str, list[tuple[int, int, bool, float]]] = {}
        for id, structures in sizes.items():
            for label, (area, most) in structures.items():
                grows, amount, _ = self._draw(id, label, 2)
                draws.setdefault(str(label), []).append((area, most, grows, amount))
        return replace(
            self, severity={label: self._severity(draws[label]) for label in sorted(draws)}
        )

    def corrupt(
        self, mask: np.ndarray, id: str, kind: str = KIND, other: Other | None = None
    ) -> tuple[np.ndarray, Corruption]:
        """One corrupted mask and its line in the log; `mask` itself is never written to.

        Args:
            mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
            id: of the image.
            kind: from `plan`; "clean" leaves the mask as it is.
            other: not needed; other noises take the mask of another case.

        Raises:
            ValueError: `kind` is unknown or the mask has another rank or dtype.
        """
        if kind == "clean":
            return np.array(mask), Corruption(id, "clean")
        if kind != KIND:
            raise invalid("kind", f"'clean' or {KIND!r}", kind)
        parameters: dict[str, dict[str, Any]] = {}
        unchanged: list[str] = []
        asked = changed = total = 0

        def operate(label: int, own: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
            nonlocal asked, changed, total
            area = int(np.count_nonzero(own))
            grows, amount, direction = self._draw(id, label, own.ndim)
            severity = self.severity.get(str(label), 1 - self.mean_dice)
            wanted = _voxels(area, np.inf, grows, severity * amount)
            voxels = int(_voxels(area, room(own, allowed), grows, severity * amount))
            operator = "dilate" if grows else "erode"
            noisy = resize_object(own, allowed, operator, voxels, direction)
            both = min(area, voxels)
            parameters[str(label)] = {
                "operator": operator,
                "voxels": voxels,
                "direction": direction,
                "dice": 2 * both / (area + voxels),
            }
            if voxels == area != wanted:
                unchanged.append(str(label))
            asked += abs(min(wanted, own.size) - area)
            changed, total = changed + abs(voxels - area), total + area
            return noisy

        noisy = map_structures(mask, operate)
        dice = [values["dice"] for values in parameters.values()]
        return noisy, Corruption(
            id=id,
            kind=KIND,
            parameters=parameters,
            asked=float(asked / total) if total else 0.0,
            reached=changed / total if total else 0.0,
            dice=float(np.mean(dice)) if dice else 1.0,
            note=unchanged_note(
                list(parameters), unchanged, "no room to grow, or too small to shrink"
            ),
        )

    def apply(
        self,
        masks: Sequence[np.ndarray] | np.ndarray,
        ids: Sequence[str],
        progress: Progress | None = None,
    ) -> tuple[Any, list[Corruption]]:
        """Calibrate on a dataset in memory, and corrupt it.

        Args:
            masks: one mask per id, or an array that stacks them along its first axis.
            ids: one per mask, each once.
            progress: called as ``progress(done, total)`` after every mask.

        Returns:
            The noisy masks (an array where `masks` is one, otherwise a list) and the log, in order.

        Raises:
            ValueError: `masks` and `ids` differ in length, or an id occurs twice.
        """
        check_length(masks, ids)
        sizes = {id: sizes_of(mask) for id, mask in zip(each_once(ids), masks, strict=True)}
        return corrupt_all(self.calibrated(sizes), masks, ids, progress)

    def _draw(self, id: str, label: int, rank: int) -> tuple[bool, float, list[float]]:
        """Whether a structure grows, how much its Dice falls, and towards which side."""
        generator = generator_of(self.seed, id, label)
        grows, amount = bool(generator.integers(2)), float(generator.uniform(0, 2))
        return grows, amount, unit_vector(generator, rank).tolist()

    def _severity(self, draws: Sequence[tuple[int, int, bool, float]]) -> float:
        areas, rooms, grow, amounts = (np.array(column) for column in zip(*draws, strict=True))

        def dice(severity: float) -> float:
            voxels = _voxels(areas, rooms, grow, severity * amounts)
            return float(np.mean(2 * np.minimum(areas, voxels) / (areas + voxels)))

        low, high = 0.0, 1.0
        while dice(high) > self.mean_dice and high < 2**_STEPS:
            high *= 2
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if dice(middle) > self.mean_dice else (low, middle)
        return min(low, high, key=lambda severity: abs(dice(severity) - self.mean_dice))


def sizes_of(mask: np.ndarray) -> dict[int, tuple[int, int]]:
    """Of every label of a mask: its voxels, and how many it could have, background included.

    >>> sizes_of(np.array([[0, 1, 1], [0, 2, 0]]))
    {1: (2, 5), 2: (1, 4)}
    """
    mask = check_mask(mask)
    free = int(np.count_nonzero(mask == 0))
    areas = {label: int(np.count_nonzero(mask == label)) for label in labels_of(mask)}
    return {label: (area, area + free) for label, area in areas.items()}


def mean_dice_per_label(log: Iterable[Corruption]) -> dict[str, float]:
    """Mean Dice reached against the clean masks, over those in which a label occurs; for logs of
    `BoundaryNoise`, others hold no Dice per label.

    >>> done = BoundaryNoise(0.8).corrupt(np.ones((1, 4), bool), "a")[1]
    >>> mean_dice_per_label([done]) == {"1": done.dice}
    True
    """
    found: dict[str, list[float]] = {}
    for corruption in log:
        for label, values in corruption.parameters.items():
            if values is not None and "dice" in values:
                found.setdefault(label, []).append(values["dice"])
    return {label: float(np.mean(found[label])) for label in sorted(found)}


def _voxels(area: Any, most: Any, grows: Any, lost: Any) -> Any:
    """Voxels of a structure whose Dice against `area` clean voxels is 1 - lost."""
    dice = np.maximum(1 - lost, 0.0)
    larger = np.minimum(np.rint(area * (2 / np.maximum(dice, 1e-9) - 1)), most)
    smaller = np.maximum(np.rint(area * dice / (2 - dice)), 1)
    return np.where(grows, larger, smaller)
