"""Rotation and translation of the structures of a mask, by nearest neighbour."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_robust.common.errors import invalid

from .structures import bounding_box, map_structures


def affine(
    mask: np.ndarray,
    angle: float,
    shift: Sequence[int],
    centre: Sequence[float] | None = None,
    axis: Sequence[float] | None = None,
) -> np.ndarray:
    r"""Rotate every structure about its centroid, then shift it by whole voxels.

    A voxel :math:`x` of the result is the voxel nearest to :math:`R^{-1}(x - t - c) + c` of `mask`.
    What leaves the image is lost; a structure that would leave it altogether is unchanged. In a
    label map a structure covers background only, lower labels first.

    Args:
        mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
        angle: degrees, counter-clockwise as displayed (rows downwards).
        shift: whole voxels along each axis of `mask`.
        centre: point that stays in place under the rotation, in voxels; default: the centroid of
            each structure.
        axis: direction in voxels about which a volume is rotated; default `(1, 0, 0)`, which
            rotates within the slices. Not for 2-D masks.

    Returns:
        A new array of the shape and dtype of `mask`.

    Raises:
        ValueError: the mask has another rank or dtype, or a vector has not one entry per axis.

    >>> import numpy as np
    >>> mask = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], np.uint8)
    >>> affine(mask, angle=90, shift=(0, 1))
    array([[0, 0, 1],
           [0, 0, 1],
           [0, 0, 1]], dtype=uint8)
    """

    def operate(_: int, own: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
        _check_vector("shift", shift, own.ndim)
        middle = centroid(own) if centre is None else _check_vector("centre", centre, own.ndim)
        return affine_object(own, allowed, angle, shift, middle, axis)

    if not np.isfinite(angle):
        raise invalid("angle", "a finite number of degrees", said=f"angle={angle}")
    if not all(float(s).is_integer() for s in shift):
        raise invalid("shift", "whole voxels", said=f"shift={shift}", remedy="Round it.")
    if axis is not None and (len(axis) != 3 or not 0 < np.linalg.norm(axis) < np.inf):
        raise invalid("axis", "a direction of three numbers, for volumes only", said=f"axis={axis}")
    return map_structures(mask, operate)


def _check_vector(name: str, vector: Sequence[float], rank: int) -> Sequence[float]:
    if len(vector) != rank:
        raise invalid(name, f"one number per axis of the mask ({rank})", said=f"{name}={vector}")
    return vector


def centroid(own: np.ndarray) -> tuple[float, ...]:
    """Mean coordinates of the true voxels."""
    window = bounding_box(own)
    inside = own[window]
    centre = []
    for axis, box in enumerate(window):
        profile = inside.sum(axis=tuple(a for a in range(own.ndim) if a != axis))
        centre.append(float(profile @ np.arange(box.start, box.stop) / profile.sum()))
    return tuple(centre)


def affine_object(
    own: np.ndarray,
    allowed: np.ndarray | None,
    angle: float,
    shift: Sequence[int],
    centre: Sequence[float],
    axis: Sequence[float] | None = None,
) -> np.ndarray:
    """One structure, rotated and shifted; unchanged where nothing of it would remain."""
    patch, origin = _rotate(own, angle, centre, axis)
    return _place(own, allowed, patch, origin + np.asarray(shift, int))


def choose_affine(
    own: np.ndarray,
    allowed: np.ndarray | None,
    beta: float,
    angle: float,
    direction: np.ndarray,
    axis: Sequence[float] | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """One structure, moved so that nearly ``beta`` of its area changes, and the parameters.

    The change is ``|clean XOR noisy| / A``. The structure moves along `direction` until the change
    reaches `beta`, and the nearer of the steps before and after is kept. Where the rotation alone
    changes more than `beta` (thin structures), the angle is reduced and the structure stays.
    """
    centre = centroid(own)
    area = int(np.count_nonzero(own))
    parameters: dict[str, Any] = {"angle": angle, "shift": [0] * own.ndim, "centre": list(centre)}
    if axis is not None:
        parameters["axis"] = list(axis)

    def change(patch: np.ndarray, corner: np.ndarray) -> float | None:
        there, here = _overlap(patch.shape, corner, own.shape)
        moved = patch[here] if allowed is None else patch[here] & allowed[there]
        visible = int(np.count_nonzero(moved))
        common = int(np.count_nonzero(moved & own[there]))
        return (area + visible - 2 * common) / area if visible else None

    def turned(angle: float) -> float:
        reached = change(*_rotate(own, angle, centre, axis))
        return float("inf") if reached is None else reached

    patch, origin = _rotate(own, angle, centre, axis)
    reached = change(patch, origin)
    if reached is None or reached > beta:
        parameters["angle"] = _bisect_angle(turned, angle, beta)
        return affine_object(own, allowed, **parameters), parameters
    best, best_error = np.zeros(own.ndim, int), beta - reached
    faces = max(
        np.count_nonzero(np.diff(patch, axis=axis, prepend=False, append=False))
        for axis in range(own.ndim)
    )
    farthest = float(np.linalg.norm(patch.shape) + np.linalg.norm(own.shape))
    shift, step = best, 0.0
    while reached < beta and step < farthest:
        # One voxel further changes `faces` voxels at most, so that shifts nearer to beta than half
        # the gap are never jumped over. Quarter steps meet nearly every whole-voxel shift.
        sure = ((beta - reached) * area / (2 * faces) - own.ndim) / np.abs(direction).sum()
        step += max(0.25 * np.floor(sure / 0.25), 0.25)
        before, shift = shift, np.rint(step * direction).astype(int)
        if (shift == before).all():
            continue
        reached = change(patch, origin + shift)
        if reached is None:
            break
        if abs(reached - beta) < best_error:
            best, best_error = shift, abs(reached - beta)
    parameters["shift"] = best.tolist()
    return _place(own, allowed, patch, origin + best), parameters


def _bisect_angle(turned, angle: float, beta: float) -> float:
    """Angle between 0 and `angle` whose change is nearest to `beta`."""
    low, high = 0.0, angle
    best, best_error = 0.0, beta
    for _ in range(16):
        middle = (low + high) / 2
        reached = turned(middle)
        if abs(reached - beta) < best_error:
            best, best_error = middle, abs(reached - beta)
        low, high = (middle, high) if reached < beta else (low, middle)
    return best


def _rotate(
    own: np.ndarray, angle: float, centre: Sequence[float], axis: Sequence[float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rotated structure in a box just large enough, and the box's corner in image voxels."""
    rotation = _matrix(angle, axis, own.ndim)
    window = bounding_box(own)
    middle = np.asarray(centre, float)
    ends = np.array([(box.start - 1, box.stop) for box in window], float) - middle[:, None]
    corners = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(own.ndim, -1)
    spread = rotation @ corners + middle[:, None]
    low = np.floor(spread.min(axis=1)).astype(int)
    high = np.ceil(spread.max(axis=1)).astype(int) + 1
    grid = np.ix_(*(np.arange(a, b) - m for a, b, m in zip(low, high, middle, strict=True)))
    source = np.pad(own[window], 1)
    index = np.zeros((1,) * own.ndim, np.intp)
    for i, box in enumerate(window):
        position = sum(rotation[j, i] * grid[j] for j in range(own.ndim)) + middle[i]
        # Voxels midway go to the higher index, whatever the last bit of the sine is.
        nearest = np.floor(position + (0.5 + 1e-9)).astype(int)
        nearest -= box.start - 1
        index = index * source.shape[i] + np.clip(nearest, 0, source.shape[i] - 1, out=nearest)
    return source.ravel().take(index), low


