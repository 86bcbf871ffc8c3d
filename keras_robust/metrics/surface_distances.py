"""Distances of the elements of two surfaces from each other, with the areas of the elements."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_robust.metrics.nearest import distance_to_surface
from keras_robust.metrics.surfel_areas import surfel_areas

__all__ = ["OneSided", "SurfaceDistances", "surface_distances"]

Floats = NDArray[np.float64]
# Distances that are equal on paper differ in the last digits with the spacing.
SLACK = 1e-9


@dataclass(frozen=True)
class OneSided:
    """Distances from the elements of one surface to the other, and the areas of the elements."""

    mm: Floats
    areas: Floats

    def average(self) -> float:
        return float(self.mm @ self.areas / self.areas.sum())

    def percentile(self, percent: float) -> float:
        if percent == 100:
            return float(self.mm.max())
        order = np.argsort(self.mm)
        covered = np.cumsum(self.areas[order])
        return float(
            self.mm[order[np.searchsorted(covered, percent / 100 * covered[-1] * (1 - SLACK))]]
        )

    def within(self, tolerance_mm: float) -> float:
        return float(self.areas[self.mm <= tolerance_mm * (1 + SLACK)].sum())


@dataclass(frozen=True)
class SurfaceDistances:
    a_to_b: OneSided
    b_to_a: OneSided

    def average(self) -> float:
        return self._share(
            float(self.a_to_b.mm @ self.a_to_b.areas), float(self.b_to_a.mm @ self.b_to_a.areas)
        )

    def percentile(self, percent: float) -> float:
        return max(self.a_to_b.percentile(percent), self.b_to_a.percentile(percent))

    def dice(self, tolerance_mm: float) -> float:
        return self._share(self.a_to_b.within(tolerance_mm), self.b_to_a.within(tolerance_mm))

    def _share(self, one: float, other: float) -> float:
        return float((one + other) / (self.a_to_b.areas.sum() + self.b_to_a.areas.sum()))


def surface_distances(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: tuple[float, ...]
) -> SurfaceDistances:
    """Distances between the surfaces of two masks that are not empty."""
    codes = [_neighbour_codes(mask) for mask in (a, b)]
    shape = codes[0].shape
    # One less makes the codes of both interior and exterior the greatest of their type.
    surfaces = [code.ravel() - np.uint8(1) < 2 ** (2**a.ndim) - 2 for code in codes]
    # Places in one row of all are found and looked up several times faster than by their axes.
    flat = [np.flatnonzero(surface) for surface in surfaces]
    places = [np.stack(np.unravel_index(at, shape), axis=-1) for at in flat]
    areas = surfel_areas(spacing)
    sides = []
    for own, other in ((0, 1), (1, 0)):
        mm = np.zeros(len(flat[own]))
        # Shared elements are at distance zero, and most are shared where masks are alike.
        apart = ~surfaces[other][flat[own]]
        if apart.any():
            mm[apart] = distance_to_surface(places[own][apart], places[other], shape, spacing)
        sides.append(OneSided(mm, areas[codes[own].ravel()[flat[own]]]))
    return SurfaceDistances(*sides)


def _neighbour_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Code of the neighbourhood around each corner of the elements, shape (H + 1, W + 1, ...)."""
    codes = np.zeros([size + 2 for size in mask.shape], np.uint8)
    codes[(slice(1, -1),) * mask.ndim] = mask
    for axis in reversed(range(mask.ndim)):
        before = (slice(None),) * axis
        shift = 2 ** (mask.ndim - 1 - axis)
        codes = codes[(*before, slice(-1))] | codes[(*before, slice(1, None))] << shift
    return codes
