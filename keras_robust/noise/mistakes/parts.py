"""A part of a structure that is missing or too much: cut by a plane, a hole, a leak."""

from collections.abc import Sequence

import numpy as np

from ..draws import unit_vector
from ..kinds import Draw, Drawn, NotHere, Parameters
from ..morphology import depth_in, put, room
from ..structures import bounding_box
from .amounts import first_voxels, nearest_voxels

LEAK_STRETCH = 2.0  # leaks run away from the boundary: this much longer than wide


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
    own: np.ndarray,
    allowed: np.ndarray | None,
    centre: Sequence[int],
    direction: Sequence[float],
    voxels: int,
) -> np.ndarray:
    """One structure with a bulge that runs out over its boundary.

    Args:
        own: the structure, boolean.
        allowed: where it may grow, its own voxels included; None: anywhere.
        centre: voxel beside the structure at which it leaks.
        direction: unit vector along which the bulge is twice as long as wide.
        voxels: how many are gained: the nearest to the centre.
    """
    free = ~own if allowed is None else allowed & ~own
    return own | nearest_voxels(free, centre, voxels, direction, LEAK_STRETCH)


def draw_leak(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    """A leak of `beta` of the area out of a random place of the boundary."""
    window = bounding_box(own, 1)
    inside = own[window]
    beside = np.zeros_like(inside)
    for axis in range(own.ndim):
        front, back = np.moveaxis(beside, axis, 0), np.moveaxis(inside, axis, 0)
        front[1:] |= back[:-1]
        front[:-1] |= back[1:]
    beside &= ~inside if allowed is None else allowed[window] & ~inside
    places = np.argwhere(beside)
    if not len(places):
        raise NotHere("no structure has background beside it to leak into")
    centre = places[int(draw.generator.integers(len(places)))]
    area = int(np.count_nonzero(own))
    voxels = min(int(area * draw.beta), room(own, allowed) - area)
    around = tuple(slice(max(int(c) - 3, 0), int(c) + 4) for c in centre)
    corner = [box.start for box in around]
    outward = centre - corner - np.argwhere(inside[around]).mean(axis=0)
    length = float(np.sqrt((outward * outward).sum()))
    if length < 1e-6:  # in the middle of a ring
        outward, length = unit_vector(draw.generator, own.ndim), 1.0
    parameters: Parameters = {
        "centre": [int(c) + box.start for c, box in zip(centre, window, strict=True)],
        "direction": (outward / length).tolist(),
        "voxels": voxels,
    }
    return leak_object(own, allowed, **parameters), parameters
