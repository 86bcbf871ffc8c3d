"""The structures of a mask: one per label, each corrupted on its own."""

from collections.abc import Callable

import numpy as np

from keras_robust.common.errors import invalid

Window = tuple[slice, ...]
Operator = Callable[[int, np.ndarray, np.ndarray | None], np.ndarray]


def check_mask(mask: np.ndarray) -> np.ndarray:
    """`mask` as an array, or an error that says what is wrong with it."""
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3):
        raise invalid(
            "mask",
            "2 or 3 dimensions (H, W) or (D, H, W)",
            said=f"mask of shape {mask.shape}",
            remedy="Pass one mask at a time, without batch axis.",
        )
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise invalid(
            "mask",
            "bool or integer labels",
            said=f"mask of dtype {mask.dtype}",
            remedy="Convert it: `mask > 0`.",
        )
    if np.issubdtype(mask.dtype, np.signedinteger) and mask.size and mask.min() < 0:
        raise invalid(
            "mask",
            "labels >= 0",
            said=f"mask with label {mask.min()}",
            remedy="Map labels to be ignored to 0 first.",
        )
    return mask


def labels_of(mask: np.ndarray) -> list[int]:
    """The labels that occur in `mask`, ascending, background (0) left out."""
    if mask.size == 0:
        return []
    top = int(mask.max())
    # Two passes at memory speed spare binary masks the sort inside np.unique.
    if top > 0 and np.count_nonzero(mask) == np.count_nonzero(mask == top):
        return [top]
    return [int(label) for label in np.unique(mask) if label != 0]


def map_structures(mask: np.ndarray, operate: Operator) -> np.ndarray:
    """Replace every structure of `mask` by ``operate(label, own, allowed)``.

    `own` is the structure as a boolean array; `allowed` says where it may be put: on itself and on
    background that no lower label has taken (None for a mask of one structure: anywhere).
    Structures so never overlap, and none is drawn over the clean area of another.
    A trailing axis of length one (a channel) is no dimension of the object and is set aside.
    """
    return without_channel(check_mask(mask), lambda plain: _map_plain(plain, operate))


def without_channel(mask: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`function` of a mask whose trailing axis of length one, if any, is set aside."""
    if mask.ndim == 3 and mask.shape[-1] == 1:
        return function(mask[..., 0])[..., None]
    return function(mask)


def _map_plain(mask: np.ndarray, operate: Operator) -> np.ndarray:
    labels = labels_of(mask)
    if len(labels) == 1:
        (label,) = labels
        own = mask if mask.dtype == bool else mask == label
        replaced = operate(label, own, None)
        return replaced if mask.dtype == bool else replaced * mask.dtype.type(label)
    result = np.zeros_like(mask)
    for label in labels:
        own = mask == label
        allowed = own | ((mask == 0) & (result == 0))
        result[operate(label, own, allowed)] = label
    return result


def bounding_box(own: np.ndarray, margin: int = 0) -> Window:
    """Slices of the smallest box around the true voxels, widened by `margin`, inside the array."""
    window = []
    for axis, length in enumerate(own.shape):
        others = tuple(a for a in range(own.ndim) if a != axis)
        inside = np.flatnonzero(own.any(axis=others))
        start, stop = int(inside[0]) - margin, int(inside[-1]) + 1 + margin
        window.append(slice(max(start, 0), min(stop, length)))
    return tuple(window)
