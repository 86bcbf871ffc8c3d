"""How images and figures look, everywhere."""

from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray


def shown_range(image: NDArray) -> tuple[float, float]:
    """The values that are shown as black and as white: 0 and 255 of 8 bits, else those that a
    two-hundredth of the image lies below and above, so that one bright voxel darkens nothing.

    >>> shown_range(np.array([0.0, *range(1000), 10**6]))
    (4.005, 994.995)
    """
    array = np.asarray(image)
    if array.dtype == np.uint8:
        return 0.0, 255.0
    finite = array[np.isfinite(array)]
    low, high = np.percentile(finite, (0.5, 99.5)).round(6) if finite.size else (0.0, 1.0)
    return float(low), float(high)


def to_rgb(image: NDArray) -> NDArray[np.uint8]:
    """`(H, W, 3)` to look at, from `(H, W, C)`: 8-bit as it is, others over `shown_range`.

    Of more than three channels the first three are shown, of two the first.

    >>> to_rgb(np.linspace(0, 1000, 12).reshape(3, 4, 1)).max()
    np.uint8(255)
    """
    array = np.asarray(image)
    if array.dtype != np.uint8:
        low, high = shown_range(array)
        scaled = np.clip((array - low) / max(high - low, 1e-12), 0, 1)
        array = np.rint(255 * np.nan_to_num(scaled)).astype(np.uint8)
    return np.repeat(array[..., :1], 3, axis=-1) if array.shape[-1] < 3 else array[..., :3]


def style() -> AbstractContextManager[None]:
    """The look of all figures."""
    import matplotlib  # not above: what shows images alone needs none

    return matplotlib.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#666666",
            "axes.labelcolor": "#333333",
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "xtick.color": "#555555",
            "ytick.color": "#555555",
            "legend.frameon": False,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "savefig.dpi": 160,
        }
    )
