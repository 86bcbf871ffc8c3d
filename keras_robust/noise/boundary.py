"""Dilation and erosion to an exact number of voxels.

Whole iterations of the cross (see `keras_robust.noise.morphology`) change small structures by a
third or more of their area. Here the last iteration goes part of the way: it takes, of the layer
that it would add or remove, the voxels that lie furthest in a given direction, as somebody who
draws too generously on one side.
"""

from collections.abc import Sequence

import numpy as np

from .morphology import depth_in, put, reach_of


def resize_object(
    own: np.ndarray,
    allowed: np.ndarray | None,
    operator: str,
    voxels: int,
    direction: Sequence[float],
) -> np.ndarray:
    """One structure dilated or eroded to a number of voxels.

    Args:
        own: the structure, boolean.
        allowed: where it may grow, its own voxels included; None: anywhere.
        operator: "dilate" or "erode".
        voxels: how many the result shall have; for dilation no more than `allowed` has, for
            erosion at least one.
        direction: vector of the rank of `own`, towards the side of the voxels of the last layer
            that are added or removed first.

    >>> row = np.array([[0, 0, 1, 1, 1, 0, 0]], bool)
    >>> resize_object(row, None, "dilate", 4, (0.0, 1.0)).astype(int)
    array([[0, 0, 1, 1, 1, 1, 0]])
    >>> resize_object(row, None, "erode", 2, (0.0, 1.0)).astype(int)
    array([[0, 0, 1, 1, 0, 0, 0]])
    """
    area = int(np.count_nonzero(own))
    if voxels == area:
        return own.copy()
    if operator == "dilate":
        window, layer, _ = reach_of(own, allowed, voxels)
    else:
        window, depth = depth_in(own)
        # The deepest first: the last layer to go is layer 0.
        layer = np.where(depth > 0, int(depth.max()) - depth, np.iinfo(depth.dtype).max)
    counts = np.bincount(layer[layer < np.iinfo(layer.dtype).max].astype(np.int64))
    whole = int(np.searchsorted(np.cumsum(counts), voxels, side="right"))
    chosen = layer < whole
    missing = voxels - int(np.count_nonzero(chosen))
    if missing:
        positions = np.argwhere(layer == whole)
        towards = positions @ np.asarray(direction, dtype=np.float64)
        # What is removed first is kept last.
        order = np.argsort(-towards if operator == "dilate" else towards, kind="stable")
        chosen[tuple(positions[order[:missing]].T)] = True
    return put(own, window, chosen)
