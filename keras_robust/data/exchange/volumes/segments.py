"""3D Slicer's segmentations (.seg.nrrd): named segments, in one or several layers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from keras_robust.data.exchange.volumes.itk import read_itk, read_itk_header
from keras_robust.data.files.grid import TOLERANCE
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.files.volume_header import VolumeHeader, read_header

__all__ = ["Segment", "is_segments", "on_grid", "read_segments", "segment_labels"]

KEY = re.compile(r"Segment(\d+)_(\w+)")


@dataclass(frozen=True)
class Segment:
    """A segment: its name, its colour as the file has it, its layer, and its value there."""

    name: str
    colour: str
    layer: int
    value: int


def is_segments(path: Path) -> bool:
    """Whether a file is a segmentation of 3D Slicer, by its name."""
    return path.name.lower().endswith(".seg.nrrd")


def read_segments(path: Path) -> list[Segment]:
    """The segments of a file, in its order.

    Raises:
        UnreadableImageError: Damaged, or without segments.
    """
    return _segments(path, read_itk_header(path).meta)


def _segments(path: Path, meta: Mapping[str, str]) -> list[Segment]:
    found: dict[int, dict[str, str]] = {}
    for key, text in meta.items():
        if match := KEY.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = text
    segments = []
    for number, said in sorted(found.items()):
        try:
            layer, value = int(said.get("Layer", 0)), int(said.get("LabelValue", number + 1))
        except ValueError:
            raise UnreadableImageError(path, f"segment {number} has no number") from None
        name = said.get("Name") or said.get("ID") or f"Segment_{number + 1}"
        segments.append(Segment(name, said.get("Color", ""), layer, value))
    if not segments:
        raise UnreadableImageError(path, "it names no segments")
    return segments


def segment_labels(path: Path, numbers: Mapping[str, int], image: Path) -> NDArray[np.uint8]:
    """Labels on the grid of an image; of segments that overlap, the later one wins.

    Args:
        path: The segmentation, on a grid of its own, mostly a part of that of the image.
        numbers: The label of each name.
        image: The volume.
    """
    voxels, found = read_itk(path)
    layers = voxels[..., np.newaxis] if voxels.ndim == 3 else voxels
    labels = np.zeros(layers.shape[:3], np.uint8)
    for segment in _segments(path, found.meta):
        if not 0 <= segment.layer < layers.shape[3]:
            raise UnreadableImageError(path, f"{segment.name!r} is in a layer that is not there")
        labels[layers[..., segment.layer] == segment.value] = numbers[segment.name]
    return on_grid(labels, found.header.affine_mm, read_header(image))


def on_grid(
    labels: NDArray[np.uint8], affine_mm: NDArray[np.float64], image: VolumeHeader
) -> NDArray[np.uint8]:
    """Labels on the grid of an image: moved where the grids have their voxels in common, else each
    voxel as the nearest one.

    Args:
        labels: (I, J, K), the axes in any order.
        affine_mm: From their indices to the world of NIfTI.
        image: Header of the image.
    """
    change = np.linalg.inv(affine_mm) @ image.affine_mm  # from voxels of the image
    whole = np.rint(change)
    corners = np.array([[0, 0, 0, 1], [*(n - 1 for n in image.shape), 1]], float)
    if np.abs((change - whole) @ corners.T).max() <= TOLERANCE:
        change = whole
    return affine_transform(
        labels, change[:3, :3], change[:3, 3], image.shape, order=0, mode="constant", cval=0
    )
