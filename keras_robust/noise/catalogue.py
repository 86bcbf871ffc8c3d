"""The kinds of error that the project knows, with what they are called."""

from collections.abc import Collection
from functools import partial

import numpy as np

from .affine import affine_object, choose_affine
from .generators import unit_vector
from .kinds import (
    NOISES,
    Draw,
    Drawn,
    NoiseKind,
    NotHere,
    all_kinds,
    kind_named,
    register,
    register_ours,
)
from .mistakes import classes, drawing, objects, orientation, parts, slices
from .mistakes.other_case import draw_other_case, other_case
from .morphology import dilate_by, dilate_object, erode_by, erode_object

__all__ = [
    "GROUPS",
    "KINDS",
    "MISTAKES",
    "NOISES",
    "Draw",
    "NoiseKind",
    "NotHere",
    "all_kinds",
    "expanded",
    "kind_named",
    "register",
]

SIZE, PART, OUTLINE, GRID = "Size and place", "Parts and objects", "Outline", "Orientation and grid"
SLICES, CLASS, FILE = "Slices", "Class", "File"


def _draw_dilate(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    noisy, iterations = dilate_object(own, allowed, draw.beta)
    return noisy, {"iterations": iterations}


def _draw_erode(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    noisy, iterations = erode_object(own, draw.beta)
    return noisy, {"iterations": iterations}


def _erode(own: np.ndarray, allowed: np.ndarray | None, iterations: int) -> np.ndarray:
    return erode_by(own, iterations)


def _draw_affine(own: np.ndarray, allowed: np.ndarray | None, draw: Draw) -> Drawn:
    generator = draw.generator
    angle = float(generator.uniform(-draw.max_angle, draw.max_angle))
    direction = unit_vector(generator, own.ndim)
    axis = unit_vector(generator, 3).tolist() if own.ndim == 3 else None
    return choose_affine(own, allowed, draw.beta, angle, direction, axis)


_whole = partial(NoiseKind, whole=True)

KINDS = register_ours(
    (
        NoiseKind(
            "dilate",
            SIZE,
            "Too large",
            "Drawn around the object generously",
            _draw_dilate,
            dilate_by,
        ),
        NoiseKind(
            "erode",
            SIZE,
            "Too small",
            "Only the core was drawn: by far the harshest",
            _draw_erode,
            _erode,
        ),
        NoiseKind(
            "affine",
            SIZE,
            "Misplaced",
            "Drawn in the wrong place and turned",
            _draw_affine,
            affine_object,
        ),
    )
)

MISTAKES = register_ours(
    (
        NoiseKind(
            "cut",
            PART,
            "Part missing",
            "A part was not drawn: cut off by a plane",
            parts.draw_cut,
            parts.cut_object,
        ),
        NoiseKind(
            "hole",
            PART,
            "Hole",
            "The inside was not filled everywhere",
            parts.draw_hole,
            parts.hole_object,
        ),
        NoiseKind(
            "leak",
            PART,
            "Leak",
            "A tool ran out over the boundary",
            parts.draw_leak,
            parts.leak_object,
        ),
        _whole(
            "object_missing",
            PART,
            "Object missing",
            "One or several of the objects were overlooked",
            objects.draw_object_missing,
            objects.object_missing,
        ),
        _whole(
            "object_added",
            PART,
            "Object added",
            "Something was drawn where there is nothing",
            objects.draw_object_added,
            objects.object_added,
        ),
        NoiseKind(
            "polygon",
            OUTLINE,
            "Coarse polygon",
            "The outline was clicked with too few corners",
            drawing.draw_polygon,
            drawing.polygon_object,
        ),
        NoiseKind(
            "brush",
            OUTLINE,
            "Coarse brush",
            "Painted with too large a brush",
            drawing.draw_brush,
            drawing.brush_object,
        ),
        _whole(
            "mirror",
            GRID,
            "Mirrored",
            "The mask is the wrong way round",
            orientation.draw_mirror,
            orientation.mirror,
        ),
        _whole(
            "rotate",
            GRID,
            "Turned by 90°",
            "The mask is turned by one, two or three quarters",
            orientation.draw_rotate,
            orientation.rotate,
        ),
        _whole(
            "grid",
            GRID,
            "Grid shifted",
            "The mask lies half a voxel to four beside the image",
            orientation.draw_grid,
            orientation.grid,
        ),
        _whole(
            "slices_missing",
            SLICES,
            "Slices missing",
            "Some slices of the volume were not drawn",
            slices.draw_slices_missing,
            slices.slices_missing,
        ),
        _whole(
            "slices_repeated",
            SLICES,
            "Slices repeated",
            "The mask of one slice was copied to those behind it",
            slices.draw_slices_repeated,
            slices.slices_repeated,
        ),
        _whole(
            "slices_shifted",
            SLICES,
            "Slices shifted",
            "Some slices were each drawn beside their place",
            slices.draw_slices_shifted,
            slices.slices_shifted,
        ),
        _whole(
            "neighbour_slice",
            SLICES,
            "Neighbouring slice",
            "Slices have the mask of a neighbouring slice",
            slices.draw_neighbour_slice,
            slices.neighbour_slice,
        ),
        _whole(
            "class_changed",
            CLASS,
            "Wrong class",
            "A whole structure has the label of another",
            classes.draw_class_changed,
            classes.relabelled,
        ),
        _whole(
            "class_swapped",
            CLASS,
            "Classes swapped",
            "Two structures have each other's label, as left and right mixed up",
            classes.draw_class_swapped,
            classes.relabelled,
        ),
        _whole(
            "class_part",
            CLASS,
            "Wrong class in part",
            "A part of a structure has the label of another",
            classes.draw_class_part,
            classes.class_part,
        ),
        _whole(
            "labels_shifted",
            CLASS,
            "Labels off by one",
            "Every structure has the next label of the list",
            classes.draw_labels_shifted,
            classes.relabelled,
        ),
        _whole(
            "other_case",
            FILE,
            "Another case",
            "The mask belongs to another image",
            draw_other_case,
            other_case,
            takes_other=True,
        ),
    )
)

GROUPS = {"shapes": KINDS, "mistakes": MISTAKES, "all": KINDS + MISTAKES}


def expanded(names: Collection[str]) -> tuple[str, ...]:
    """Kinds by name, with the members of "shapes", "mistakes" and "all" in the place of these.

    >>> expanded(("hole", "shapes"))
    ('hole', 'dilate', 'erode', 'affine')
    >>> expanded(("hole", "hole"))
    ('hole', 'hole')
    """
    given = [name for name in names if name not in GROUPS]
    members = [name for group in names if group in GROUPS for name in GROUPS[group]]
    return (*given, *(name for name in dict.fromkeys(members) if name not in given))
