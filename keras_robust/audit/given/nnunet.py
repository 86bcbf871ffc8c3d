"""From nnU-Net's own order of axes to that of the image."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import read_json
from keras_robust.data import Case
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.volume_header import is_volume, read_header
from keras_robust.data.files.volumes import read_volume
from keras_robust.models.decoding import class_probabilities, labels_of

if TYPE_CHECKING:
    from keras_robust.audit.given.reading import GivenPredictions

__all__ = ["on_grid_of"]

ENDINGS = (".nii.gz", ".nii", ".png", ".tif", ".bmp")
SAME = 0.5  # of the elements of objects: labels of turned probabilities hardly meet
OVERSHOOT = 0.01  # of probabilities in half precision


def on_grid_of(
    array: NDArray, case: Case, path: Path, shape: tuple[int, ...], given: "GivenPredictions"
) -> NDArray[np.float32]:
    """Probabilities of the classes in the order of the image, from nnU-Net's (C, z, y, x).

    Args:
        array: As stored.
        case: The image.
        path: Of the array; plans.json near it says how images were read, and a file of the same
            name holds nnU-Net's labels, to which those of the array are held.
        shape: Of the mask.
        given: With classes and regions.

    Returns:
        `(*spatial, K)`.

    Raises:
        ValueError: Another shape, no probabilities, or other labels than beside it.
    """
    regions = given.regions if len(array) == len(given.regions) != given.classes else ()
    values = np.moveaxis(array, 0, -1)
    if len(shape) == 3 and values.ndim == 4:
        values = values.transpose(2, 1, 0, 3)
        if _reads_turned(path.parent):
            values = _turned_back(values, case.image)
    elif len(shape) == 2 and values.ndim == 4 and len(values) == 1:
        values = values[0]
    channels = len(regions) or given.classes
    if values.shape != (*shape, channels):
        raise invalid(
            "predictions",
            f"probabilities of {channels} classes on the grid {' x '.join(map(str, shape))} of the "
            f"mask of {case.id!r}",
            said=f"{str(path)!r} of shape {array.shape}",
            remedy="Take the predictions of this dataset, by a model of its classes.",
        )
    if not -OVERSHOOT <= values.min() <= values.max() <= 1 + OVERSHOOT:
        raise invalid(
            "predictions",
            "probabilities from 0 to 1",
            said=f"{str(path)!r} with values from {values.min()} to {values.max()}",
            remedy="A training that diverged writes such files: train that fold again.",
        )
    values = np.clip(values.astype(np.float32), 0, 1)
    if regions:
        values = class_probabilities(values, regions, given.classes)
        values /= values.sum(axis=-1, keepdims=True)
    _require_same_labels(values, path, given)
    return values


def _reads_turned(folder: Path) -> bool:
    """Whether the model's reader turned images to RAS, as plans.json beside or above it says."""
    for place in (folder, *list(folder.resolve().parents)[:2]):
        try:
            reader = read_json(place / "plans.json", dict).get("image_reader_writer")
        except (OSError, ValueError):
            continue
        return str(reader).endswith("WithReorient")
    return False


def _turned_back(values: NDArray, image: Path) -> NDArray:
    """From axes to the right, to the front and upwards to those of the image."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    stored = io_orientation(read_header(image).affine)
    return apply_orientation(values, ornt_transform(axcodes2ornt("RAS"), stored))


def _require_same_labels(values: NDArray, path: Path, given: "GivenPredictions") -> None:
    beside = (path.with_name(path.name.removesuffix(".npz") + ending) for ending in ENDINGS)
    labels_path = next((file for file in beside if file.is_file()), None)
    if labels_path is None:
        return
    labels = (
        read_volume(labels_path)[0]
        if is_volume(labels_path)
        else read_picture(labels_path).values[..., 0]
    )
    found = labels_of(values, given.regions)
    objects = (labels > 0) | (found > 0) if labels.shape == found.shape else np.ones(1, bool)
    same = labels.shape == found.shape and (labels == found)[objects].mean() if objects.any() else 1
    if same < SAME:
        raise invalid(
            "predictions",
            f"probabilities that lie as the labels in {labels_path.name} beside them",
            said=f"{str(path)!r}, which lies otherwise",
            remedy=(
                "Keep plans.json of the model beside or above them, which says how nnU-Net read "
                "the images; or remove the .npz files, so that the labels are taken."
            ),
        )
