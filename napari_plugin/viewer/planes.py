"""Slices of a volume at right angles to each other, as radiologists have them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_plugin.viewer.anatomy import OPPOSITE, UP_OR_LEFT, WORLD
from napari_plugin.viewer.contours import outline
from napari_plugin.viewer.style import CASING

__all__ = ["Plane", "picture", "planes", "shown_layers"]

# World axes of the slider, of the vertical and of the horizontal.
NAMED = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
AS_STORED = ((0, 1, 2), (1, 0, 2), (2, 0, 1))


class Plane(NamedTuple):
    """Slices across one axis of a volume, and how they are turned.

    Attributes:
        name: "axial", "coronal" or "sagittal"; "axis 0" and so on where the sides are not known.
        slider, down, right: Axes of the stored array.
        flipped: Whether the first index is below, and whether it is on the right.
        sides: Letters of the patient's sides above, below, on the left and on the right.
    """

    name: str
    slider: int
    down: int
    right: int
    flipped: tuple[bool, bool] = (False, False)
    sides: tuple[str, str, str, str] = ("", "", "", "")

    def cut(self, array: NDArray[Any], at: int) -> NDArray[Any]:
        """The slice `at` of `(*spatial, ...)`, with the rows downwards."""
        slices = np.moveaxis(array, (self.slider, self.down, self.right), (0, 1, 2))
        rows, columns = (slice(None, None, -1 if flip else None) for flip in self.flipped)
        return slices[at, rows, columns]


def planes(letters: str = "") -> tuple[Plane, ...]:
    """The three planes of a volume.

    Args:
        letters: Of the sides to which its indices grow; see `napari_plugin.viewer.anatomy.towards`.

    >>> [(plane.name, plane.slider, plane.sides) for plane in planes("LPS")][0]
    ('axial', 2, ('A', 'P', 'R', 'L'))
    """
    if not letters:
        return tuple(Plane(f"axis {axes[0]}", *axes) for axes in AS_STORED)
    axis = {WORLD[letter]: number for number, letter in enumerate(letters)}
    found = []
    for name, worlds in NAMED.items():
        slider, down, right = (axis[world] for world in worlds)
        flipped = (letters[down] in UP_OR_LEFT, letters[right] in UP_OR_LEFT)
        sides: list[str] = []
        for at, flip in zip((down, right), flipped, strict=True):
            ends = (OPPOSITE[letters[at]], letters[at])
            sides += ends[::-1] if flip else ends
        found.append(Plane(name, slider, down, right, flipped, (*sides,)))  # type: ignore[arg-type]
    return tuple(found)


def shown_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Images and masks that are visible and lie on the grid of the lowest volume among them."""
    volumes = [x for x in layers if isinstance(x, (Image, Labels)) and x.visible and x.ndim > 2]
    return [
        layer
        for layer in volumes
        if _grid(layer) == _grid(volumes[0])
        and np.allclose(layer.scale[-3:], volumes[0].scale[-3:])
    ]


def picture(
    layers: Sequence[Layer], plane: Plane, at: int, first: Sequence[int] = ()
) -> NDArray[np.uint8]:
    """A slice of all layers, one over the other.

    Args:
        layers: See `shown_layers`; the lowest first.
        plane: Its plane.
        at: Its index.
        first: Of layers with further axes in front, such as channels, the indices along these.

    Returns:
        `(rows, columns, 3)`.
    """
    shape = _grid(layers[0])
    seen = np.zeros((shape[plane.down], shape[plane.right], 3), np.float32)
    for layer in layers:
        extra = layer.ndim - 3
        volume = layer.data[tuple(first[:extra]) if extra else ()]
        part = np.asarray(plane.cut(volume, at))
        if isinstance(layer, Labels):
            colours = _coloured(layer, part)
            share = colours[..., 3:] * np.float32(layer.opacity)
            seen += share * (colours[..., :3] - seen)
        else:
            seen += np.float32(layer.opacity) * (_grey(layer, part) - seen)
    return (255 * np.clip(seen, 0, 1)).astype(np.uint8)


def _grid(layer: Layer) -> tuple[int, ...]:
    shape = layer.data.shape[:-1] if getattr(layer, "rgb", False) else layer.data.shape
    return tuple(shape[-3:])


def _grey(layer: Image, part: NDArray[Any]) -> NDArray[np.float32]:
    if layer.rgb:
        whole = np.float32(255 if part.dtype == np.uint8 else 1)
        return np.asarray(part[..., :3] / whole, np.float32)
    low, high = layer.contrast_limits
    grey = (part.astype(np.float32) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(grey, 0, 1)[..., None], np.float32)


def _coloured(layer: Labels, part: NDArray[Any]) -> NDArray[np.float32]:
    if layer.contour and part.dtype == np.uint8:
        part = outline(part, 1)
    if part.dtype != np.uint8:
        values, part = np.unique(part, return_inverse=True)
    else:
        values = np.arange(256, dtype=np.uint8)
    table = np.asarray(layer.colormap.map(values), np.float32)
    if layer.contour:
        table[values == CASING] = (0, 0, 0, 1)
    return table[part]