def _place(
    own: np.ndarray, allowed: np.ndarray | None, patch: np.ndarray, corner: np.ndarray
) -> np.ndarray:
    """The patch in the image; the unchanged structure where nothing of it would be seen."""
    result = np.zeros_like(own)
    there, here = _overlap(patch.shape, corner, own.shape)
    result[there] = patch[here]
    if allowed is not None:
        result &= allowed
    return result if result.any() else own.copy()


def _matrix(angle: float, axis: Sequence[float] | None, rank: int) -> np.ndarray:
    """Rodrigues' rotation; in 2-D the rotation within a slice."""
    x, y, z = (1.0, 0.0, 0.0) if axis is None else np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    theta = np.deg2rad(angle)
    matrix = np.eye(3) + np.sin(theta) * cross + (1 - np.cos(theta)) * cross @ cross
    return matrix[3 - rank :, 3 - rank :]


def shifted(
    array: np.ndarray, shift: Sequence[int], shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """An array shifted by whole voxels; what enters is 0, what leaves is lost.

    Args:
        array: of any rank.
        shift: along each axis.
        shape: of the result; default: that of `array`.

    >>> shifted(np.array([[1, 2, 3]]), (0, 1))
    array([[0, 1, 2]])
    """
    result = np.zeros(array.shape if shape is None else shape, array.dtype)
    there, here = _overlap(array.shape, shift, result.shape)
    result[there] = array[here]
    return result


def _overlap(patch_shape, corner, shape) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the image and of the patch where the two meet, the patch laid at `corner`."""
    there, here = [], []
    for length, start, size in zip(patch_shape, (int(c) for c in corner), shape, strict=True):
        low, high = max(start, 0), max(min(start + length, size), 0)
        there.append(slice(low, max(high, low)))
        here.append(slice(low - start, max(high, low) - start))
    return tuple(there), tuple(here)
