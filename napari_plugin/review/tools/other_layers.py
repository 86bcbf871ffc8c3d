"""What other plugins draw, such as models that segment what is clicked on, as a suggestion."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from npe2 import PluginManager
from numpy.typing import NDArray

from napari_plugin.viewer.layers import about

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["MODELS", "as_suggestion", "installed", "masks_of_others"]

# Names of plugins that segment what is pointed at; none is needed, and any other works as well.
MODELS = {"napari-nninteractive": "nnInteractive", "micro-sam": "micro-SAM"}


def masks_of_others(viewer: "ViewerModel", shape: tuple[int, ...]) -> list[Labels]:
    """Layers of masks on the grid of a case that are not this plugin's: the selected one first,
    then the upper ones."""
    found = [
        layer
        for layer in reversed(viewer.layers)
        if isinstance(layer, Labels) and not about(layer) and layer.data.shape == shape
    ]
    chosen = viewer.layers.selection.active
    return sorted(found, key=lambda layer: layer is not chosen)


def as_suggestion(
    drawn: NDArray, mask: NDArray[np.uint8], classes: Collection[int], label: int
) -> NDArray[np.uint8]:
    """A mask of another plugin as one of the dataset's.

    Several labels that the dataset has are taken as they are. Other numbers count objects, as one
    label marks one: these are the class that is painted, and the other classes stay.

    Args:
        drawn: `(*spatial)`, of any kind of integers or booleans.
        mask: `(*spatial)`, as it is painted now.
        classes: Labels of the dataset.
        label: The class that is painted.

    >>> as_suggestion(np.array([7, 9, 0, 0]), np.array([0, 2, 2, 1], np.uint8), {1, 2}, 1)
    array([1, 1, 2, 0], dtype=uint8)
    >>> as_suggestion(np.array([1, 2, 0, 0]), np.array([0, 2, 2, 1], np.uint8), {1, 2}, 1)
    array([1, 2, 0, 0], dtype=uint8)
    """
    named = set(np.unique(drawn).tolist()) - {0}
    if len(named) > 1 and named <= set(classes):
        return np.asarray(drawn, np.uint8)
    rest = np.where(mask == label, 0, mask)
    return np.where(drawn != 0, label, rest).astype(np.uint8)


def installed() -> Iterator[tuple[str, str, str]]:
    """Widgets of models that are installed: a title for a menu, the plugin, and the widget."""
    for manifest in PluginManager.instance().iter_manifests(disabled=False):
        if manifest.name in MODELS:
            for widget in manifest.contributions.widgets or ():
                title = MODELS[manifest.name]
                if widget.display_name != title:
                    title += f": {widget.display_name}"
                yield title, manifest.name, widget.display_name
