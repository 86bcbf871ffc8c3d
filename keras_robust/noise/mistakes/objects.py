"""Whole objects that were overlooked, or drawn where there is none."""

from collections.abc import Sequence
from math import pi

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from ..draws import unit_vector
from ..kinds import Draw, Drawn, NotHere
from ..structures import bounding_box, labels_of
from .amounts import nearest_voxels, voxels_within

STRETCH = 1.5  # of an object added: as long as 1.5 times its width
_SEARCHED = 2_000_000  # voxels among which a place is looked for


def object_missing(mask: np.ndarray, objects: Sequence[Sequence[int]]) -> np.ndarray:
    """A mask without some of its objects.

    Args:
        mask: labels.
        objects: label and number of each that is lost. The objects of a label are its pieces,
            connected over corners too, counted from 1 in the order of their first voxels.
    """
    result = mask.copy()
    for value in {int(value) for value, _ in objects}:
        pieces, _ = _pieces(mask, value)
        lost = [number for other, number in objects if other == value]
        result[np.isin(pieces, lost)] = 0
    return result


def draw_object_missing(mask: np.ndarray, draw: Draw) -> Drawn:
    """Objects in random order whose area together is nearest to `beta`; never none, never all."""
    found: list[tuple[list[int], int]] = []
    for value in labels_of(mask):
        pieces, count = _pieces(mask, value)
        areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        found += [([value, number + 1], int(area)) for number, area in enumerate(areas)]
    if len(found) < 2:
        raise NotHere("it takes two objects, so that one is left")
    target = draw.beta * sum(area for _, area in found)
    chosen: list[list[int]] = []
    lost = 0
    for index in draw.generator.permutation(len(found)):
        object, area = found[index]
        if abs(lost + area - target) < abs(lost - target) and len(chosen) < len(found) - 1:
            chosen.append(object)
            lost += area
    if not chosen:
        chosen = [min(found, key=lambda one: (abs(one[1] - target), one[0]))[0]]
    parameters = {"objects": sorted(chosen)}
    return object_missing(mask, **parameters), parameters


def object_added(
    mask: np.ndarray, label: int, centre: Sequence[int], direction: Sequence[float], voxels: int
) -> np.ndarray:
    """A mask with an object where there is none: an ellipsoid that touches no other.

    Args:
        mask: labels.
        label: of the object.
        centre: its voxel in the middle.
        direction: unit vector along which it is longest.
        voxels: how many it has; fewer where there is less room.
    """
    result = mask.copy()
    result[nearest_voxels(_free(mask), centre, voxels, direction, STRETCH)] = label
    return result


def draw_object_added(mask: np.ndarray, draw: Draw) -> Drawn:
    """An object of `beta` of the area of all, in a random place where it has room, or else in the
    one with the most."""
    voxels = int(draw.beta * np.count_nonzero(mask))
    free = _free(mask)
    step = max(1, int(np.ceil((free.size / _SEARCHED) ** (1 / free.ndim))))
    searched = free[(slice(None, None, step),) * free.ndim]
    if not searched.any():
        raise NotHere("there is no room for another object")
    # Outside the image there is no room.
    depth = distance_transform_edt(np.pad(searched, 1))[(slice(1, -1),) * mask.ndim] * step
    # Area of an ellipse or volume of an ellipsoid, of the axes r, (r,) STRETCH * r.
    unit = STRETCH * (pi if mask.ndim == 2 else 4 * pi / 3)
    radius = (voxels / unit) ** (1 / mask.ndim)
    roomy = np.argwhere(depth >= min(STRETCH * radius + 1, float(depth.max())))
    centre = roomy[int(draw.generator.integers(len(roomy)))] * step
    values = labels_of(mask)
    direction = unit_vector(draw.generator, mask.ndim).tolist()
    parameters = {
        "label": values[int(draw.generator.integers(len(values)))],
        "centre": centre.tolist(),
        "direction": direction,
        "voxels": min(voxels, voxels_within(free, centre, radius + 0.5, direction, STRETCH)),
    }
    return object_added(mask, **parameters), parameters


def _pieces(mask: np.ndarray, value: int) -> tuple[np.ndarray, int]:
    """The objects of a label, numbered from 1, and how many there are."""
    return label(mask == value, structure=np.ones((3,) * mask.ndim))


def _free(mask: np.ndarray) -> np.ndarray:
    """Background that touches no structure, not even over a corner."""
    drawn = mask != 0
    window = bounding_box(drawn, 1)
    drawn[window] = binary_dilation(drawn[window], np.ones((3,) * mask.ndim))
    return ~drawn
