"""A Labels layer that a widget owns and fills again and again."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from numpy.typing import NDArray

from napari_plugin.viewer.layers import place

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["OwnedLabels"]


class OwnedLabels:
    """At most one layer of the viewer; nobody can paint in it, so its undo is never stale.

    Args:
        viewer: Where.
        notes: What its metadata say to keras-robust, such as its role.
        on_taken: Called when somebody else takes the layer away.
    """

    def __init__(self, viewer: "ViewerModel", notes: dict[str, Any], on_taken: Callable[[], Any]):
        self._viewer, self._notes, self._on_taken = viewer, notes, on_taken
        self._described = ""
        self.layer: Labels | None = None

    def _on_removed(self, event) -> None:
        if event.value is self.layer:
            self._forget()
            self._on_taken()

    def _forget(self) -> None:
        self.layer = None
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def show(
        self,
        labels: NDArray[np.integer],
        like: Labels,
        colours: dict[int, str],
        notes: dict[str, Any] | None = None,
        below: bool = False,
        **look: Any,
    ) -> Labels:
        """Fill the layer, made anew where its shape, place or look changes.

        Args:
            labels: Of the shape of `like`.
            like: Gives the place in the world.
            colours: By label; under the key 0 that of all labels that are not named.
            notes: Further metadata.
            below: Put a new layer below `like`, not on top of all.
            look: Further arguments of the layer, such as its name.
        """
        placed = look | place(like)
        described = repr((colours, placed))
        layer = self.layer
        if (
            layer is None
            or layer.data.shape != labels.shape
            or layer.data.dtype != labels.dtype
            or described != self._described
        ):
            self.remove()
            metadata = {"keras_robust": self._notes | (notes or {})}
            rest = colours.get(0, "transparent")
            named: dict[int | None, str] = {None: rest, 0: "transparent"}
            named |= {label: colour for label, colour in colours.items() if label}
            colormap = DirectLabelColormap(color_dict=named)
            layer = Labels(labels.copy(), metadata=metadata, colormap=colormap, **placed)
            layer.editable = False
            layers = self._viewer.layers
            selected = set(layers.selection)
            layers.insert(layers.index(like) if below else len(layers), layer)
            layers.selection = selected
            layers.events.removed.connect(self._on_removed)
            self.layer, self._described = layer, described
        else:
            layer.data[...] = labels
            layer.metadata["keras_robust"] = self._notes | (notes or {})
            layer.refresh(extent=False)
        return layer

    def remove(self) -> None:
        """Take the layer away."""
        layer = self.layer
        if layer is not None:
            self._forget()
            self._viewer.layers.remove(layer)
