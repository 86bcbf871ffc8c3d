"""Structures drawn with the wrong label."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..generators import unit_vector
from ..kinds import Draw, Drawn, NotHere
from ..structures import bounding_box, labels_of
from .amounts import first_voxels


def relabelled(mask: np.ndarray, labels: Mapping[str, int]) -> np.ndarray:
    """A mask with other labels.

    Args:
        mask: labels.
        labels: the new one of each label, as text; others stay.

    >>> relabelled(np.array([0, 1, 2, 3]), {"1": 2, "2": 1})
    array([0, 2, 1, 3])
    """
    result = mask.copy()
    for old, new in labels.items():
        result[mask == int(old)] = new
    return result


def draw_class_changed(mask: np.ndarray, draw: Draw) -> Drawn:
    """A whole structure with the label of another one."""
    one, other = _two(mask, draw)
    parameters = {"labels": {str(one): other}}
    return relabelled(mask, **parameters), parameters


def draw_class_swapped(mask: np.ndarray, draw: Draw) -> Drawn:
    """Two structures with each other's label."""
    one, other = _two(mask, draw)
    parameters = {"labels": {str(one): other, str(other): one}}
    return relabelled(mask, **parameters), parameters


def draw_labels_shifted(mask: np.ndarray, draw: Draw) -> Drawn:
    """Every structure with the next lower label of the mask, the lowest then background; or with
    the next higher one, the highest then the lowest."""
    labels = _labels(mask)
    new = [0, *labels[:-1]] if draw.generator.integers(2) else [*labels[1:], labels[0]]
    parameters = {"labels": {str(old): label for old, label in zip(labels, new, strict=True)}}
    return relabelled(mask, **parameters), parameters


def class_part(
    mask: np.ndarray, label: int, new: int, direction: Sequence[float], voxels: int
) -> np.ndarray:
    """A mask in which a part of a structure has another label.

    Args:
        mask: labels.
        label: of the structure.
        new: label of its voxels on the far side of a plane.
        direction: normal of the plane, towards that part.
        voxels: how many there are.
    """
    own = mask == label
    window = bounding_box(own)
    result = mask.copy()
    result[window][first_voxels(own[window], direction, voxels)] = new
    return result


def draw_class_part(mask: np.ndarray, draw: Draw) -> Drawn:
    """So large a part that the change is `beta` of the area of all: it is lost to one structure
    and gained by the other."""
    label, new = _two(mask, draw)
    area = int(np.count_nonzero(mask == label))
    if area < 2:
        raise NotHere("only a structure of two voxels or more has parts")
    parameters = {
        "label": label,
        "new": new,
        "direction": unit_vector(draw.generator, mask.ndim).tolist(),
        "voxels": min(int(draw.beta * np.count_nonzero(mask) / 2), area - 1),
    }
    return class_part(mask, **parameters), parameters


def _labels(mask: np.ndarray) -> list[int]:
    labels = labels_of(mask)
    if len(labels) < 2:
        raise NotHere("it takes two classes in the mask, and this one has one")
    return labels


def _two(mask: np.ndarray, draw: Draw) -> list[int]:
    return draw.generator.permutation(_labels(mask))[:2].tolist()
