"""Masks on a grid that is not the image's: mirrored, turned by quarters, shifted."""

from collections.abc import Sequence
from itertools import product
from math import floor

import numpy as np

from ..affine import shifted
from ..kinds import Draw, Drawn, NotHere
from ..structures import labels_of
from .amounts import change_of, nearest_step

FARTHEST = 4.0  # voxels, of a shifted grid


def mirror(mask: np.ndarray, axis: int) -> np.ndarray:
    """A mask mirrored about the middle of the image."""
    return np.flip(mask, axis).copy()


def draw_mirror(mask: np.ndarray, draw: Draw) -> Drawn:
    """About a random axis; in volumes the first one counts too: slices in the wrong order."""
    for axis in draw.generator.permutation(mask.ndim):
        noisy = mirror(mask, int(axis))
        if not np.array_equal(noisy, mask):
            return noisy, {"axis": int(axis)}
    raise NotHere("the mask is its own mirror image")


def rotate(mask: np.ndarray, turns: int) -> np.ndarray:
    """A mask turned by quarters about the middle of the image, counter-clockwise as displayed.

    Volumes are turned within their slices. What leaves the image is lost; what a turned image
    leaves free is background.

    >>> rotate(np.array([[1, 2, 3, 4]]), 1)
    array([[0, 2, 0, 0]])
    """
    turned = np.rot90(mask, turns, axes=(-2, -1))
    return shifted(
        turned, [(n - m) // 2 for n, m in zip(mask.shape, turned.shape, strict=True)], mask.shape
    )


def draw_rotate(mask: np.ndarray, draw: Draw) -> Drawn:
    """By one, two or three quarters at random."""
    for turns in draw.generator.permutation([1, 2, 3]):
        noisy = rotate(mask, int(turns))
        if noisy.any() and not np.array_equal(noisy, mask):
            return noisy, {"turns": int(turns)}
    raise NotHere("turning leaves the mask as it is, or nothing of it in the image")


def grid(mask: np.ndarray, shift: Sequence[float]) -> np.ndarray:
    """A mask resampled from a grid that lies half a voxel or more beside the image's.

    Between voxels labels are interpolated linearly, as resampling does, and a voxel has the label
    that more than half of it has, otherwise background.

    Args:
        mask: labels.
        shift: along each axis, in voxels: multiples of 0.5.

    >>> grid(np.array([[0, 1, 1, 1, 0]]), (0, 0.5))     # the first of three is half covered
    array([[0, 0, 1, 1, 0]])
    """
    whole = [floor(s) for s in shift]
    corners = list(
        product(*((w,) if w == s else (w, w + 1) for w, s in zip(whole, shift, strict=True)))
    )
    moved = [shifted(mask, corner) for corner in corners]
    result = np.zeros_like(mask)
    for label in labels_of(mask):
        share = sum((one == label).astype(np.uint8) for one in moved)
        result[np.asarray(share) * 2 > len(corners)] = label
    return result


def draw_grid(mask: np.ndarray, draw: Draw) -> Drawn:
    """Along a random choice of axes by the same distance, from half a voxel to four, that brings
    the change nearest to `beta`."""
    steps = np.zeros(mask.ndim)
    while not steps.any():
        steps = draw.generator.integers(-1, 2, size=mask.ndim).astype(float)

    def reached(halves: int) -> float | None:
        return change_of(mask, grid(mask, (steps * halves / 2).tolist()))

    halves = nearest_step(1, int(2 * FARTHEST), reached, draw.beta)
    shift = (steps * halves / 2).tolist()
    noisy = grid(mask, shift)
    if not noisy.any():
        raise NotHere("nothing of so small a mask is left on another grid")
    return noisy, {"shift": shift}
