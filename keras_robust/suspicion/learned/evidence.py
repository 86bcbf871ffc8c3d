"""What a prediction has against a mask, in figures that say the same of any number of classes."""

from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter

from keras_robust.suspicion.learned.working_grid import WorkingGrid

__all__ = ["CIRCUMSTANCES", "EVIDENCE", "PLAIN", "Evidence"]

Labels = NDArray[np.uint8]
Floats = NDArray[np.float64]
# More of these is never less suspicious, ...
EVIDENCE = (
    "evidence",
    "evidence by the usual one",
    "squared difference",
    "soft Dice",
    "soft Dice of the worst class",
    "soft Dice beyond the usual one, worst class",
    "soft Dice beyond the usual one",
    "Dice",
    "Dice of the worst class",
    "softmin",
    "softmin as predicted",
    "worst 2%",
    "worst 10%",
    "worst 30%",
    "largest small region",
    "largest large region",
    "largest small region by its uncertainty",
    "largest large region by its uncertainty",
    "mean distance",
    "95th percentile of distances",
    "length of the outline",
    "jumps between slices",
    "worst slice",
    "size of the worst class",
)
# ... of these it is plain how much mask and prediction differ, ...
PLAIN = tuple(
    name
    for name in EVIDENCE
    if "Dice" in name or name in ("evidence", "squared difference", "mean distance")
)
# ... and these tell of which images.
CIRCUMSTANCES = ("uncertainty", "size", "usual soft Dice", "larger or smaller", "spread")
# What makes little difference: nats per element, ...
LITTLE = 0.005
CERTAIN = 1e-6
TEMPERATURE = 0.1  # of cleanlab's softmin
WORST = (0.02, 0.1, 0.3)
# Sides of regions by the width of the object.
REGIONS = (0.15, 0.4)
FEWEST_IN_SLICE = 0.3


