"""Masks as contours in one colour each, and as they were before."""

from typing import Any

from napari.layers import Labels

from napari_plugin.viewer.contours import draw_contour
from napari_plugin.viewer.style import label_colormap

__all__ = ["Contours"]


class Contours:
    """Draws layers as contours; `restore` gives each back the look that it had."""

    def __init__(self) -> None:
        self._looks: dict[Labels, dict[str, Any]] = {}

    def show(self, colours: dict[Labels, str]) -> None:
        """Draw exactly these layers as contours, each in its colour."""
        for layer in [layer for layer in self._looks if layer not in colours]:
            self._restore(layer)
        for layer, colour in colours.items():
            if layer not in self._looks:
                self._looks[layer] = {
                    name: getattr(layer, name) for name in ("contour", "colormap", "opacity")
                }
            layer.colormap = label_colormap(colour)
            draw_contour(layer)
            layer.opacity = 1.0

    def restore(self) -> None:
        """Give every layer its look back."""
        self.show({})

    def _restore(self, layer: Labels) -> None:
        for name, value in self._looks.pop(layer).items():
            setattr(layer, name, value)
