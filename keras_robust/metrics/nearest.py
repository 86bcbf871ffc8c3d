"""Distance from places of a grid to the nearest element of a surface."""

from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["distance_to_surface"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
# A tree alone is quicker for fewer places than this,
MANY = 4096
# and to look at every pair of place and element where there are no more of them than this.
FEW_PAIRS = 2**20
# Pairs looked at together: as many float32 as a processor keeps close.
BLOCK = 2**17
# 2 p·s of three axes is less than 2**24, up to which float32 holds every whole number.
EXACT = 1600
# Rows are searched up to this many steps away; the tree takes the places farther from the surface.
REACH = 6


def distance_to_surface(
    places: Indices, surface: Indices, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> Floats:
    """Distances in mm of places from the nearest element of a surface.

    Surfaces are close to each other and have far fewer elements than their box. That makes all
    pairs of small surfaces (where steps are alike along all axes), and the search of near rows with
    a tree for what is left of great ones, quicker than an exact distance transform.

    Args:
        places: Indices of shape (places, dimensions).
        surface: Indices of shape (elements, dimensions), at least one.
        shape: Shape of the box that holds both.
        spacing: Length of a step along each axis, in mm.
    """
    if len(places) * len(surface) <= FEW_PAIRS and len(set(spacing)) == 1 and max(shape) < EXACT:
        return spacing[0] * np.sqrt(_squares_of_all_pairs(places, surface))
    if len(places) < MANY:
        return _by_tree(places, surface, spacing)
    mm = _by_rows(places, surface, shape, spacing)
    left = np.isnan(mm)
    if left.any():
        mm[left] = _by_tree(places[left], surface, spacing)
    return mm


def _squares_of_all_pairs(places: Indices, surface: Indices) -> Floats:
    """Squared distances in steps, |p|² + min (|s|² - 2 p·s), one matrix product for many pairs."""
    # All numbers are whole and, in boxes of less than EXACT, held by float32 without rounding.
    p, s = places.astype(np.float32).T, surface.astype(np.float32)
    left = np.concatenate([-2 * s, (s * s).sum(axis=1, keepdims=True)], axis=1)
    right = np.concatenate([p, np.ones((1, p.shape[1]), np.float32)])
    nearest = np.full(p.shape[1], np.inf, np.float32)
    block = max(BLOCK // p.shape[1], 1)
    for start in range(0, len(s), block):
        # The least of each column: rows are compared whole, twice as fast as within rows.
        np.minimum(nearest, (left[start : start + block] @ right).min(axis=0), out=nearest)
    return (nearest + (p * p).sum(axis=0)).astype(np.float64)


def _by_tree(places: Indices, surface: Indices, spacing: tuple[float, ...]) -> Floats:
    step_mm = np.array(spacing)
    # Sliding midpoints, because medians are slow on the many equal coordinates of a grid.
    tree = cKDTree(surface * step_mm, 32, balanced_tree=False, compact_nodes=False)
    nearest = tree.query(places * step_mm)[1]
    # From whole steps, so that equal distances are equal wherever the masks are.
    squares = ((places - surface[nearest]) * step_mm) ** 2
    return np.sqrt(squares.sum(axis=1))


def _by_rows(
    places: Indices, surface: Indices, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> Floats:
    """As above; `nan` for places with nothing within the reach."""
    *across, along = spacing
    reach = REACH * prod(across) ** (1 / len(across))
    margins = [
        min(int(reach / step), size - 1) for step, size in zip(across, shape[:-1], strict=True)
    ]
    offsets = np.stack(
        np.meshgrid(*(np.arange(-m, m + 1) for m in margins), indexing="ij"), axis=-1
    ).reshape(-1, len(margins))
    squares = ((offsets * across) ** 2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    order = order[squares[order] <= reach**2]

    # Beyond the box is no surface.
    rows = np.pad(
        _squares_in_rows(surface, shape, along),
        [*((m, m) for m in margins), (0, 0)],
        constant_values=np.inf,
    )
    strides = np.array(rows.strides) // rows.itemsize
    index, rows = (places + [*margins, 0]) @ strides, rows.ravel()

    best = np.full(len(places), np.inf)
    where, nearest = np.arange(len(places)), best.copy()
    for shift, square in zip((offsets @ strides[:-1])[order].tolist(), squares[order], strict=True):
        open_ = nearest > square
        if not open_.all():
            best[where] = nearest
            index, where, nearest = index[open_], where[open_], nearest[open_]
        nearest = np.minimum(nearest, rows[index + shift] + square)
    best[where] = nearest
    return np.where(best <= reach**2, np.sqrt(best), np.nan)


def _squares_in_rows(surface: Indices, shape: tuple[int, ...], step_mm: float) -> Floats:
    """Squared distance to the nearest element in the same row, along the last axis."""
    size = shape[-1]
    far, dtype = (2**14, np.int16) if size < 2**14 else (2**30, np.int32)
    here = np.arange(size, dtype=dtype)
    before, after = np.full(shape, -far, dtype), np.full(shape, far, dtype)
    at = tuple(surface.T)
    before[at] = after[at] = at[-1]
    before = np.maximum.accumulate(before, axis=-1)
    after = np.minimum.accumulate(after[..., ::-1], axis=-1)[..., ::-1]
    squares = (np.arange(size + 1) * step_mm) ** 2
    squares[size] = np.inf
    return squares[np.minimum(np.minimum(here - before, after - here), dtype(size))]
