"""Which files are read in place, and how the others become ones that are."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.exchange.found import Draw, Made
from keras_robust.data.exchange.volumes.itk import is_itk, read_itk, read_itk_header
from keras_robust.data.exchange.volumes.segments import (
    is_segments,
    read_segments,
    segment_labels,
)
from keras_robust.data.exchange.volumes.stack import is_stack, read_stack, stack_spacing
from keras_robust.data.exchange.volumes.writing import write_image
from keras_robust.data.files.grid import geometry_problem
from keras_robust.data.files.volume_header import VolumeHeader, is_volume, read_header
from keras_robust.data.files.volumes import read_volume, whole_numbers

__all__ = ["Masks", "image_as_read"]

MOST_CLASSES = 32  # of masks that do not name them; more are rather numbered objects
SAMPLED = 16


def image_as_read(path: Path) -> tuple[Path | Made, ...]:
    """A file as it is where it is read in place, else the volumes to be made of it: one for each
    channel.

    Raises:
        UnreadableImageError: Damaged.
        ImportError: SimpleITK is needed, and not installed.
    """
    if is_itk(path):
        parts = read_itk_header(path).components
        return tuple(Made(path, ".nii.gz", _writer(_itk_channel, path, n)) for n in range(parts))
    if is_volume(path):
        channels = read_header(path, channels=True).channels
        if channels == 1:
            return (path,)
        makers = (_writer(_nifti_channel, path, n) for n in range(channels))
        return tuple(Made(path, ".nii.gz", make) for make in makers)
    if is_stack(path):
        return (Made(path, ".nii.gz", _writer(_stack_channel, path, 0)),)
    return (path,)


def _writer(read: Any, path: Path, number: int) -> Any:
    return lambda target: write_image(target, *read(path, number))


def _itk_channel(path: Path, number: int) -> tuple[NDArray, VolumeHeader]:
    voxels, found = read_itk(path)
    return (voxels if voxels.ndim == 3 else voxels[..., number]), found.header


def _nifti_channel(path: Path, number: int) -> tuple[NDArray, VolumeHeader]:
    voxels, _, header = read_volume(path, channels=True)
    return voxels[..., number], header


def _stack_channel(path: Path, number: int) -> tuple[NDArray, VolumeHeader]:
    voxels, header, _ = read_stack(path)
    return voxels, header


class Masks:
    """The masks of a data set, of whatever format; it gathers the names of their classes."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._plain: list[Path] = []
        self._without_spacing = 0

    def as_read(self, path: Path) -> Path | Draw:
        """A mask as it is, or what draws its labels on the grid of its image."""
        if is_segments(path):
            for segment in read_segments(path):
                self._numbers.setdefault(segment.name, len(self._numbers) + 1)
            return lambda image: segment_labels(path, self._numbers, image)
        if is_itk(path) or is_stack(path):
            self._plain.append(path)
            self._without_spacing += is_stack(path) and stack_spacing(path) is None
            return lambda image: _labels_like(path, image)
        return path

    def labels(self, description: dict[str, Any]) -> dict[str, int]:
        """`labels` of dataset.json, where these masks say more than it does."""
        if self._numbers:
            return {"background": 0, **self._numbers}
        if "labels" in description or not self._plain:
            return {}
        found: set[int] = {0}
        chosen = np.linspace(0, len(self._plain) - 1, min(SAMPLED, len(self._plain))).astype(int)
        for number in sorted(set(chosen.tolist())):
            found |= set(np.unique(_voxels(self._plain[number])[0]).tolist())
        highest = max(found)
        if found == set(range(highest + 1)) and 1 < highest < MOST_CLASSES:
            return {"background": 0, **{f"class {n}": n for n in range(1, highest + 1)}}
        return {}

    def notes(self) -> list[str]:
        """What was assumed."""
        if not self._without_spacing:
            return []
        return [f"{self._without_spacing} stack(s) of pages tell no spacing: 1 x 1 x 1 is assumed"]


def _voxels(path: Path) -> tuple[NDArray, VolumeHeader]:
    if is_itk(path):
        return _itk_channel(path, 0)
    return _stack_channel(path, 0)


def _labels_like(path: Path, image: Path) -> NDArray:
    """The labels of a mask that lies on the grid of its image.

    Raises:
        ValueError: It lies elsewhere, or holds what is no label.
    """
    voxels, header = _voxels(path)
    if not is_volume(image):
        return np.moveaxis(voxels, (0, 1), (1, 0))[..., 0]
    own = read_header(image)
    problem = None if header.shape == own.shape else ("size", "its size differs")
    problem = problem or (None if is_stack(path) else geometry_problem(own, header))
    if problem is not None:
        raise ValueError(f"The mask {str(path)!r} does not lie on its image: {problem[1]}.")
    labels = whole_numbers(voxels)
    if labels is None:
        raise ValueError(f"The mask {str(path)!r} holds numbers that are no labels.")
    high = labels.max(initial=0)
    values = set(np.unique(labels).tolist()) if high > MOST_CLASSES else set()
    return labels // labels.max() if len(values) == 2 and 0 in values else labels
