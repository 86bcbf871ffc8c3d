"""How images and figures look, everywhere."""

from contextlib import AbstractContextManager

import matplotlib
import numpy as np
from numpy.typing import NDArray


def to_rgb(image: NDArray) -> NDArray[np.uint8]:
    """`(H, W, 3)` to look at, from `(H, W, C)`: 8-bit as it is, others between percentiles.

    >>> to_rgb(np.linspace(0, 1000, 12).reshape(3, 4, 1)).max()
    np.uint8(255)
    """
    array = np.asarray(image)
    if array.dtype != np.uint8:
        finite = array[np.isfinite(array)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
        scaled = np.clip((array - low) / max(high - low, 1e-12), 0, 1)
        array = np.rint(255 * np.nan_to_num(scaled)).astype(np.uint8)
    return np.repeat(array[..., :1], 3, axis=-1) if array.shape[-1] < 3 else array[..., :3]


def style() -> AbstractContextManager[None]:
    """The look of all figures."""
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


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) to look at, `(H, W, 3)` `uint8`; deeper ones from black to white.

    >>> as_rgb(np.array([[[0.5], [2.5]]]))[0].tolist()
    [[0, 0, 0], [255, 255, 255]]
    """
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = (255 * (image - low) / max(high - low, 1e-12)).astype(np.uint8)
    return np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]
