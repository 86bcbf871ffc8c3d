"""Windows of grey values: those of radiologists for CT, percentiles for what has no fixed unit."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

__all__ = ["CT_WINDOWS", "KeptWindow", "first_window", "is_ct", "value_range", "window_limits"]

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


def value_range(image: NDArray) -> tuple[float, float] | None:
    """Least and greatest value of a grey image; `None` where `first_window` is, or one is infinite.

    >>> value_range(np.array([-1024.0, np.nan, 3071.0]))
    (-1024.0, 3071.0)
    """
    if image.dtype.kind not in "iuf" or image.dtype.itemsize == 1 or not image.size:
        return None
    low, high = (float(f.reduce(image, axis=None)) for f in (np.fmin, np.fmax))
    return (low, high) if np.isfinite([low, high]).all() and low < high else None


class KeptWindow:
    """The window of grey values of images shown after each other, as the reader set it last.

    What was set for CT stays for CT, and what was set for other images for those.

    Attributes:
        ct: Whether the image in view is a CT.
    """

    def __init__(self) -> None:
        self.ct = False
        self._set: dict[bool, tuple[float, float]] = {}

    def show(
        self,
        layer: Image,
        first: tuple[float, float] | None,
        values: tuple[float, float] | None,
        ct: bool,
    ) -> None:
        """Show an image in the window that was set, else in `first`.

        Args:
            layer: A grey image.
            first: Its window by itself; napari's own where `None`.
            values: Least and greatest value, to which napari's slider goes.
            ct: Whether it is a CT.
        """
        self.ct = ct
        window = self._set.get(ct, first)
        if window is None:
            layer.reset_contrast_limits()
            return
        if values is not None:
            layer.contrast_limits_range = min(*values, *window), max(*values, *window)
        layer.contrast_limits = window

    def keep(self, layer: Image) -> None:
        """Note what the reader has set."""
        self._set[self.ct] = tuple(layer.contrast_limits)

    def next(self, layer: Image) -> str:
        """Show a CT in the window of `CT_WINDOWS` that follows that in use; its name, else ""."""
        if not self.ct:
            return ""
        names = list(CT_WINDOWS)
        shown = [CT_WINDOWS[name] == tuple(layer.contrast_limits) for name in names]
        name = names[(shown.index(True) + 1) % len(names) if any(shown) else 0]
        layer.contrast_limits = CT_WINDOWS[name]
        return name
