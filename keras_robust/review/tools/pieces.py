"""Connected pieces of a class: kept, removed, given to another class, taken from a suggestion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.review.tools.regions import box_of, moved_class, voxel

__all__ = ["change_piece", "keep_largest", "remove_islands", "swap_classes", "take_piece"]


def keep_largest(labels: NDArray[np.uint8], label: int) -> NDArray[np.uint8]:
    """Take all pieces from a class but the largest, of equal ones the first.

    Elements that touch at a corner are one piece.

    >>> keep_largest(np.array([1, 0, 1, 1, 0, 2], np.uint8), 1).tolist()
    [0, 0, 1, 1, 0, 2]
    """
    return remove_islands(labels, label, 1.0)


def remove_islands(labels: NDArray[np.uint8], label: int, share: float = 0.1) -> NDArray[np.uint8]:
    """Take the pieces from a class that have less than a share of the size of its largest.

    Args:
        labels: `(*spatial)`; not changed.
        label: The class.
        share: Above 0, at most 1.

    Raises:
        ValueError: A share that is none.

    >>> remove_islands(np.array([1, 0, 1, 1, 0, 1, 1, 1], np.uint8), 1, 0.5).tolist()
    [0, 0, 1, 1, 0, 1, 1, 1]
    """
    if not 0 < share <= 1:
        raise invalid("share", "0 < share <= 1", share)
    box = box_of(labels == label, (0,) * labels.ndim)
    if box is None:
        return labels.copy()
    pieces, count = _pieces(labels[box] == label)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes >= share * sizes.max()
    if share == 1.0:
        kept[:] = False
        kept[int(sizes.argmax())] = True
    kept[0] = False
    return moved_class(labels, label, kept[pieces], box)


def change_piece(labels: NDArray[np.uint8], at: Sequence[int], to: int) -> NDArray[np.uint8]:
    """Give the piece at an index to another class; the background is no piece.

    Args:
        labels: `(*spatial)`; not changed.
        at: Index of one of its elements.
        to: The class; 0 removes the piece.

    Raises:
        ValueError: The index lies outside.

    >>> change_piece(np.array([2, 2, 0, 2], np.uint8), (0,), 1).tolist()
    [1, 1, 0, 2]
    """
    index = voxel(at, labels.shape)
    result = labels.copy()
    if labels[index]:
        _at(labels == labels[index], index, result, to)
    return result


def swap_classes(labels: NDArray[np.uint8], one: int, other: int) -> NDArray[np.uint8]:
    """Exchange two classes everywhere.

    >>> swap_classes(np.array([1, 2, 0, 3], np.uint8), 1, 2).tolist()
    [2, 1, 0, 3]
    """
    table = np.arange(256, dtype=np.uint8)
    table[one], table[other] = other, one
    return table[labels]


def take_piece(
    labels: NDArray[np.uint8], suggestion: NDArray[np.uint8], at: Sequence[int]
) -> NDArray[np.uint8]:
    """Make the object at an index that which is suggested there.

    Where a class is suggested, its piece replaces the pieces of the class that it touches; where
    none is, what is drawn there and not suggested goes, as far as it hangs together.

    Args:
        labels: `(*spatial)`; not changed.
        suggestion: `(*spatial)`.
        at: Index of an element of the object.

    Raises:
        ValueError: The index lies outside, or another shape.

    >>> take_piece(np.array([1, 1, 0, 1, 0], np.uint8), np.array([0, 1, 1, 0, 1], np.uint8), (2,))
    array([0, 1, 1, 0, 0], dtype=uint8)
    """
    index = voxel(at, labels.shape)
    if suggestion.shape != labels.shape:
        raise invalid("suggestion", f"labels of shape {labels.shape}", suggestion.shape)
    label, result = int(suggestion[index]), labels.copy()
    if not label:
        if labels[index]:
            _at((suggestion == 0) & (labels != 0), index, result, 0)
        return result
    piece = np.zeros(labels.shape, np.uint8)
    _at(suggestion == label, index, piece, 1)
    box = box_of((labels == label) | (piece == 1), (0,) * labels.ndim)
    wanted = piece[box] == 1
    pieces, count = _pieces((labels[box] == label) | wanted)
    touched = np.zeros(count + 1, bool)
    touched[np.unique(pieces[wanted])] = True
    part = result[box]
    part[touched[pieces] & (part == label)] = 0
    part[wanted] = label
    return result


def _pieces(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    from scipy.ndimage import generate_binary_structure, label

    return label(inside, generate_binary_structure(inside.ndim, inside.ndim))


def _at(
    inside: NDArray[np.bool_], index: tuple[int, ...], result: NDArray[np.uint8], value: int
) -> None:
    """Set the piece of `inside` that has an index to a value, in `result`."""
    box = box_of(inside, (0,) * inside.ndim)
    if box is None:
        return
    pieces, _ = _pieces(inside[box])
    own = pieces[tuple(n - at.start for n, at in zip(index, box, strict=True))]
    result[box][pieces == own] = value
