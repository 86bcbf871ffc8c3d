"""Layers that stay in the viewer and are filled anew, case after case."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["KeptLayers"]


class KeptLayers:
    """Layers by name; napari does not give back all memory of those that are removed.

    Args:
        viewer: Where the layers are.
        order: Their names, the lowest first.
        made: Called with the name of a layer and the layer once it is in the viewer.
        left: Called with both before a layer is let go of.

    Attributes:
        layers: Layers by name, also those that somebody took out of the viewer.
    """

    def __init__(
        self,
        viewer: "ViewerModel",
        order: Sequence[str],
        made: Callable[[str, Layer], None],
        left: Callable[[str, Layer], None],
    ):
        self._viewer, self._order, self._made, self._left = viewer, order, made, left
        self.layers: dict[str, Layer] = {}

    def get(self, name: str) -> Layer | None:
        """A layer, while it is in the viewer."""
        layer = self.layers.get(name)
        return layer if layer is not None and layer in self._viewer.layers else None

    def put(self, name: str, made: tuple[Any, dict[str, Any], str]) -> bool:
        """Fill a layer with new data; true where it was made, being of another form."""
        data, options, kind = made
        layer = self.get(name)
        rgb = bool(options.get("rgb"))
        if layer is not None and (
            layer.data.ndim != np.ndim(data) or (kind == "image" and layer.rgb != rgb)
        ):
            self._remove(name, layer)
            layer = None
        if layer is None:
            layer = Image(data, **options) if kind == "image" else Labels(data, **options)
            # Not what is returned: to a plugin's widget, napari gives a proxy without undo.
            self._viewer.add_layer(layer)
            self.layers[name] = layer
            self._made(name, layer)
            return True
        layer.data = data
        layer.metadata = options["metadata"]
        scale = options.get("scale", (1.0,) * layer.ndim)
        if tuple(layer.scale) != tuple(scale):  # napari draws anew at each
            layer.scale = scale
        layer.axis_labels = options.get("axis_labels")
        return False

    def sort(self) -> None:
        """Bring them in their order; layers of others stay where they are."""
        ours = [self.layers[name] for name in self._order]
        places = sorted(self._viewer.layers.index(layer) for layer in ours)
        for place, layer in zip(places, ours, strict=True):
            at = self._viewer.layers.index(layer)
            if at != place:
                self._viewer.layers.move(at, place)

    def remove(self) -> None:
        """Take all out of the viewer."""
        for name in self._order:
            layer = self.get(name)
            if layer is not None:
                self._remove(name, layer)

    def _remove(self, name: str, layer: Layer) -> None:
        del self.layers[name]
        self._left(name, layer)
        self._viewer.layers.remove(layer)
