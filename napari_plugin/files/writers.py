"""Writers of the manifest: labels as PNG, TIFF, NIfTI or DICOM segmentation.

napari takes a ValueError of a writer for "not my kind of file" and drops its message, so these
raise RuntimeError.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

__all__ = ["write_dicom_seg", "write_picture", "write_volume"]


def write_picture(path: str, data: NDArray, meta: dict[str, Any]) -> list[str]:
    """Write labels as PNG or TIFF; returns the paths written."""
    from napari_plugin.files.pictures import write_picture_file

    return _written(write_picture_file, Path(path), data)


def write_volume(path: str, data: NDArray, meta: dict[str, Any]) -> list[str]:
    """Write labels as NIfTI on the grid of their volume; returns the paths written."""
    from napari_plugin.files.volumes import write_volume_file

    return _written(write_volume_file, Path(path), data, meta)


def write_dicom_seg(path: str, data: NDArray, meta: dict[str, Any]) -> list[str]:
    """Write labels as DICOM segmentation of the series that is open; returns the paths written."""
    from napari_plugin.files.dicom import write_segmentation

    return _written(write_segmentation, Path(path), data, meta)


def _written(write: Callable[..., Path], *args: Any) -> list[str]:
    try:
        return [str(write(*args))]
    except ValueError as error:
        raise RuntimeError(str(error)) from error
