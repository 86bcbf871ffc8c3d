"""A brush that is as large on the screen at every zoom, and no larger than the object allows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels

from napari_plugin.viewer.anatomy import camera

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["BrushSize"]

SCREEN_PIXELS = 24.0
SHARE_OF_OBJECT = 0.3  # of the side of a square with the object's area


class BrushSize:
    """Keeps the size of the brush on the screen; what the reviewer sets by hand is kept instead.

    Args:
        viewer: Whose zoom is followed.
        layer: Gives the layer to paint on.
    """

    def __init__(self, viewer: "ViewerModel", layer: Callable[[], Labels | None]):
        self._viewer, self._layer = viewer, layer
        self._by_hand: float | None = None  # pixels of the screen
        self._setting = False
        self._on_screen = SCREEN_PIXELS
        self._heard: Labels | None = None
        camera(viewer).events.zoom.connect(self._follow)

    def fit(self, area: int) -> None:
        """Choose the size for the case that has come into view.

        Args:
            area: Of the object, in elements; 0 for none.
        """
        layer = self._layer()
        if layer is None:
            return
        if layer is not self._heard:
            layer.events.brush_size.connect(self._note)
            self._heard = layer
        self._on_screen = self._by_hand or min(SCREEN_PIXELS, self._of_object(layer, area))
        self._follow()

    def stop(self) -> None:
        """Listen no more."""
        camera(self._viewer).events.zoom.disconnect(self._follow)
        if self._heard is not None:
            self._heard.events.brush_size.disconnect(self._note)

    def _per_pixel(self, layer: Labels) -> float:
        """Pixels of the screen for one of the image."""
        shown = [axis for axis in self._viewer.dims.displayed if axis < layer.ndim]
        side = min((abs(layer.scale[axis]) for axis in shown), default=1.0)
        return max(float(camera(self._viewer).zoom) * float(side), 1e-6)

    def _of_object(self, layer: Labels, area: int) -> float:
        if not area:
            return SCREEN_PIXELS
        return max(1.0, SHARE_OF_OBJECT * area**0.5 * self._per_pixel(layer))

    def _follow(self, event: Any = None) -> None:
        layer = self._layer()
        if layer is None:
            return
        self._setting = True
        try:
            layer.brush_size = max(1, round(self._on_screen / self._per_pixel(layer)))
        finally:
            self._setting = False

    def _note(self, event: Any) -> None:
        if not self._setting:
            layer = event.source
            self._by_hand = self._on_screen = layer.brush_size * self._per_pixel(layer)
