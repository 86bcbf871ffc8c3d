"""Writers of the manifest."""

from typing import Any


def write_picture(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write labels as PNG or TIFF."""
    raise NotImplementedError


def write_volume(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write labels as NIfTI."""
    raise NotImplementedError


def write_dicom_seg(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write labels as DICOM segmentation."""
    raise NotImplementedError
