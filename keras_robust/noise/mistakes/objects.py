"""Whole objects that were overlooked, or drawn where there is none."""

from collections.abc import Mapping, Sequence
from math import pi
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are needed

from ..generators import unit_vector
from ..kinds import Draw, Drawn, NotHere, Parameters
from ..structures import Window, bounding_box, labels_of
from .amounts import nearest_voxels, voxels_within

STRETCH = 1.5  # of an object added: as long as 1.5 times its width
MOST = 20  # objects added to a mask
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
        window, pieces, _ = _pieces(mask, value)
        lost = [number for other, number in objects if other == value]
        result[window][np.isin(pieces, lost)] = 0
    return result


def draw_object_missing(mask: np.ndarray, draw: Draw) -> Drawn:
    """Objects in random order whose area together is nearest to `beta`; never none, never all."""
    found = _objects(mask)
    if len(found) < 2:
        raise NotHere("it takes two objects, so that one is left")
    target = draw.beta * sum(area for *_, area in found)
    chosen: list[list[int]] = []
    lost = 0
    for index in draw.generator.permutation(len(found)):
        value, number, area = found[index]
        if abs(lost + area - target) < abs(lost - target) and len(chosen) < len(found) - 1:
            chosen.append([value, number])
            lost += area
    if not chosen:
        value, number, _ = min(found, key=lambda one: (abs(one[2] - target), one))
        chosen = [[value, number]]
    parameters = {"objects": sorted(chosen)}
    return object_missing(mask, **parameters), parameters


def object_added(mask: np.ndarray, objects: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """A mask with objects where there are none: ellipsoids that touch no other.

    Args:
        mask: labels.
        objects: of each the `label`; the `centre`, its voxel in the middle; the `direction`, a unit
            vector along which it is longest; and how many `voxels` it has, fewer where there is
            less room.
    """
    result = mask.copy()
    for one in objects:
        shape = one["centre"], one["voxels"], one["direction"], STRETCH
        result[nearest_voxels(_free(result), *shape)] = one["label"]
    return result


def draw_object_added(mask: np.ndarray, draw: Draw) -> Drawn:
    """Objects of `beta` of the area of all together, none larger than one that is there, each in a
    random place where it has room, or else in the one with the most."""
    found = _objects(mask)
    rest = int(draw.beta * np.count_nonzero(mask))
    noisy, objects = mask, list[Parameters]()
    while rest > 0 and len(objects) < MOST:
        value, _, area = found[int(draw.generator.integers(len(found)))]
        one = _in_free_place(noisy, min(rest, area), draw)
        if one is None:
            break
        objects.append({"label": value, **one})
        noisy = object_added(noisy, objects[-1:])
        rest -= one["voxels"]
    if rest > 0 and not objects:
        raise NotHere("there is no room for another object")
    return noisy.copy(), {"objects": objects}


def _in_free_place(mask: np.ndarray, voxels: int, draw: Draw) -> Parameters | None:
    """Centre, direction and voxels of an object; None where there is no room at all."""
    free = _free(mask)
    step = max(1, int(np.ceil((free.size / _SEARCHED) ** (1 / free.ndim))))
    searched = free[(slice(None, None, step),) * free.ndim]
    if not searched.any():
        return None
    # Outside the image there is no room.
    padded = scipy.ndimage.distance_transform_edt(np.pad(searched, 1))
    depth = padded[(slice(1, -1),) * mask.ndim] * step
    # Area of an ellipse or volume of an ellipsoid, of the axes r, (r,) STRETCH * r.
    unit = STRETCH * (pi if mask.ndim == 2 else 4 * pi / 3)
    radius = (voxels / unit) ** (1 / mask.ndim)
    roomy = np.argwhere(depth >= min(STRETCH * radius + 1, float(depth.max())))
    centre = roomy[int(draw.generator.integers(len(roomy)))] * step
    direction = unit_vector(draw.generator, mask.ndim).tolist()
    there = voxels_within(free, centre, radius + 0.5, direction, STRETCH)
    return {"centre": centre.tolist(), "direction": direction, "voxels": min(voxels, there)}


def _objects(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """Label, number and voxels of every object."""
    found = []
    for value in labels_of(mask):
        _, pieces, count = _pieces(mask, value)
        areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        found += [(value, number + 1, int(area)) for number, area in enumerate(areas)]
    return found


def _pieces(mask: np.ndarray, value: int) -> tuple[Window, np.ndarray, int]:
    """Box of a label, its objects there, numbered from 1, and how many there are."""
    own = mask == value
    if not own.any():
        return (slice(0, 0),) * mask.ndim, np.zeros((0,) * mask.ndim, int), 0
    window = bounding_box(own)
    return window, *scipy.ndimage.label(own[window], structure=np.ones((3,) * mask.ndim))


def _free(mask: np.ndarray) -> np.ndarray:
    """Background that touches no structure, not even over a corner."""
    drawn = mask != 0
    window = bounding_box(drawn, 1)
    drawn[window] = scipy.ndimage.binary_dilation(drawn[window], np.ones((3,) * mask.ndim))
    return ~drawn
