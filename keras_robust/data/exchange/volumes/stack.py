"""Volumes whose slices are the pages of a TIFF file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.opening import open_plain
from keras_robust.data.exchange.cvat import parse_xml
from keras_robust.data.files.formats import picture_pages
from keras_robust.data.files.tiff import MOST_PAGES, tiff_shape
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.files.volume_header import VolumeHeader, make_header

__all__ = ["is_stack", "read_stack", "stack_spacing"]

MM = {"nm": 1e-6, "µm": 1e-3, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0, "cm": 10.0}
MM |= {"\\u00b5m": 1e-3, "μm": 1e-3, "inch": 25.4, "m": 1e3}
RESOLUTION_UNIT = {2: 25.4, 3: 10.0}  # inch and centimetre, in mm


def is_stack(path: Path) -> bool:
    """Whether a file is a TIFF of several pages."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with open_plain(path) as file:
            return tiff_shape(file)[0] > 1
    except Exception:  # of any kind in damaged files; whoever reads it tells of it
        return False


def read_stack(path: Path) -> tuple[NDArray, VolumeHeader, bool]:
    """The voxels (column, row, page), their grid, and whether the file tells the spacing.

    Raises:
        UnreadableImageError: Damaged, in colour, or of pages that differ in size.
    """
    pages = picture_pages(path, MOST_PAGES)
    values = [page.values for page in pages]
    if len({(v.shape, v.dtype) for v in values}) != 1 or values[0].shape[-1] != 1:
        raise UnreadableImageError(path, "its pages are in colour, or differ in size")
    voxels = np.stack([value[..., 0].T for value in values], axis=-1)
    found = stack_spacing(path)
    spacing = found or (1.0, 1.0, 1.0)
    # As ITK places what says nothing of the patient: to the left and to the back.
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    return voxels, make_header(voxels.shape, affine, unit="mm" if found else "unknown"), bool(found)


def stack_spacing(path: Path) -> tuple[float, float, float] | None:
    """Of columns, rows and pages in mm, as OME-TIFF or ImageJ tell it."""
    import tifffile

    try:
        with open_plain(path) as file, tifffile.TiffFile(file) as tiff:
            found = _of_ome(tiff.ome_metadata) if tiff.ome_metadata else _of_imagej(tiff)
    except Exception:  # of any kind in damaged metadata; the voxels are judged on their own
        return None
    if found is None or not all(math.isfinite(n) and 1e-5 <= n <= 1e3 for n in found):
        return None
    return found


def _of_ome(text: str) -> tuple[float, float, float] | None:
    for element in parse_xml(text.encode()).iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            sizes = [element.get(f"PhysicalSize{axis}") for axis in "XYZ"]
            units = [element.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XYZ"]
            if None in sizes or not all(unit in MM for unit in units):
                return None
            x, y, z = (float(size or 0) * MM[unit] for size, unit in zip(sizes, units, strict=True))
            return x, y, z
    return None


def _of_imagej(tiff: Any) -> tuple[float, float, float] | None:
    meta = tiff.imagej_metadata or {}
    tags = tiff.pages[0].tags
    if "spacing" not in meta or "XResolution" not in tags or "YResolution" not in tags:
        return None
    unit = MM.get(str(meta.get("unit", "")).lower())
    if unit is None:
        unit = RESOLUTION_UNIT.get(int(tags["ResolutionUnit"].value), None)
    if unit is None:
        return None
    columns, rows = (tags[name].value for name in ("XResolution", "YResolution"))
    return (
        unit * columns[1] / columns[0],
        unit * rows[1] / rows[0],
        unit * float(meta["spacing"]),
    )
