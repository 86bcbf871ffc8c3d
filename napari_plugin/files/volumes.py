"""Volumes in NIfTI: voxels in the order as stored, affine and header kept."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.files.volume_header import VolumeHeader, make_header
from keras_robust.data.files.volumes import encode_volume, read_volume, whole_numbers
from napari_plugin.files.grids import in_millimetres, layer_affine, noted
from napari_plugin.files.pictures import looks_like_labels
from napari_plugin.viewer.case_layers import LayerData, header_notes, image_layer, labels_layer

__all__ = ["read_volume_layer", "write_volume_file"]


def read_volume_layer(path: Path) -> LayerData:
    """A .nii or .nii.gz file: labels where it holds few small whole numbers, else an image.

    A single label above 255 becomes 1, as in pictures.

    Raises:
        ValueError: The file is damaged, or no volume.
    """
    voxels, _, header = read_volume(path)
    name = path.name.removesuffix(".gz").removesuffix(".nii")
    notes = {"dataset": "", "id": name, "annotator": "", "path": str(path)} | header_notes(header)
    whole = whole_numbers(voxels)
    if whole is None or not looks_like_labels(whole):
        return image_layer(voxels[..., np.newaxis], name, notes)
    labels = (whole if whole.max() <= 255 else whole != 0).astype(np.uint8)
    return labels_layer(labels, name, notes, classes=int(labels.max(initial=0)) + 1)


def write_volume_file(path: Path, labels: NDArray, meta: dict[str, Any]) -> Path:
    """Write labels on the grid of the volume that they were drawn on, atomically.

    Args:
        path: File to write, compressed where its name ends in .gz.
        labels: (I, J, K), 0 to 255.
        meta: Arguments of the layer. Without a header in its notes, or in those of a layer of the
            same shape beside it, the layer's own scale and affine are written, in mm where it has
            units of length.

    Raises:
        ValueError: Labels that are not 3-D or above 255.
    """
    labels = np.asarray(labels)
    if labels.ndim != 3:
        raise invalid(
            "path",
            f".png or .tif for labels of {labels.ndim} axes",
            path.name,
            "NIfTI is written for 3-D labels.",
        )
    header = noted(meta, labels.shape, "header")
    if not isinstance(header, VolumeHeader) or header.shape != labels.shape:
        affine = noted(meta, labels.shape, "affine")
        if affine is not None:
            header = make_header(labels.shape, affine, code="scanner")
        else:
            factors = in_millimetres(meta.get("units"))
            own = np.diag([*(factors or (1, 1, 1)), 1]) @ layer_affine(meta, 3)
            header = make_header(labels.shape, own, unit="mm" if factors else "unknown")
    return atomic_write_bytes(path, encode_volume(labels, header, compress=path.suffix == ".gz"))
