"""Where the voxels of a layer lie: what the layer says, or another of the same shape beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.files.grid import TOLERANCE, elements_apart, geometry_problem
from keras_robust.data.files.volume_header import VolumeHeader

__all__ = ["in_millimetres", "layer_affine", "noted"]


def noted(meta: Mapping[str, Any], shape: Sequence[int], key: str) -> Any:
    """A note of keras-robust on a layer, or on one of the same shape in the current viewer.

    A mask that was begun with "New labels layer" says nothing of the file that it was drawn on.

    Args:
        meta: Arguments of the layer, as writers receive them.
        shape: Of its data.
        key: The note, such as "header".

    Returns:
        The note; None where there is none, or where layers of this shape disagree.
    """
    own = (meta.get("metadata") or {}).get("keras_robust") or {}
    if own.get(key) is not None:
        return own[key]
    from napari import current_viewer

    viewer = current_viewer()
    found: list[Any] = []
    for layer in viewer.layers if viewer is not None else []:
        note = (layer.metadata.get("keras_robust") or {}).get(key)
        if note is not None and tuple(layer.data.shape) == tuple(shape):
            found.append(note)
    first = found[0] if found else None
    return first if all(_same(shape, first, other) for other in found) else None


def _same(shape: Sequence[int], a: Any, b: Any) -> bool:
    if isinstance(a, VolumeHeader) and isinstance(b, VolumeHeader):
        return a.shape == b.shape and geometry_problem(a, b) is None
    if np.shape(a) == np.shape(b) == (len(shape) + 1,) * 2:
        return elements_apart(shape, a, b) <= TOLERANCE
    return bool(a == b)


def layer_affine(meta: Mapping[str, Any], ndim: int) -> NDArray[np.float64]:
    """From the indices of a layer to world coordinates, by its scale, rotation and affine.

    >>> layer_affine({"scale": (2, 1, 1), "translate": (5, 0, 0)}, 3)[0].tolist()
    [2.0, 0.0, 0.0, 5.0]
    """
    from napari.utils.transforms import Affine

    parts = {key: meta[key] for key in ("scale", "translate", "rotate", "shear") if key in meta}
    matrix = Affine(**parts, ndim=ndim).affine_matrix
    outer = meta.get("affine")
    if outer is not None:
        matrix = np.asarray(getattr(outer, "affine_matrix", outer)) @ matrix
    return np.asarray(matrix, np.float64)


def in_millimetres(units: Sequence[Any] | None) -> tuple[float, ...] | None:
    """Millimetres of a step of one along each axis of the world; `None` where it has no lengths."""
    try:
        return tuple(float((1.0 * unit).to("mm").magnitude) for unit in units or ())
    except Exception:  # pixels are no length; each version of pint has its own error
        return None
