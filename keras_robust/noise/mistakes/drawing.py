"""Outlines drawn with too few clicks, and areas painted with too large a brush.

Both are drawn slice by slice, as people do: volumes along their first axis.
"""

from collections.abc import Iterator
from math import ceil, floor

import numpy as np
import scipy  # whose parts are imported when they are needed

from ..kinds import Draw, Drawn
from ..structures import bounding_box
from .amounts import change_of, nearest_step

Outline = tuple[np.ndarray, np.ndarray]  # points (n, 2), and the way along it to each (n,)


def polygon_object(
    own: np.ndarray, allowed: np.ndarray | None, spacing: float, start: float
) -> np.ndarray:
    """One structure as polygons with few corners, one for every outline.

    Args:
        own: the structure, boolean.
        allowed: where it may be, its own voxels included; None: anywhere.
        spacing: way along the outline from corner to corner, in voxels; there are three corners
            at least.
        start: where the first one lies, as a fraction of that.

    Returns:
        The structure redrawn; unchanged where nothing of it would be left.
    """
    outlines = [(index, list(_outlines(one))) for index, one in _slices(own)]
    return _or_unchanged(_polygons(own, allowed, outlines, spacing, start), own)


def draw_polygon(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """Corners so far apart that the change is nearest to `beta`."""
    outlines = [(index, list(_outlines(one))) for index, one in _slices(own)]
    longest = max(way[-1] for _, found in outlines for _, way in found)
    start = float(draw.generator.uniform())

    def reached(spacing: int) -> float | None:
        return change_of(own, _polygons(own, allowed, outlines, spacing, start))

    spacing = nearest_step(1, max(1, int(longest / 3)), reached, draw.beta)
    parameters = {"spacing": spacing, "start": start}
    return _or_unchanged(_polygons(own, allowed, outlines, **parameters), own), parameters


def _polygons(
    own: np.ndarray,
    allowed: np.ndarray | None,
    outlines: list[tuple[tuple, list[Outline]]],
    spacing: float,
    start: float,
) -> np.ndarray:
    from skimage.draw import polygon

    result = np.zeros_like(own)
    for index, found in outlines:
        one = result[index]
        for points, way in found:
            corners = max(3, round(way[-1] / spacing))
            at = (np.arange(corners) + start) * (way[-1] / corners)
            rows, columns = (np.interp(at, way, points[:, axis]) for axis in range(2))
            # Outlines of holes lie within others: what is inside both is outside.
            one[polygon(rows, columns, one.shape)] ^= True
    if allowed is not None:
        result &= allowed
    return result


def _outlines(own: np.ndarray) -> Iterator[Outline]:
    """The outlines of an image, between the voxels inside and outside."""
    from skimage.measure import find_contours

    window = bounding_box(own)
    corner = [box.start - 1 for box in window]
    for points in find_contours(np.pad(own[window], 1).astype(np.float64), 0.5):
        steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
        yield points + corner, np.concatenate([[0.0], np.cumsum(steps)])


def brush_object(
    own: np.ndarray, allowed: np.ndarray | None, radius: int, offset: list[float]
) -> np.ndarray:
    """One structure painted with a round brush, set down on a grid as wide as its radius.

    The brush is set down where its inner half fits into the structure: thin parts are lost, and
    the rim is painted over by up to half a radius.

    Args:
        own: the structure, boolean.
        allowed: where it may be, its own voxels included; None: anywhere.
        radius: of the brush, in voxels.
        offset: of the grid, along the rows and columns, as fractions of its width.

    Returns:
        The structure painted; unchanged where nothing would be.
    """
    return _or_unchanged(_painted(own, allowed, _depths(own), radius, offset), own)


def draw_brush(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """A brush with which the change is nearest to `beta`."""
    depths = _depths(own)
    offset = draw.generator.uniform(size=2).tolist()

    def reached(radius: int) -> float | None:
        return change_of(own, _painted(own, allowed, depths, radius, offset))

    widest = ceil(2 * max(float(depth.max()) for _, _, depth in depths))
    parameters = {"radius": nearest_step(1, widest, reached, draw.beta), "offset": offset}
    return _or_unchanged(_painted(own, allowed, depths, **parameters), own), parameters


def _depths(own: np.ndarray) -> list[tuple[tuple, tuple[slice, ...], np.ndarray]]:
    """Of every slice: where it is, the box of the structure, and the distance to its outside."""
    found = []
    for index, one in _slices(own):
        window = bounding_box(one)
        depth = scipy.ndimage.distance_transform_edt(np.pad(one[window], 1))[1:-1, 1:-1]
        found.append((index, window, depth))
    return found


def _painted(
    own: np.ndarray,
    allowed: np.ndarray | None,
    depths: list[tuple[tuple, tuple[slice, ...], np.ndarray]],
    radius: int,
    offset: list[float],
) -> np.ndarray:
    result = np.zeros_like(own)
    for index, window, depth in depths:
        centres = np.zeros(depth.shape, bool)
        grid = tuple(slice(floor(part * radius), None, radius) for part in offset)
        centres[grid] = depth[grid] > radius / 2
        if not centres.any():
            continue
        around = tuple(slice(max(b.start - radius, 0), b.stop + radius) for b in window)
        clear = np.ones(own[index].shape, bool)
        clear[window] = ~centres
        result[index][around] = scipy.ndimage.distance_transform_edt(clear[around]) <= radius
    if allowed is not None:
        result &= allowed
    return result


def _or_unchanged(noisy: np.ndarray, own: np.ndarray) -> np.ndarray:
    return noisy if noisy.any() else own.copy()


def _slices(own: np.ndarray) -> Iterator[tuple[tuple, np.ndarray]]:
    """The images that a structure is drawn in: index, and its part of `own`, not empty."""
    if own.ndim == 2:
        yield (), own
        return
    (window, *_) = bounding_box(own)
    for number in range(window.start, window.stop):
        if own[number].any():
            yield (number,), own[number]
