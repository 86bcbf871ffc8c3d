"""Where the slices of a DICOM series lie."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.files.grid import TOLERANCE

__all__ = ["refused", "series_grid"]

# At the detector or of a scanned film, where the pixel in the patient is not known.
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
UNEVEN = 0.05  # of the distance between slices

Spacing = tuple[float, float, float]


def series_grid(
    headers: Sequence[Any],
) -> tuple[NDArray[np.intp], NDArray[np.float64] | None, Spacing | None]:
    """Order and place of the slices of one volume.

    Args:
        headers: Of slices of one size, as pydicom has them.

    Returns:
        The order of the slices; the affine (4, 4) from (slice, row, column) to DICOM's world in mm
        (left, back, up), whose first column leans where the gantry was tilted, `None` where the
        slices do not say how they lie; and the spacing in mm, from slice to slice across them,
        `None` where they do not tell the size of a pixel.

    Raises:
        ValueError: Slices of several directions or spacings, or that make no volume.
    """
    directions = [_numbers(header, "ImageOrientationPatient", 6) for header in headers]
    pixels = [_pixel_spacing(header) for header in headers]
    places = [_numbers(header, "ImagePositionPatient", 3) for header in headers]
    known = [None not in found for found in (directions, pixels, places)]
    if any(values.count(None) not in (0, len(headers)) for values in (directions, pixels)):
        raise refused("slices of one size, direction and spacing", "some that do not tell it")
    if len(headers) > 1 and not known[2]:
        raise refused("slices that say where they lie", "some without ImagePositionPatient")
    axes = np.reshape([d or (1, 0, 0, 0, 1, 0) for d in directions], (-1, 2, 3))
    sizes = np.array([p or (1.0, 1.0) for p in pixels])
    # Of each slice the steps to the next row and column, in mm.
    steps = np.stack([axes[:, 1] * sizes[:, :1], axes[:, 0] * sizes[:, 1:]], axis=1)
    extent = np.array([int(headers[0].Rows), int(headers[0].Columns)])
    drift = np.linalg.norm(steps - steps[0], axis=-1) @ extent / sizes.min()
    if drift.max() > TOLERANCE:
        kinds = len(np.unique(np.round(steps, 5), axis=0))
        raise refused("slices of one size, direction and spacing", f"{kinds} kinds")
    rows, columns = steps.mean(axis=0)
    normal = np.cross(columns, rows) / np.linalg.norm(np.cross(columns, rows))
    where = np.array([place or (0.0, 0.0, 0.0) for place in places])
    order = np.argsort(where @ normal, kind="stable")
    along = _between_slices(where[order], normal, headers[0])
    spacing = (float(along @ normal), float(np.linalg.norm(rows)), float(np.linalg.norm(columns)))
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along, rows, columns], axis=1)
    affine[:3, 3] = where[order[0]]
    rounded = tuple(round(step, 5) for step in spacing)
    return order, affine if all(known) else None, rounded if known[1] else None  # type: ignore[return-value]


def _between_slices(
    where: NDArray[np.float64], normal: NDArray[np.float64], header: Any
) -> NDArray[np.float64]:
    """From one slice to the next, in mm: not along the normal, where the gantry was tilted."""
    if len(where) == 1:
        return normal * float(header.get("SliceThickness", 1) or 1)
    heights = where @ normal
    steps = np.diff(heights)
    mean = steps.mean()
    if steps.min() <= 1e-4 or np.ptp(steps) > UNEVEN * mean:
        raise refused(
            "slices at equal distances", "missing, double or unevenly spaced ones; export again"
        )
    along = (where[-1] - where[0]) / (len(where) - 1)
    # Where each slice would lie at its height, were all shifted alike.
    expected = where[0] + np.outer((heights - heights[0]) / (along @ normal), along)
    if np.abs(where - expected).max() > UNEVEN * mean:
        raise refused(
            "slices shifted alike from one to the next", "others; export the series again"
        )
    return along


def _pixel_spacing(header: Any) -> tuple[float, ...] | None:
    """Distance of rows and of columns in mm."""
    found = (_numbers(header, name, 2) for name in SPACINGS)
    return next((spacing for spacing in found if spacing and min(spacing) > 0), None)


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    values = header.get(name)
    # One value alone, as of a damaged header, is none of several to pydicom.
    if not isinstance(values, Sequence) or len(values) != count:
        return None
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def refused(expected: str, received: str) -> ValueError:
    """The error of files that make no volume."""
    return invalid("paths", f"{expected}", said=f"{received}")
