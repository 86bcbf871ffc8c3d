"""Windows of grey values: those of radiologists for CT, percentiles for what has no fixed unit."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["CT_WINDOWS", "first_window", "is_ct", "window_limits"]

# Least and greatest value in Hounsfield units, of the usual centre and width.
CT_WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "soft tissue": (-160.0, 240.0),
        "lung": (-1350.0, 150.0),
        "bone": (-500.0, 1300.0),
        "brain": (0.0, 80.0),
        "liver": (-45.0, 105.0),
    }
)
_AIR = -500  # no other modality has values below; air in CT is -1000
_PERCENTILES = (0.5, 99.5)
_SAMPLE = 1_000_000  # voxels are enough for percentiles


def is_ct(image: NDArray) -> bool:
    """Whether values look like Hounsfield units: air is far below 0.

    >>> is_ct(np.array([-1000.0, np.nan, 40.0])), is_ct(np.array([0.0, 900.0]))
    (True, False)
    """
    if image.dtype.kind not in "if" or not image.size:
        return False
    return float(np.fmin.reduce(image, axis=None)) < _AIR  # what is no number is passed over


def window_limits(centre: float, width: float) -> tuple[float, float]:
    """Least and greatest value of a window, as DICOM's WindowCenter and WindowWidth give it.

    >>> window_limits(40, 400)
    (-160.0, 240.0)
    """
    return centre - width / 2, centre + width / 2


def first_window(image: NDArray) -> tuple[float, float] | None:
    """The window in which a grey image opens: soft tissue for CT, the middle 99 % for others.

    `None` for pictures of 8 bits, which are shown as they are, and where all values are one.
    """
    if image.dtype.kind not in "iuf" or image.dtype.itemsize == 1 or not image.size:
        return None
    if is_ct(image):
        return CT_WINDOWS["soft tissue"]
    step = max(1, image.size // _SAMPLE)
    values = image.reshape(-1)[::step]
    low, high = np.percentile(values[np.isfinite(values)], _PERCENTILES)
    return (float(low), float(high)) if low < high else None
