"""Outlines drawn with few clicks or a wide brush, told by the mask itself."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

__all__ = ["coarseness"]

Mask = NDArray[np.bool_]
# Corners by those of a circle as long: outlines of people have more than these, polygons fewer.
POLYGON, OUTLINE = 0.8, 1.15
# What is lost, as a share of the area, where a disc half as wide as the object does not fit.
BRUSH, THIN_PARTS = 0.004, 0.02
SHORTEST = 20.0
SLICES = 6


def coarseness(mask: Mask, predicted: Mask) -> float:
    """How much more an outline looks like that of a polygon or a wide brush than the predicted one
    does, from 0 to 1.

    Of a volume, that of its larger slices, across the axis along which they look most so.

    >>> square, round_ = np.zeros((40, 40), bool), np.hypot(*np.indices((40, 40)) - 20.0) < 15
    >>> square[5:35, 5:35] = True
    >>> coarseness(square, round_), coarseness(square, square)
    (1.0, 0.0)
    """
    if mask.ndim == 2:
        polygon, brush = _polygon([mask]) - _polygon([predicted]), _brush([mask])
        return max(polygon, brush, 0.0)
    found = []
    for axis in range(mask.ndim):
        own, other = (list(_larger_slices(np.moveaxis(m, axis, 0))) for m in (mask, predicted))
        found += [_polygon(own) - _polygon(other), _brush(own)]
    return max(*found, 0.0)


def _polygon(slices: list[Mask]) -> float:
    corners = [_corners(one) for one in slices]
    found, of_circles = (sum(pair[index] for pair in corners) for index in (0, 1))
    if not of_circles:
        return 0.0
    return float(np.clip((OUTLINE - found / of_circles) / (OUTLINE - POLYGON), 0, 1))


def _brush(slices: list[Mask]) -> float:
    lost = [_thin_parts(one) for one in slices]
    return float(np.clip((THIN_PARTS - np.mean(lost or [1])) / (THIN_PARTS - BRUSH), 0, 1))


def _larger_slices(mask: Mask) -> Iterator[Mask]:
    areas = mask.sum(axis=(1, 2))
    large = np.flatnonzero(areas >= max(0.3 * areas.max(initial=0), 1))
    for index in large[:: max(1, len(large) // SLICES)]:
        yield mask[index]


def _corners(mask: Mask) -> tuple[float, float]:
    """Corners of the outlines, and of circles as long."""
    from skimage.measure import approximate_polygon, find_contours

    found = of_circles = 0.0
    for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
        if length < SHORTEST:
            continue
        radius = length / (2 * np.pi)
        tolerance = max(0.8, 0.03 * radius)
        found += len(approximate_polygon(line, tolerance)) - 1
        of_circles += float(np.pi / np.arccos(1 - tolerance / radius))
    return found, of_circles


def _thin_parts(mask: Mask) -> float:
    """Share of the area where a disc half as wide as the object does not fit."""
    if not mask.any():
        return 0.0
    depth = distance_transform_edt(np.pad(mask, 1))
    radius = float(depth.max()) / 2
    kept = distance_transform_edt(depth <= radius) <= radius
    return 1 - float((kept[1:-1, 1:-1] & mask).sum()) / float(mask.sum())
