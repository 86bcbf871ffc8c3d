"""Pictures of suspicious masks: the image with mask and prediction, beside the error map."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from keras_robust.data.files.maps import above_half
from keras_robust.reports.look import to_rgb

# Distinct for colour-blind readers (Okabe and Ito), and against skin and grey tissue.
MASK_COLOUR, PREDICTION_COLOUR = "#E69F00", "#56B4E9"
ERROR_COLOURS = "magma"
_OVERSAMPLING = 2
CONTEXT, LEAST_SHARE = 1.8, 0.25  # of the sides of what is shown, and of the whole picture


def panel(
    image: NDArray,
    labels: NDArray,
    predicted: NDArray,
    error: NDArray,
    spacing: Sequence[float] | None = None,
    side: int = 320,
    at: Sequence[int] | None = None,
) -> tuple[bytes, str]:
    """An image with the contours of mask and prediction, and its error map to the right.

    Both are cut to where mask and prediction are, with some of what is around. Of a volume, the
    slice is shown that goes through `at`, or that has most error, across the axis along which
    voxels are longest.

    Args:
        image: `(*spatial, C)`.
        labels: `(*spatial)`, the mask.
        predicted: `(*spatial)`, the labels of the prediction.
        error: `(*spatial)`, 0..255.
        spacing: Distance between elements along each axis; `None` for all the same.
        side: Length of the longer side of the picture, in pixels.
        at: An element that a slice should go through.

    Returns:
        A JPEG, and what it shows of a volume, such as "slice 12 of 30"; "" in 2-D.

    >>> empty = np.zeros((8, 8), np.uint8)
    >>> content, shown = panel(np.zeros((8, 8, 3), np.uint8), empty, empty, empty, side=16)
    >>> content[:2] == bytes([255, 216]), shown
    (True, '')
    """
    spacing = tuple(spacing or (1.0,) * labels.ndim)
    shown = ""
    if labels.ndim == 3:
        axis, index = _worst_slice(error, spacing)
        if at is not None:
            index = min(max(at[axis], 0), labels.shape[axis] - 1)
        shown = f"slice {index + 1} of {labels.shape[axis]}"
        # As radiologists look at it: the second remaining axis upwards.
        image = np.rot90(np.take(image, index, axis))
        labels, predicted, error = (
            np.rot90(np.take(array, index, axis)) for array in (labels, predicted, error)
        )
        first, second = (length for number, length in enumerate(spacing) if number != axis)
        spacing = (second, first)
    window = _window((labels > 0) | (predicted > 0) | above_half(error))
    image, labels, predicted, error = (array[window] for array in (image, labels, predicted, error))
    height, width = (length * step for length, step in zip(labels.shape, spacing, strict=True))
    scale = _OVERSAMPLING * side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left = Image.fromarray(to_rgb(image)).resize(size, Image.Resampling.BILINEAR)
    right = Image.fromarray(_coloured(error)).resize(size, Image.Resampling.BILINEAR)
    per_element = (size[1] / labels.shape[0], size[0] / labels.shape[1])
    for picture, colour, drawn in (
        (left, PREDICTION_COLOUR, predicted),
        (left, MASK_COLOUR, labels),
        (right, "#FFFFFF", labels),
    ):
        _draw_contours(picture, drawn, per_element, colour)
    gap = 4 * _OVERSAMPLING
    both = Image.new("RGB", (2 * size[0] + gap, size[1]), "#808080")
    both.paste(left, (0, 0))
    both.paste(right, (size[0] + gap, 0))
    small = both.resize(
        (both.width // _OVERSAMPLING, max(1, both.height // _OVERSAMPLING)),
        Image.Resampling.LANCZOS,
    )
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=88, subsampling=0)
    return buffer.getvalue(), shown


def _worst_slice(error: NDArray, spacing: Sequence[float]) -> tuple[int, int]:
    """Axis and index of the slice with the most elements that are probably wrong."""
    axis = max(range(3), key=lambda number: (spacing[number], number))
    others = tuple(number for number in range(3) if number != axis)
    wrong = above_half(error).sum(axis=others)
    return axis, int(np.lexsort((error.sum(axis=others, dtype=np.int64), wrong))[-1])


def _window(shown: NDArray) -> tuple[slice, slice]:
    """The part of a picture around what is to be seen, in the picture's own proportions."""
    if not shown.any():
        return slice(None), slice(None)
    spans = [np.flatnonzero(shown.any(axis=1 - axis)) for axis in (0, 1)]
    lengths = [int(span[-1] - span[0]) + 1 for span in spans]
    shares = (n / whole for n, whole in zip(lengths, shown.shape, strict=True))
    share = min(1.0, max(CONTEXT * max(shares), LEAST_SHARE))
    window = []
    for span, whole in zip(spans, shown.shape, strict=True):
        size = max(1, round(share * whole))
        start = int(np.clip((int(span[0]) + int(span[-1]) + 1 - size) // 2, 0, whole - size))
        window.append(slice(start, start + size))
    return window[0], window[1]


def _coloured(error: NDArray) -> NDArray[np.uint8]:
    colours = matplotlib.colormaps[ERROR_COLOURS](np.arange(256), bytes=True)
    return np.ascontiguousarray(colours[np.asarray(error, np.uint8)][..., :3])


def _draw_contours(
    picture: Image.Image, labels: NDArray, per_element: tuple[float, float], colour: str
) -> None:
    draw = ImageDraw.Draw(picture)
    lines = []
    for label in np.unique(labels[labels > 0]):
        # A border of background closes the contours of what touches the edge.
        padded = np.pad(labels == label, 1).astype(np.float32)
        for line in find_contours(padded, 0.5):
            rows, columns = ((line - 0.5) * per_element).T
            lines.append(list(zip(columns.tolist(), rows.tolist(), strict=True)))
    for width, shade in ((5 * _OVERSAMPLING, "#000000"), (3 * _OVERSAMPLING, colour)):
        for points in lines:
            draw.line(points, fill=shade, width=width, joint="curve")
