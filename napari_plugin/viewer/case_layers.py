"""The layers of one case of a dataset."""

from functools import cache
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from keras_robust.annotators import clean_annotator, simulated_annotators
from keras_robust.data import Case, Dataset
from keras_robust.data.files.volume_header import VolumeHeader, is_volume, read_header
from napari_plugin.viewer.anatomy import axis_names, towards
from napari_plugin.viewer.style import CLASS_COLOURS, ROLE_COLOURS, class_colours, label_colormap
from napari_plugin.viewer.windows import first_window

__all__ = [
    "LayerData",
    "case_layers",
    "case_notes",
    "header_notes",
    "image_layer",
    "labels_layer",
    "warm_up",
]

LayerData = tuple[Any, dict[str, Any], str]


@cache
def warm_up() -> None:
    """Let napari load what it loads with the first layer, which takes a second or two.

    Any thread may, and the window's should not.
    """
    Image(np.zeros((2, 2)))
    Labels(np.zeros((2, 2), np.uint8))


def case_layers(dataset: Dataset, id: str) -> list[LayerData]:
    """The image of a case and the mask of each annotator, lowest first.

    Args:
        dataset: Where the case is.
        id: Of the image.

    Returns:
        Tuples (data, arguments of the layer, "image" or "labels").

    Raises:
        ValueError: The dataset has no such id, or a file that cannot be read.

    >>> from keras_robust.data import sample
    >>> image, mask = case_layers(sample(), "ISIC_0000013")
    >>> image[0].shape, mask[0].shape, mask[1]["metadata"]["keras_robust"]["role"]
    ((256, 256, 3), (256, 256), 'reference')
    """
    cases = dataset.select(ids=[id]).cases
    notes = case_notes(dataset, cases[0])
    layers = [image_layer(dataset.read_image(cases[0]), cases[0].id, notes)]
    drawn = [case for case in cases if case.mask is not None]
    clean = clean_annotator(dataset) or ("gold" if "gold" in dataset.annotators else None)
    simulated = simulated_annotators(dataset)
    only_one = len(drawn) == 1
    for case in sorted(drawn, key=lambda case: case.annotator != clean):
        known = case.annotator == clean or (only_one and case.annotator not in simulated)
        role = "reference" if known else "noisy"
        own = notes | {"annotator": case.annotator, "role": role}
        layers.append(labels_layer(dataset.read_mask(case), case.annotator, own, dataset.classes))
    return layers


def image_layer(image: NDArray, name: str, notes: dict[str, Any]) -> LayerData:
    """An image (*spatial, C), or of `len(notes["spacing_mm"])` axes without channels, as a layer.

    >>> image_layer(np.zeros((8, 8, 3), np.uint8), "a", {})[1]["rgb"]
    True
    """
    options: dict[str, Any] = {
        "name": name,
        "metadata": {"keras_robust": notes | {"role": "image"}},
    }
    channels = image.shape[-1]
    if channels == 1:
        image = image[..., 0]
    elif channels == 3 and image.dtype == np.uint8 and image.ndim in (3, 4):
        options["rgb"] = True
    else:
        image = np.moveaxis(image, -1, 0)
        names = axis_names(notes["towards"]) if notes.get("towards") else ()
        names = names or tuple(f"axis {axis}" for axis in range(image.ndim - 1))
        options["axis_labels"] = ("channel", *names)
        options["scale"] = (1.0, *(notes.get("spacing_mm") or (1.0,) * (image.ndim - 1)))
    window = first_window(image)
    if window is not None:
        options["contrast_limits"] = window
    spacing = notes.get("spacing_mm")
    if spacing and "scale" not in options:
        options["scale"] = tuple(spacing)
    if notes.get("towards") and "axis_labels" not in options:
        options["axis_labels"] = axis_names(notes["towards"])
    return image, options, "image"


def labels_layer(
    labels: NDArray, name: str, notes: dict[str, Any], classes: int = 2, **options: Any
) -> LayerData:
    """A mask as a layer in the colour of its role, or, with several classes, in theirs.

    >>> labels_layer(np.zeros((8, 8), np.uint8), "a", {"role": "noisy"})[1]["name"]
    'a'
    """
    colour = ROLE_COLOURS.get(notes.get("role", ""), CLASS_COLOURS[0])
    colours = (colour,) if classes <= 2 else class_colours(classes - 1)
    options = {
        "name": name,
        "metadata": {"keras_robust": notes},
        "colormap": label_colormap(*colours),
        "opacity": 0.5,
    } | options
    if notes.get("spacing_mm") and len(notes["spacing_mm"]) == labels.ndim:
        options["scale"] = tuple(notes["spacing_mm"])
    if notes.get("towards"):
        options["axis_labels"] = axis_names(notes["towards"])
    return labels, options, "labels"


def header_notes(header: VolumeHeader) -> dict[str, Any]:
    """What a layer notes of the header of its volume, so that it can be written again."""
    return {
        "header": header,
        "affine": header.affine_mm.tolist() if header.oriented else None,
        "towards": towards(header.affine) if header.oriented else "",
        "spacing_mm": list(header.spacing_mm),
    }


def case_notes(dataset: Dataset, case: Case) -> dict[str, Any]:
    """What the layers of a case note: dataset, id, names of classes, spacing, and the header of a
    volume, where it can be read."""
    notes: dict[str, Any] = {"dataset": str(dataset.root), "id": case.id, "spacing_mm": None}
    notes["class_names"] = dataset.class_names
    if is_volume(case.image):
        try:
            notes |= header_notes(read_header(case.image))
        except (OSError, ValueError):
            pass  # whoever reads the volume tells of it
    if case.spacing is not None:
        notes["spacing_mm"] = list(case.spacing)
    return notes
