"""How far a mask of one object class lies from what the model says, and what would mend it."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, find_objects

__all__ = ["Measures", "Structure", "box_around", "signed_distance"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
# Larger boxes are judged at half the resolution, or a third, ...
MOST_ELEMENTS = 2**16
# Room around mask and prediction, as a share of their box, for masks to grow and move into.
MARGIN = 0.4


@dataclass(frozen=True)
class Measures:
    r"""What the model has against a mask: log-likelihood ratios, in nats per element.

    With :math:`\ell` the log-odds of each element, a mask M has the log-likelihood
    :math:`L(M) = \sum_M \ell` but for a constant. All figures are divided by the number of elements
    of mask or prediction, whichever is more.

    Attributes:
        evidence: L of the best mask of all, less that of this mask.
        shrinking: What the best smaller outline would gain, at one distance inside this one.
        growing: What the best larger outline would gain.
        moving: What the best translation would gain.
    """

    evidence: float
    shrinking: float
    growing: float
    moving: float


class Structure:
    """One class in one image, as the model sees it; masks of it are measured against that.

    Args:
        log_odds: `(*spatial)`, that each element belongs to the class.
        mask: `(*spatial)`, the given mask.
        spacing: Distance between neighbouring elements along each axis.
        most: Elements of a box that is not made coarser.

    Attributes:
        mask: The given mask in a box around it and the prediction; of a large box, at a lower
            resolution.
        predicted: The best mask, of the same shape.
        best: L of that.
    """

    def __init__(
        self,
        log_odds: Floats,
        mask: Mask,
        spacing: tuple[float, ...],
        most: int = MOST_ELEMENTS,
    ):
        box = box_around(mask | (log_odds > 0))
        factor = _factor(tuple(side.stop - side.start for side in box), most)
        self.mask: Mask = _coarse(mask[box].astype(np.float32), factor) > 0.5
        self.spacing = spacing
        self.log_odds = _coarse(log_odds[box], factor)
        self.predicted: Mask = self.log_odds > 0
        self.best = float(self.log_odds.sum(where=self.predicted))
        self._elements = int(self.predicted.sum())
        self._shape = tuple(fft.next_fast_len(2 * size, real=True) for size in self.mask.shape)
        self._spectrum = fft.rfftn(self.log_odds, self._shape)

    def likelihood(self, mask: Mask) -> float:
        """L of a mask of the same shape as `self.mask`."""
        return float(self.log_odds.sum(where=mask))

    def measure(self, mask: Mask) -> Measures:
        """Measure the given mask or another of the same shape as `self.mask`."""
        elements = int(mask.sum())
        scale = max(elements, self._elements, 1)
        now = self.likelihood(mask)
        smaller, larger = self.resized(mask, elements)
        gains = [self.best - now, smaller - now, larger - now, self.moved(mask) - now]
        return Measures(*(max(gain, 0.0) / scale for gain in gains))

    def resized(self, mask: Mask, elements: int) -> tuple[float, float]:
        """The greatest log-likelihood of the outlines inside, and of those outside this one."""
        if not elements:
            return 0.0, self.best
        distance = signed_distance(mask, self.spacing).ravel()
        order = np.argsort(distance)
        ordered = distance[order]
        # A mask takes all elements of one distance or none of them.
        last = np.flatnonzero(np.append(ordered[1:] > ordered[:-1], True))
        totals = np.cumsum(self.log_odds.ravel()[order])[last]
        inside = last < elements - 1
        smaller = max(0.0, float(totals[inside].max(initial=0.0)))
        return smaller, float(totals[last >= elements - 1].max())

    def moved(self, mask: Mask) -> float:
        """The greatest log-likelihood of the mask, moved by whole elements within the box."""
        spectrum = np.conj(fft.rfftn(mask.astype(np.float64), self._shape))
        return float(fft.irfftn(spectrum * self._spectrum, self._shape).max())


def signed_distance(mask: Mask, spacing: tuple[float, ...]) -> Floats:
    """Distance from the outline of a mask that is not empty: positive outside, negative inside.

    The border of the array is no outline, but where the mask fills all of it.
    """
    if mask.all():
        inside = distance_transform_edt(np.pad(mask, 1), sampling=spacing)
        return -inside[(slice(1, -1),) * mask.ndim]
    outside = distance_transform_edt(~mask, sampling=spacing)
    return outside - distance_transform_edt(mask, sampling=spacing)


def box_around(held: Mask, least: int = 1, empty: int = 1) -> tuple[slice, ...]:
    """The box of what is held, with room around it for masks to grow and move into.

    Args:
        held: Of any rank.
        least: Elements of room beside the share of the box.
        empty: Sides of the box where nothing is held.
    """
    (box,) = find_objects(held.view(np.uint8)) or [None]
    if box is None:
        return (slice(0, empty),) * held.ndim
    sides = []
    for side, size in zip(box, held.shape, strict=True):
        room = int(np.ceil(MARGIN * (side.stop - side.start))) + least
        sides.append(slice(max(side.start - room, 0), min(side.stop + room, size)))
    return tuple(sides)


def _factor(shape: tuple[int, ...], most: int) -> int:
    factor = 1
    while prod(-(-size // factor) for size in shape) > most:
        factor += 1
    return factor


def _coarse(array: NDArray, factor: int) -> NDArray:
    """Means of blocks of `factor` elements along every axis; blocks at the end may be smaller."""
    if factor == 1:
        return array
    for axis in range(array.ndim):
        starts = np.arange(0, array.shape[axis], factor)
        counts = np.diff(np.append(starts, array.shape[axis]))
        counts = counts.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
        array = np.add.reduceat(array, starts, axis=axis) / counts
    return array
