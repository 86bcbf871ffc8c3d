"""From mistake to mistake: the slice and part of the image where mask and suggestion part."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from keras_robust.review import ReviewCase
from napari_plugin.review.layers import CaseLayers
from napari_plugin.review.place_list import amount
from napari_plugin.viewer.anatomy import camera
from napari_plugin.viewer.dock import timer
from napari_plugin.viewer.layers import spacing
from napari_plugin.viewer.owned_layer import OwnedLabels
from napari_plugin.viewer.style import A_ONLY, B_ONLY, ROLE_COLOURS

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ERROR_COLOURS", "Places"]

ERROR_COLOURS = {
    "missing": B_ONLY,
    "too much": A_ONLY,
    "wrong class": ROLE_COLOURS["prediction"],
}
AROUND = 3.0  # a place fills a third of the view at most
LEAST_SIDE = 64  # elements that are in view, however small a place is
AGAIN_MS = 300  # after a stroke


class Places(QObject):
    """Goes to the places of the case in view, and shows on a map where it may be wrong.

    Args:
        viewer: Whose slice and camera are moved.
        layers: The case in view.

    Attributes:
        told: What the place in view is.
    """

    told = Signal(str)

    def __init__(self, viewer: "ViewerModel", layers: CaseLayers):
        super().__init__()
        self._viewer, self._layers = viewer, layers
        self._places: tuple[Any, ...] = ()
        self._at = -1
        self._first: tuple[int, bool] | None = None  # of the next case, and whether to zoom in
        self._map = OwnedLabels(viewer, {"role": "difference"}, self._taken)
        self.map_shown = False
        self._again = timer(self, AGAIN_MS, self._draw)
        layers.painted.connect(self._soon)

    def show(self, case: ReviewCase, places: Sequence[Any]) -> None:
        """Open a case at its worst place, or at its last where the reviewer came back to it."""
        self._places = tuple(p for p in places if len(p.point) == self._ndim)
        first, zoomed = self._first or (0, False)
        self._first = None
        self._at = range(len(self._places))[first] if abs(first) <= len(self._places) - 1 else 0
        if self._places and zoomed:
            self._go(self._places[self._at])
        elif self._places:
            self._to_slice(self._places[self._at].point)
        elif self._layers.fullest is not None:
            self._to_slice(self._layers.fullest.point)
        self._tell()
        self._draw()

    def renew(self, places: Sequence[Any]) -> None:
        """Know other places of the case in view, which stays as it is seen."""
        self._places, self._at = tuple(p for p in places if len(p.point) == self._ndim), 0
        self._tell()
        self._draw()

    def step(self, by: int) -> bool:
        """Go to the next place, or to that before; false past the last and before the first."""
        if not 0 <= self._at + by < len(self._places):
            self._first = (-1, False) if by < 0 else None
            return False
        self.go(self._at + by)
        return True

    def go(self, number: int) -> None:
        """Go to a place of the case in view."""
        if 0 <= number < len(self._places):
            self._at = number
            self._go(self._places[number])
            self._tell()

    def open_at(self, number: int) -> None:
        """Open the next case at another place than its worst."""
        self._first = (number, True)

    @property
    def found(self) -> tuple[Any, ...]:
        """The places of the case in view, the worst first."""
        return self._places

    @property
    def at(self) -> int:
        """The number of the place in view."""
        return self._at

    def toggle_map(self) -> bool:
        """Show the map, or hide it; false where there is nothing to compare with."""
        self.map_shown = not self.map_shown and self._layers.suggestion is not None
        self._draw()
        return self.map_shown

    def stop(self) -> None:
        """Give the viewer back."""
        self._again.stop()
        self._map.remove()

    @property
    def _ndim(self) -> int:
        layer = self._layers.corrected
        return 0 if layer is None else int(layer.ndim)

    def _taken(self) -> None:
        self.map_shown = False

    def _soon(self) -> None:
        if self.map_shown:
            self._again.start()

    def _draw(self) -> None:
        layer, model = self._layers.corrected, self._layers.suggestion
        labels = self._layers.labels if self.map_shown else None
        if layer is None or labels is None or model is None:
            self._map.remove()
            return
        drawn = np.where(labels == model, 0, np.where(labels == 0, 1, np.where(model == 0, 2, 3)))
        colours = dict(enumerate(ERROR_COLOURS.values(), start=1))
        self._map.show(drawn.astype(np.uint8), layer, colours, name="error map", opacity=0.6)

    def _to_slice(self, point: Sequence[int]) -> None:
        layer = self._layers.corrected
        if layer is not None and self._ndim > 2:
            world = np.asarray(layer.data_to_world(point))
            first = self._viewer.dims.ndim - len(world)
            axes = range(first, self._viewer.dims.ndim)
            self._viewer.dims.set_point(axes, [*map(float, world)])  # at once: each draws anew

    def _go(self, place: Any) -> None:
        layer = self._layers.corrected
        if layer is None:
            return
        self._to_slice(place.point)
        shown = [axis - (self._viewer.dims.ndim - self._ndim) for axis in
                 self._viewer.dims.displayed]  # fmt: skip
        steps = np.abs(spacing(layer).step)
        sides = np.array([place.box[a][1] - place.box[a][0] for a in shown]) * steps[shown]
        wanted = max(AROUND * float(sides.max()), LEAST_SIDE * float(steps[shown].min()))
        whole = max(layer.data.shape[a] * steps[a] for a in shown)
        view, world = camera(self._viewer), layer.data_to_world(place.point)
        zoom_of_all = self._layers.zoom_of_all
        if zoom_of_all is not None:
            view.zoom = zoom_of_all * max(1.0, whole / wanted)
        view.center = (*view.center[: 3 - len(shown)], *(float(world[a]) for a in shown))

    def _tell(self) -> None:
        if not self._places:
            self.told.emit("")
            return
        place, layer = self._places[self._at], self._layers.corrected
        unit = "px" if layer is None else spacing(layer).unit
        size = amount(place, unit, self._ndim)
        self.told.emit(f"Place {self._at + 1} of {len(self._places)}: {place.kind}, {size}")
