"""What may be painted: classes of the dataset, and none over one that is locked."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

__all__ = ["Guard"]


class Guard(QObject):
    """Stands between whatever paints and the labels of a layer; undo and redo pass.

    Args:
        legal: Labels that the dataset has, and one that only strokes have.

    Attributes:
        refused: A label that cannot be painted, or that nothing can be painted over.
        locked: Labels that stay as they are.
        within: Given the place of a stroke, where in it may be painted; `None` for all.
    """

    refused = Signal(int)

    def __init__(self, legal: Collection[int]):
        super().__init__()
        self._legal = np.zeros(256, bool)
        self._legal[[*legal]] = True
        self._free = np.ones(256, bool)
        self.locked: frozenset[int] = frozenset()
        self.within: Callable[[tuple[slice, ...]], NDArray[np.bool_]] | None = None

    def lock(self, labels: Collection[int]) -> None:
        """Let the labels given, and no others, stay as they are."""
        self.locked = frozenset(labels)
        self._free[:] = True
        self._free[[*labels]] = False

    def may_paint(self, label: int) -> bool:
        """Whether a label can be painted at all."""
        return 0 <= label < 256 and bool(self._legal[label] and self._free[label])

    def watch(self, layer: Labels) -> None:
        """Watch what is painted in a layer.

        All of napari's tools paint by one of these two methods.
        """
        brush = getattr(layer, "_apply_mask_to_data", None)  # before napari 0.8, all by the other
        assign = layer.data_setitem

        def paint(data: NDArray, mask: NDArray, new_label: int, place: tuple[slice, ...]) -> Any:
            if not self.may_paint(int(new_label)):
                self.refused.emit(int(new_label))
                return None
            free = mask & self._free[data]
            if mask.any() and not free.any():
                self.refused.emit(int(data[mask].flat[0]))
            if self.within is not None:
                free &= self.within(place)
            return brush(data, free, new_label, place) if brush and free.any() else None

        def put(indices: tuple[NDArray, ...], value: Any, refresh: bool = True) -> None:
            there = np.asarray(layer.data[indices])
            new = np.broadcast_to(np.asarray(value), there.shape)
            fit = (new >= 0) & (new < 256)
            known = fit & self._legal[np.where(fit, new, 0)]
            if not known.all():
                self.refused.emit(int(new[~known].flat[0]))
            may = known & self._free[there] & self._free[np.where(fit, new, 0)]
            if may.all():
                assign(indices, value, refresh)
            elif may.any():
                assign(tuple(np.asarray(i)[may] for i in indices), new[may], refresh)
            elif known.any():
                held = np.where(self._free[there], np.where(fit, new, 0), there)[known]
                self.refused.emit(int(held.flat[0]))

        vars(layer)["_apply_mask_to_data"] = paint
        vars(layer)["data_setitem"] = put
