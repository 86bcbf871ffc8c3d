"""When masks change: by painting, undo, or new data."""

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_plugin.viewer.dock import timer

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Painting"]


class Painting(QObject):
    """Tells when one of a few masks changed.

    Args:
        viewer: Where they are shown.
        parent: Owner of this object.

    Attributes:
        changed: True within the stroke of a brush, False after it and after any other change.
    """

    changed = Signal(bool)

    def __init__(self, viewer: "ViewerModel", parent: QObject):
        super().__init__(parent)
        self._viewer = viewer
        self._views: dict[Labels, tuple] = {}
        self._soon = timer(self, 0, lambda: self.changed.emit(False))
        self.layers: list[Labels] = []

    def watch(self, layers: list[Labels]) -> None:
        """Watch these and no others; an empty list for none."""
        for layer in self.layers:
            for name, heed in self._callbacks():
                layer.events[name].disconnect(heed)
        self._soon.stop()
        self.layers, self._views = list(dict.fromkeys(layers)), {}
        for layer in self.layers:
            for name, heed in self._callbacks():
                layer.events[name].connect(heed)

    def _callbacks(self) -> tuple:
        ended = [(name, self._end) for name in ("paint", "data", "scale")]
        return *ended, ("labels_update", self._stroke), ("set_data", self._refreshed)

    def _end(self, event: Any) -> None:
        self.changed.emit(False)

    def _stroke(self, event: Any) -> None:
        # The canvas may just have refreshed the layer, which was no change after the stroke.
        self._soon.stop()
        self.changed.emit(True)

    def _refreshed(self, event: Any) -> None:
        # Undo refreshes a layer; but so does a move to another slice, which changes no mask.
        dims = self._viewer.dims
        view = (dims.point, dims.ndisplay, dims.order)
        moved = view != self._views.get(event.source)
        self._views[event.source] = view
        if not moved:
            self._soon.start()
