"""Which images a layer holds for prediction, and the layer of what is predicted."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_plugin.viewer.case_layers import LayerData, labels_layer
from napari_plugin.viewer.layers import place, to_world

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["image_to_predict", "images_of", "prediction_layer"]


def image_to_predict(viewer: "ViewerModel") -> Image | None:
    """The selected image, or else the uppermost; none of several resolutions."""
    active = viewer.layers.selection.active
    layers = [active, *reversed(viewer.layers)]
    return next((one for one in layers if isinstance(one, Image) and not one.multiscale), None)


def images_of(layer: Image) -> list[NDArray]:
    """Images (*spatial, C) of a layer: one, or those of a stack."""
    data = np.asarray(layer.data)
    if _is_channels_first(layer):
        return [np.moveaxis(data, 0, -1)]
    array = data[..., :3] if layer.rgb else data[..., np.newaxis]
    return list(array) if _is_stack(layer) else [array]


def prediction_layer(layer: Layer, labels: list[NDArray], name: str) -> LayerData:
    """The predicted labels on the grid of the image that they were predicted of."""
    notes: dict[str, Any] = dict(layer.metadata.get("keras_robust") or {})
    notes |= {"annotator": name, "role": "prediction"}
    data = np.stack(labels) if _is_stack(layer) else labels[0]
    classes = int(data.max(initial=0)) + 1
    result, options, kind = labels_layer(data, f"prediction ({name})", notes, classes)
    options |= place(layer)
    if _is_channels_first(layer):
        for key in ("scale", "translate", "rotate", "shear", "units"):
            options.pop(key)
        options["affine"] = to_world(layer)[1:, 1:]
    return result, options, kind


def _is_channels_first(layer: Layer) -> bool:
    return layer.axis_labels[0] == "channel"


def _is_stack(layer: Layer) -> bool:
    # A colour image of three axes is a stack of photographs; there are no volumes in colour.
    noted = bool((layer.metadata.get("keras_robust") or {}).get("stack"))
    return layer.ndim == 3 and (noted or bool(getattr(layer, "rgb", False)))
