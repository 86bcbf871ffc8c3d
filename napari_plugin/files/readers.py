"""Readers of the manifest: each says whether it reads a path, and returns what reads it."""

from collections.abc import Callable
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.data import Dataset
from keras_robust.data.layouts.registry import layout_of
from napari_plugin.viewer.anatomy import follow_current
from napari_plugin.viewer.case_layers import LayerData, case_layers

__all__ = [
    "dataset_reader",
    "dicom_reader",
    "foreign_reader",
    "picture_reader",
    "volume_reader",
]

Paths = str | list[str]
Reader = Callable[[Paths], list[LayerData]]


def dataset_reader(path: Paths) -> Reader | None:
    """Reads a dataset folder: its first case with the masks of all annotators."""
    (folder, *others) = _paths(path)
    is_dataset = not others and folder.is_dir() and layout_of(folder) is not None
    return _read_dataset if is_dataset else None


def picture_reader(path: Paths) -> Reader | None:
    """Reads PNG and TIFF: masks as labels, others as images."""
    return _read_pictures if all(p.is_file() for p in _paths(path)) else None


def volume_reader(path: Paths) -> Reader | None:
    """Reads NIfTI, in the order of voxels as stored, with affine and spacing."""
    return _read_volumes if all(p.is_file() for p in _paths(path)) else None


def dicom_reader(path: Paths) -> Reader | None:
    """Reads a folder of DICOM slices, or the slices chosen."""
    from napari_plugin.files.dicom import is_dicom

    paths = _paths(path)
    if len(paths) == 1 and paths[0].is_dir():
        paths = [p for p in paths[0].iterdir() if p.is_file()][:100]
    return _read_dicom if any(is_dicom(p) for p in paths) else None


def foreign_reader(path: Paths) -> Reader | None:
    """Reads what other tools wrote: annotations with their images, NRRD, MetaImage."""
    from keras_robust.data.exchange.registry import FORMATS
    from keras_robust.data.exchange.volumes.itk import is_itk

    (source, *others) = _paths(path)
    if others or not source.exists() or dataset_reader(path) or dicom_reader(path):
        return None
    if source.is_file() and is_itk(source):
        return _read_foreign
    return _read_foreign if any(known.fits(source) for _, known in FORMATS.each()) else None


def _paths(path: Paths) -> list[Path]:
    return [Path(p) for p in ([path] if isinstance(path, str) else path)]


def _read_dataset(path: Paths) -> list[LayerData]:
    dataset = Dataset.open(_paths(path)[0])
    if not len(dataset):
        raise invalid("path", "a dataset with images", said=f"path={path!r}, which has none")
    follow_current()
    return case_layers(dataset, dataset.ids[0])


def _read_pictures(path: Paths) -> list[LayerData]:
    from napari_plugin.files.pictures import read_picture

    return [read_picture(p) for p in _paths(path)]


def _read_volumes(path: Paths) -> list[LayerData]:
    from napari_plugin.files.volumes import read_volume_layer

    follow_current()
    return [read_volume_layer(p) for p in _paths(path)]


def _read_dicom(path: Paths) -> list[LayerData]:
    from napari_plugin.files.dicom import read_series

    follow_current()
    return read_series(_paths(path))


def _read_foreign(path: Paths) -> list[LayerData]:
    from napari_plugin.files.foreign import read_foreign

    follow_current()
    return read_foreign(_paths(path)[0])
