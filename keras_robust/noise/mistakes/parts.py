"""A part of a structure that is missing or too much: cut by a plane, a hole, a leak."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are needed

from ..generators import unit_vector
from ..kinds import Draw, Drawn, NotHere, Parameters
from ..morphology import depth_in, put, room
from ..structures import bounding_box
from .amounts import first_voxels, nearest_voxels

LEAK_STRETCH = 2.0  # leaks run away from the boundary: this much longer than wide
MOST_LEAKS = 20


def cut_object(
    own: np.ndarray, allowed: np.ndarray | None, direction: Sequence[float], voxels: int
) -> np.ndarray:
    """One structure without the voxels on the far side of a plane.

    Args:
        own: the structure, boolean.
        allowed: as for `map_structures`; not needed.
        direction: normal of the plane, towards what is lost.
        voxels: how many are lost; fewer than there are.
    """
    window = bounding_box(own)
    inside = own[window]
    return put(own, window, inside & ~first_voxels(inside, direction, voxels))


def draw_cut(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """A cut in a random direction that takes `beta` of the area, and leaves a voxel."""
    area = int(np.count_nonzero(own))
    if area < 2:
        raise NotHere("a part can only be missing of two voxels or more")
    direction = unit_vector(draw.generator, own.ndim).tolist()
    parameters = {"direction": direction, "voxels": min(int(area * draw.beta), area - 1)}
    return cut_object(own, allowed, **parameters), parameters


def hole_object(
    own: np.ndarray, allowed: np.ndarray | None, centre: Sequence[int], voxels: int
) -> np.ndarray:
    """One structure with a hole, round as far as the structure is wide enough.

    Args:
        own: the structure, boolean.
        allowed: as for `map_structures`; not needed.
        centre: of the hole, a voxel.
        voxels: how many are lost: the nearest to the centre among those inside, all of whose
            direct neighbours belong to the structure. So the hole is closed.
    """
    window, depth = depth_in(own)
    local = [c - box.start for c, box in zip(centre, window, strict=True)]
    return put(own, window, (depth > 0) & ~nearest_voxels(depth > 1, local, voxels))


def draw_hole(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """A hole of `beta` of the area, or of all that is inside, where the structure is wide."""
    window, depth = depth_in(own)
    inside = int(np.count_nonzero(depth > 1))
    if not inside:
        raise NotHere("no structure is three voxels wide, as a hole needs")
    wide = np.argwhere(depth >= max(2, (int(depth.max()) + 1) // 2))
    chosen = wide[int(draw.generator.integers(len(wide)))]
    parameters: Parameters = {
        "centre": [int(c) + box.start for c, box in zip(chosen, window, strict=True)],
        "voxels": min(int(np.count_nonzero(own) * draw.beta), inside),
    }
    return hole_object(own, allowed, **parameters), parameters


def leak_object(
    own: np.ndarray, allowed: np.ndarray | None, leaks: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """One structure with bulges that run out over its boundary.

    Args:
        own: the structure, boolean.
        allowed: where it may grow, its own voxels included; None: anywhere.
        leaks: of each the `centre`, the voxel beside the structure at which it leaks; the
            `direction`, a unit vector along which the bulge is twice as long as wide; and how many
            `voxels` are gained: the nearest to the centre that are free.
    """
    result = own.copy()
    for leak in leaks:
        free = ~result if allowed is None else allowed & ~result
        result |= nearest_voxels(
            free, leak["centre"], leak["voxels"], leak["direction"], LEAK_STRETCH
        )
    return result


def draw_leak(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """Leaks of `beta` of the area in all, out of random places of the boundary: one, or where the
    structure is of several pieces as many as are needed for none to be larger than its piece."""
    window = bounding_box(own, 1)
    inside = own[window]
    pieces, _ = scipy.ndimage.label(inside, np.ones((3,) * own.ndim))
    areas = np.bincount(pieces.ravel())
    places = np.argwhere(_beside(inside, allowed if allowed is None else allowed[window]))
    if not len(places):
        raise NotHere("no structure has background beside it to leak into")
    area = int(np.count_nonzero(own))
    rest = min(int(area * draw.beta), room(own, allowed) - area)
    leaks: list[Parameters] = []
    for centre in draw.generator.permutation(places)[:MOST_LEAKS]:
        if rest == 0:
            break
        piece = pieces[tuple(slice(max(int(c) - 1, 0), int(c) + 2) for c in centre)].max()
        leak: Parameters = {
            "centre": [int(c) + box.start for c, box in zip(centre, window, strict=True)],
            "direction": _outward(inside, centre, draw),
            "voxels": min(rest, int(areas[piece])),
        }
        leaks.append(leak)
        rest -= leak["voxels"]
    return leak_object(own, allowed, leaks), {"leaks": leaks}


def _beside(inside: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    """Where a structure may grow by a step along an axis."""
    beside = np.zeros_like(inside)
    for axis in range(inside.ndim):
        front, back = np.moveaxis(beside, axis, 0), np.moveaxis(inside, axis, 0)
        front[1:] |= back[:-1]
        front[:-1] |= back[1:]
    return beside & ~inside if allowed is None else beside & ~inside & allowed


def _outward(inside: np.ndarray, centre: np.ndarray, draw: Draw) -> list[float]:
    """Unit vector away from the part of the structure that is near; random amid a ring."""
    around = tuple(slice(max(int(c) - 3, 0), int(c) + 4) for c in centre)
    corner = [box.start for box in around]
    outward = centre - corner - np.argwhere(inside[around]).mean(axis=0)
    length = float(np.sqrt((outward * outward).sum()))
    if length < 1e-6:
        return unit_vector(draw.generator, inside.ndim).tolist()
    return (outward / length).tolist()