class Evidence:
    """What the model says of one image; masks of it are measured against that.

    Every element of a mask costs the log of how much more probable its most probable label is, in
    nats. No class is special, the background as little as another: sums are taken relative to the
    *size*, the number of elements outside the commonest class, be that the background around an
    organ or the cells between membranes.

    Args:
        grid: The image, with the probabilities as predicted.
        probabilities: `(K, *spatial)`, those that the dataset confirms: see `Recalibration`.
    """

    def __init__(self, grid: WorkingGrid, probabilities: NDArray[np.float32]):
        self._raw, self._p = grid.probabilities * grid.known, probabilities
        self._classes, self._shape = len(probabilities), probabilities.shape[1:]
        self._rank, self._total = len(self._shape), prod(self._shape)
        cost = np.log(probabilities.max(axis=0) / np.maximum(probabilities, CERTAIN))
        self._cost = np.maximum(cost, 0) * grid.known
        self._expected = (probabilities * self._cost).sum(axis=0)
        variance = (probabilities * self._cost**2).sum(axis=0) - self._expected**2
        self._predicted = np.where(grid.known, probabilities.argmax(axis=0), 0).astype(np.intp)
        self._counts = np.bincount(self._predicted.ravel(), minlength=self._classes)
        self._uncertainty = float(self._expected.sum())
        self._masses = self._raw.reshape(self._classes, -1).sum(axis=1, dtype=np.float64)
        self._usual = self._soft_dice(self._predicted, self._counts)
        width = max(self._total - self._counts.max(), 9) ** (1 / self._rank)
        self._sides = [max(3, round(share * width) | 1) for share in REGIONS]
        self._deviations = [np.sqrt(_smooth(variance, side) + 0.05) for side in self._sides]
        self._steps = _steps(self._predicted)
        self._spread = 0.0 if grid.spread is None else float(grid.spread.sum())

    @cached_property
    def _distance(self) -> Floats:
        """From each element to the nearest predicted outline."""
        edge = np.zeros(self._shape, bool)
        for axis in range(self._rank):
            differs = np.diff(self._predicted, axis=axis) != 0
            for side in (slice(0, -1), slice(1, None)):
                place = [slice(None)] * self._rank
                place[axis] = side
                edge[tuple(place)] |= differs
        if not edge.any():
            return np.full(self._shape, max(self._shape) / 2)
        return distance_transform_edt(~edge)

    def measure(self, labels: Labels) -> Floats:
        """The figures named in `EVIDENCE` and `CIRCUMSTANCES`; logarithms where they are amounts.

        Args:
            labels: `(*spatial)`, the given mask or another of the same image.

        Returns:
            `(29,)`, all finite.
        """
        mask = labels.astype(np.intp)
        counts = np.bincount(mask.ravel(), minlength=self._classes)
        size = max(self._total - min(counts.max(), self._counts.max()), 1)
        chosen = mask[np.newaxis]
        cost = np.take_along_axis(self._cost, chosen, 0)[0]
        given = [np.take_along_axis(p, chosen, 0)[0] for p in (self._p, self._raw)]
        total = float(cost.sum())
        classes, signed = self._class_figures(mask, counts, size)
        figures = [
            np.log(total / size + LITTLE),
            np.log((total + 0.01 * size) / (self._uncertainty + 0.01 * size)),
            np.log(float(np.square(1 - given[1]).sum()) / size + 0.002),
            *classes[:6],
            *map(_softmin, given),
            *_worst(cost, size),
            *self._regions(cost),
            *self._distances(mask, size),
            *self._outline(mask, size),
            self._slices(mask, cost),
            classes[6],
        ]
        circumstances = [
            np.log(self._uncertainty / size + 0.01),
            np.log(size),
            classes[7],
            signed,
            np.log(self._spread / size + 0.01),
        ]
        return np.array(figures + circumstances, np.float64)

    def _soft_dice(self, mask: NDArray[np.intp], counts: NDArray[np.intp]) -> Floats:
        """`(K,)`, one minus the Dice of a mask and the probabilities."""
        given = np.take_along_axis(self._raw, mask[np.newaxis], 0)[0]
        shared = np.bincount(mask.ravel(), weights=given.ravel(), minlength=self._classes)
        return 1 - 2 * shared / np.maximum(counts + self._masses, CERTAIN)

    def _class_figures(
        self, mask: NDArray[np.intp], counts: NDArray[np.intp], size: int
    ) -> tuple[list[float], float]:
        """Of the classes that mask or prediction hold, but for the commonest."""
        both = counts + self._counts
        held = both > 0
        # Of classes that are equally common, the one with the larger probabilities.
        held[(both + self._masses / (self._masses.sum() + 1)).argmax()] = False
        if not held.any():
            return [0.0] * 8, 0.0
        soft, usual = self._soft_dice(mask, counts)[held], self._usual[held]
        shared = np.bincount(mask[mask == self._predicted], minlength=self._classes)
        hard = (1 - 2 * shared / np.maximum(both, 1))[held]
        drawn, said = counts[held], self._masses[held]
        least = 0.02 * size + 1
        ratios = np.abs(np.log((drawn + least) / (said + least)))
        beyond = soft - usual
        figures = [soft.mean(), soft.max(), beyond.max(), beyond.mean(), hard.mean(), hard.max()]
        signed = np.log((drawn.sum() + 1) / (said.sum() + 1))
        return [*map(float, figures), float(ratios.max()), float(usual.mean())], float(signed)

    def _regions(self, cost: NDArray[np.float32]) -> list[float]:
        """The worst square region, and the worst in units of what is usual in it."""
        found = [_smooth(cost - self._expected, side) for side in self._sides]
        by = [one / scale for one, scale in zip(found, self._deviations, strict=True)]
        return [float(np.log(max(one.max(), 0) + 0.02)) for one in (*found, *by)]

    def _distances(self, mask: NDArray[np.intp], size: int) -> tuple[float, float]:
        """How far from the predicted outline mask and prediction differ, by the object's width."""
        width = size ** (1 / self._rank)
        far = self._distance[mask != self._predicted]
        mean = float(np.log(far.sum() / (size * width) + 0.001))
        return mean, float(np.percentile(far, 95)) / width if far.size else 0.0

    def _outline(self, mask: NDArray[np.intp], size: int) -> tuple[float, float]:
        """How much longer or shorter it is; and the greatest change from slice to slice."""
        steps = _steps(mask)
        drawn, said = (sum(int(one.sum()) for one in both) for both in (steps, self._steps))
        jumps = [
            float((one - other).max(initial=0)) * length / 2 / size
            for one, other, length in zip(steps, self._steps, self._shape, strict=True)
        ]
        return abs(float(np.log((drawn + 5) / (said + 5)))), max(jumps)

    def _slices(self, mask: NDArray[np.intp], cost: NDArray[np.float32]) -> float:
        """The evidence in the worst slice of a volume, along any axis."""
        if self._rank == 2:
            return 0.0
        usual = self._counts.argmax()
        worst = 0.0
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            drawn, said = ((one != usual).sum(axis=others) for one in (mask, self._predicted))
            held = np.maximum(drawn, said)
            least = FEWEST_IN_SLICE * held.max() + 1
            beyond = (cost - self._expected).sum(axis=others) / np.maximum(held, least)
            worst = max(worst, float(beyond.max()))
        return float(np.log(worst + 0.02))


def _steps(mask: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Along each axis, how many elements change from each slice to the next."""
    axes = range(mask.ndim)
    return [
        (np.diff(mask, axis=axis) != 0).sum(axis=tuple(a for a in axes if a != axis))
        for axis in axes
    ]


def _smooth(array: NDArray, side: int) -> NDArray:
    return uniform_filter(array, side, mode="constant")


def _softmin(given: NDArray[np.float32]) -> float:
    weights = np.exp((1 - given) / TEMPERATURE)
    return float((weights * (1 - given)).sum() / weights.sum())


def _worst(cost: NDArray[np.float32], size: int) -> list[float]:
    """Mean cost of the worst elements, as many as shares of the object."""
    counts = [min(max(int(share * size), 1), cost.size) for share in WORST]
    worst = np.partition(cost, cost.size - counts[-1], axis=None)[-counts[-1] :]
    sums = np.cumsum(np.sort(worst)[::-1], dtype=np.float64)
    return [float(np.log(sums[count - 1] / count + 0.01)) for count in counts]
