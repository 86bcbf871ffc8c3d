"""Contours of masks that are as wide as the image needs, in time that does not grow with width.

A line in the colour of its class has a dark casing on both sides, so that it is seen on skin, on
white and on black: see `napari_plugin.viewer.style.contour_colour`.
"""

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_plugin.viewer.style import CASING

__all__ = ["contour", "draw_contour", "drop_contour", "line_width", "outline"]

DASH = 6  # lengths of a dash, and of the gap after it, in widths of the line


def contour(labels: NDArray[Any], width: int) -> NDArray[Any]:
    """Labels along their boundaries, 0 elsewhere; napari's own takes pixels × width² steps.

    Args:
        labels: `(rows, columns)`.
        width: Pixels from the boundary inwards, at least 1.

    >>> contour(np.array([[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 2, 2, 2, 2, 2, 2]]), 1)[:, 1:].tolist()
    [[0, 0, 0, 0, 0, 0, 0], [0, 2, 2, 2, 2, 2, 2]]
    """
    drawn = np.zeros_like(labels)
    box = _box(labels, 1)
    if box is not None:
        drawn[box] = labels[box] * _widened(_edges(labels[box]), width - 1)
    return drawn


def outline(labels: NDArray[Any], width: int, dashed: bool = False) -> NDArray[Any]:
    """A contour with a casing of label `CASING`, half as wide, on both sides.

    A line of one pixel has it outside alone: much of a small image would be under it.

    Args:
        labels: `(rows, columns)`.
        width: Pixels from the boundary inwards, at least 1.
        dashed: Whether the line has gaps.

    >>> outline(np.array([[0, 0, 0, 2, 2, 2, 2, 2]]), 1).tolist()
    [[0, 0, 251, 2, 0, 0, 0, 0]]
    """
    drawn, casing = np.zeros_like(labels), max(1, width // 2)
    box = _box(labels, casing)
    if box is None:
        return drawn
    inside = labels[box]
    edges = _edges(inside)
    # What is near the boundary by less than `casing` is in all that is near by more.
    narrow = _widened(edges, casing - 1)
    line = _widened(narrow, width - casing)
    around = line if width == 1 else _widened(line, casing)
    shown = np.where(line, inside, 0)
    cased = (shown == 0) & np.where(inside != 0, around, narrow)
    shown[cased] = CASING
    if dashed:
        # Gaps follow the columns along a line that runs across, the rows along one that runs down.
        across = _widened(_edges(inside, (0,)), width + casing)
        rows, columns = (
            (at.start + np.arange(n)) // (DASH * width) % 2
            for at, n in zip(box, inside.shape, strict=True)
        )
        shown[np.where(across, columns, rows[:, None]) == 1] = 0
    drawn[box] = shown
    return drawn


def line_width(shape: tuple[int, ...]) -> int:
    """Width of the line for an image: 1/300 of its side, for thin lines vanish in a small window.

    >>> line_width((2000, 3000)), line_width((256, 256))
    (10, 1)
    """
    return max(1, round(max(shape[-2:]) / 300))


def draw_contour(layer: Labels, dashed: bool = False, drawn: NDArray[Any] | None = None) -> None:
    """Show a layer as a contour; its data stay what they are.

    Args:
        layer: Its colour map should have a colour for `CASING`.
        dashed: See `outline`.
        drawn: `outline` of the data, where it is known.
    """
    width, data = line_width(layer.data.shape), layer.data

    def part(labels: NDArray, at: tuple[slice, ...]) -> NDArray | None:
        if layer.contour < 1 or labels.ndim > 2:
            return None
        as_stored = (labels.shape, labels.strides) == (data.shape, data.strides)
        if drawn is not None and layer.data is data and layer.contour == width and as_stored:
            return drawn[at]
        return _part(labels, at, int(layer.contour), dashed)

    vars(layer)["_calculate_contour"] = part
    if layer.contour != width:
        layer.contour = width
    else:
        layer.refresh(extent=False, thumbnail=False)


def drop_contour(layer: Labels) -> None:
    """Draw no contour until `draw_contour` is called: new data are filled in without a wait."""
    vars(layer)["_calculate_contour"] = lambda labels, at: None


def _part(labels: NDArray, at: tuple[slice, ...], width: int, dashed: bool) -> NDArray:
    """What napari asks a layer for: the contour within a part of the plane in view."""
    period = 2 * DASH * width if dashed else 1  # a part begins where a dash of the whole does
    reach = 2 * width + 1
    wider = tuple(slice(max(0, s.start - reach) // period * period, s.stop + reach) for s in at)
    cut = tuple(
        slice(s.start - out.start, s.stop - out.start) for s, out in zip(at, wider, strict=True)
    )
    return outline(labels[wider], width, dashed)[cut]


def _box(labels: NDArray[Any], margin: int) -> tuple[slice, slice] | None:
    """What is labelled, and a margin around it; `None` where nothing is."""
    rows, columns = (np.flatnonzero(np.any(labels, axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    first, last = ([at[end] for at in (rows, columns)] for end in (0, -1))
    return (
        slice(max(0, first[0] - margin), last[0] + 1 + margin),
        slice(max(0, first[1] - margin), last[1] + 1 + margin),
    )


def _edges(labels: NDArray[Any], axes: tuple[int, ...] = (0, 1)) -> NDArray[np.bool_]:
    """Pixels with a neighbour of another label along one of some axes."""
    near = np.zeros(labels.shape, bool)
    for axis in axes:
        along, found = np.moveaxis(labels, axis, 0), np.moveaxis(near, axis, 0)
        differ = along[1:] != along[:-1]
        found[1:] |= differ
        found[:-1] |= differ
    return near


def _widened(near: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Dilated by a square that reaches `by` pixels to each side."""
    near = near.copy()
    for axis in range(2):
        found, reach = np.moveaxis(near, axis, 0), 0
        while reach < by:  # what is widened by `reach`, moved by no more than that, has no gap
            step = min(2 * reach + 1, by - reach)
            before = found.copy()
            found[step:] |= before[:-step]
            found[:-step] |= before[step:]
            reach += step
    return near
