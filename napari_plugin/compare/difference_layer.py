"""The layer that shows where two masks differ."""

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap
from numpy.typing import NDArray

from napari_plugin._style import BOTH
from napari_plugin.compare.difference import AGREED, ONLY_A, ONLY_B, OTHER_CLASS

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DifferenceLayer", "colours"]


def colours(a: str, b: str) -> dict[int, str]:
    """Colour by code: what is in one mask only has the colour of that mask's contour.

    >>> colours("#0072B2", "#E69F00")[ONLY_B]
    '#E69F00'
    """
    return {AGREED: BOTH, ONLY_A: a, ONLY_B: b, OTHER_CLASS: "#D55E00"}


class DifferenceLayer:
    """Keeps at most one layer of the viewer; nobody can paint in it, so it has no undo.

    Args:
        viewer: Where.
    """

    def __init__(self, viewer: "ViewerModel"):
        self._viewer = viewer
        self.layer: Labels | None = None
        self._by_code: dict[int, str] = {}

    def show(self, codes: NDArray[np.uint8], like: Labels, by_code: dict[int, str]) -> None:
        """Show a map of codes where the layer `like` lies.

        Args:
            codes: From `difference`.
            like: Gives scale and place.
            by_code: Colours, from `colours`.
        """
        if self.layer is None or self.layer.data.shape != codes.shape or self._by_code != by_code:
            self.remove()
            self._by_code = by_code
            self.layer = Labels(
                codes.copy(),
                name="difference",
                opacity=0.6,
                colormap=DirectLabelColormap(
                    color_dict={None: "transparent", 0: "transparent", **by_code}
                ),
                metadata={"keras_robust": {"role": "difference"}},
                scale=like.scale,
                translate=like.translate,
                rotate=like.rotate,
                shear=like.shear,
                units=like.units,
            )
            self.layer.editable = False
            selected = set(self._viewer.layers.selection)
            # Below contours, which it would hide.
            layers = self._viewer.layers
            place = layers.index(like) if like.contour else len(layers)
            layers.insert(place, self.layer)
            self._viewer.layers.selection = selected
        else:
            self.layer.data[...] = codes
            self.layer.refresh(extent=False)

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
