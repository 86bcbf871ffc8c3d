"""What would be gained by undoing what was done to a whole mask: resized, moved, turned over."""

from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import affine_transform, center_of_mass, distance_transform_edt

from keras_robust.suspicion.structure import Structure

__all__ = ["share_of_moving", "gain_of_slices", "orientations", "thinned"]

Mask = NDArray[np.bool_]
# A name, the order of the axes, and those along which the array is then reversed.
Orientation = tuple[str, tuple[int, ...], tuple[int, ...]]
# Turns are tried up to this angle, by steps that move the outermost by half its width.
LARGEST_ANGLE, FINEST_ANGLE = 30.0, 2.5
FEW_ELEMENTS = 2**15
FARTHEST_SLICE = 6
MOST_ELEMENTS = 2**18


def share_of_moving(structure: Structure) -> float:
    """How much of the evidence the best translation takes away, of the mask also turned by up to
    30 degrees."""
    share = _share(structure, structure.moved(structure.mask))
    mask = structure.mask
    if not mask.any():
        return share
    if mask.ndim == 2:
        turns = [_turn(2, 0, 1, angle) for angle in np.deg2rad(_angles(mask))]
        return max(share, *(_share(structure, structure.moved(_turned(mask, t))) for t in turns))
    # Turns of a volume at a low resolution: about one axis, then about another.
    small = Structure(structure.log_odds, mask, structure.spacing, FEW_ELEMENTS)
    turn = np.eye(3)
    best = _share(small, small.moved(small.mask))
    for _ in range(2):
        tried = [
            _turn(3, one, other, np.deg2rad(angle)) @ turn
            for one, other in combinations(range(3), 2)
            for angle in (-24, -12, 12, 24)
        ]
        shares = [_share(small, small.moved(_turned(small.mask, other))) for other in tried]
        if max(shares) <= best:
            break
        best, turn = max(shares), tried[int(np.argmax(shares))]
    return max(share, best)


def _share(structure: Structure, likelihood: float) -> float:
    now = structure.likelihood(structure.mask)
    return (likelihood - now) / max(structure.best - now, 1e-9)


def _turn(ndim: int, one: int, other: int, angle: float) -> NDArray[np.float64]:
    turn = np.eye(ndim)
    turn[[one, one, other, other], [one, other, one, other]] = [
        np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    ]  # fmt: skip
    return turn


def _turned(mask: Mask, turn: NDArray[np.float64]) -> Mask:
    centre = np.array(center_of_mass(mask))
    return affine_transform(mask.astype(np.float32), turn, centre - turn @ centre, order=1) > 0.5


def _angles(mask: Mask) -> NDArray[np.float64]:
    depth = float(distance_transform_edt(np.pad(mask, 1)).max())
    extent = float(np.linalg.norm(mask.shape)) / 2
    step = float(np.clip(np.rad2deg(depth / extent), FINEST_ANGLE, LARGEST_ANGLE / 3))
    count = round(LARGEST_ANGLE / step)
    angles = np.linspace(-LARGEST_ANGLE, LARGEST_ANGLE, 2 * count + 1)
    return angles[angles != 0]


def gain_of_slices(structure: Structure, axis: int) -> tuple[float, float]:
    """Of slices across an axis: by moving each in its plane, and by moving a run along the axis."""
    log_odds = np.moveaxis(structure.log_odds, axis, 0)
    mask = np.moveaxis(structure.mask, axis, 0)
    now = np.where(mask, log_odds, 0).sum(axis=(1, 2))
    shape = [fft.next_fast_len(2 * size, real=True) for size in mask.shape[1:]]
    spectrum = fft.rfft2(log_odds, shape) * np.conj(fft.rfft2(mask.astype(float), shape))
    moved = fft.irfft2(spectrum, shape).max(axis=(1, 2))
    in_plane = float((np.maximum(moved, now) - now).sum())
    along = 0.0
    for offset in range(1, FARTHEST_SLICE + 1):
        for sign in (-1, 1):
            shifted = np.zeros_like(mask)
            if sign > 0:
                shifted[offset:] = mask[:-offset]
            else:
                shifted[:-offset] = mask[offset:]
            gains = np.where(shifted, log_odds, 0).sum(axis=(1, 2)) - now
            along = max(along, _best_run(gains))
    return in_plane, along


def _best_run(gains: NDArray[np.float64]) -> float:
    """The greatest sum over slices in a row."""
    best = total = 0.0
    for gain in gains.tolist():
        total = max(total + gain, 0.0)
        best = max(best, total)
    return best


def orientations(shape: tuple[int, ...]) -> list[Orientation]:
    """Mirror images, turns by quarters and exchanges of two axes of an array of this shape."""
    axes = tuple(range(len(shape)))
    found: list[Orientation] = [(f"mirrored along axis {axis}", axes, (axis,)) for axis in axes]
    for one, other in combinations(axes, 2):
        order = list(axes)
        order[one], order[other] = other, one
        found.append((f"turned by 180° in axes {one} and {other}", axes, (one, other)))
        found.append((f"axes {one} and {other} exchanged", tuple(order), ()))
        found.append((f"axes {one} and {other} exchanged and turned", tuple(order), (one, other)))
        for reverse in ((one,), (other,)):
            found.append((f"turned by 90° in axes {one} and {other}", tuple(order), reverse))
    return found


def turned(labels: NDArray, order: tuple[int, ...], reverse: tuple[int, ...]) -> NDArray:
    """A mask with other orientation on the same grid, about its middle."""
    result = np.flip(labels.transpose(order), reverse)
    if result.shape == labels.shape:
        return result
    placed = np.zeros_like(labels)
    from_, to = [], []
    for here, there in zip(result.shape, labels.shape, strict=True):
        size, before = min(here, there), (there - here) // 2
        from_.append(slice(max(-before, 0), max(-before, 0) + size))
        to.append(slice(max(before, 0), max(before, 0) + size))
    placed[tuple(to)] = result[tuple(from_)]
    return placed


def thinned(array: NDArray, ndim: int) -> NDArray:
    """Every so many elements along the last `ndim` axes, in the middle, so that few are left."""
    spatial = array.shape[-ndim:]
    step = 1
    while prod(-(-size // step) for size in spatial) > MOST_ELEMENTS:
        step += 1
    for axis, size in enumerate(spatial, start=array.ndim - ndim):
        array = array.take(range(((size - 1) % step) // 2, size, step), axis)
    return array
