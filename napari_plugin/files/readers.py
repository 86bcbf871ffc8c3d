"""Readers of the manifest: each says whether it reads a path, and returns what reads it."""

from collections.abc import Callable
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | list[str]], list[LayerData]]


def dataset_reader(path: str | list[str]) -> Reader | None:
    """Reads a dataset folder."""
    return None


def picture_reader(path: str | list[str]) -> Reader | None:
    """Reads a mask or an image, PNG or TIFF."""
    return None


def volume_reader(path: str | list[str]) -> Reader | None:
    """Reads a volume in NIfTI."""
    return None


def dicom_reader(path: str | list[str]) -> Reader | None:
    """Reads a DICOM series."""
    return None
