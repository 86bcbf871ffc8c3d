"""Tools that look at the image: the range of values of a class, and what a stroke belongs to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.review.tools.regions import box_of, checked_spacing

__all__ = ["intensity_range", "smart_brush"]

MOST_ELEMENTS = 60_000  # of the box of a random walker, which takes about a second then
EDGES = 130.0  # how much a step of the values, in their standard deviations, holds a walker back


def intensity_range(
    image: NDArray, labels: NDArray[np.uint8], label: int
) -> tuple[float, float] | None:
    """The values that 90 % of a class have in an image; `None` where the class is nowhere.

    Args:
        image: `(*spatial)`.
        labels: `(*spatial)`.
        label: The class.

    >>> intensity_range(np.arange(101.0), np.ones(101, np.uint8), 1)
    (5.0, 95.0)
    """
    values = image[labels == label]
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = np.percentile(values, (5, 95))
    return float(low), float(high)


def smart_brush(
    image: NDArray,
    labels: NDArray[np.uint8],
    label: int,
    stroke: NDArray[np.bool_],
    reach: float,
    spacing: Sequence[float] | None = None,
    axis: int | None = None,
) -> NDArray[np.uint8]:
    """Give a class what hangs together with a stroke, by the values of the image.

    A random walker (Grady 2006, https://doi.org/10.1109/TPAMI.2006.233) starts everywhere in a box
    around the stroke: what more likely reaches the stroke than the edge of the box, or another
    class, is the class. Only background is taken, and nothing is taken away.

    Args:
        image: `(*spatial)` or `(*spatial, C)`.
        labels: `(*spatial)`; not changed.
        label: The class.
        stroke: `(*spatial)`, where the class certainly is.
        reach: Of the box around the stroke, in mm, or in elements where there is no spacing.
        spacing: In mm, one per axis.
        axis: Across slices, where the class is to be found in those of the stroke alone.

    Raises:
        ValueError: Another shape, spacing or reach.
    """
    steps = checked_spacing(spacing, labels.ndim)
    if stroke.shape != labels.shape or image.shape[: labels.ndim] != labels.shape:
        raise invalid("stroke", f"arrays of shape {labels.shape}", (image.shape, stroke.shape))
    if not (np.isfinite(reach) and reach > 0):
        raise invalid("reach", "a distance above 0", reach)
    margin = [
        0 if number == axis else int(np.ceil(reach / step)) for number, step in enumerate(steps)
    ]
    box = box_of(stroke, margin)
    if box is None:
        return labels.copy()
    foreign = (labels[box] != 0) & (labels[box] != label)
    for number, at in enumerate(box):  # the object may go on where the image ends
        sides = np.moveaxis(foreign, number, 0)
        if number != axis and at.start > 0:
            sides[0] = True
        if number != axis and at.stop < labels.shape[number]:
            sides[-1] = True
    likely = _walk(_grey(image, labels.ndim)[box], foreign, stroke[box], steps)
    result = labels.copy()
    part = result[box]
    part[((likely > 0.5) | stroke[box]) & (part == 0)] = label
    return result


def _grey(image: NDArray, ndim: int) -> NDArray:
    return image if image.ndim == ndim else image.mean(axis=-1)


def _walk(
    image: NDArray, foreign: NDArray[np.bool_], stroke: NDArray[np.bool_], steps: Sequence[float]
) -> NDArray[np.float32]:
    """How likely a walker from each element of a box reaches the stroke before what is foreign."""
    from scipy.ndimage import zoom
    from skimage.segmentation import random_walker

    axes = [axis for axis in range(image.ndim) if image.shape[axis] > 1]
    shape = tuple(image.shape[axis] for axis in axes)
    coarse = max(1, int(np.ceil((np.prod(shape) / MOST_ELEMENTS) ** (1 / max(1, len(shape))))))
    thin = (slice(None, None, coarse),) * len(shape)
    values = _standard(image.reshape(shape)[thin].astype(np.float32))
    marks = np.where(foreign.reshape(shape)[thin], 2, 0)
    marks[tuple(index // coarse for index in np.nonzero(stroke.reshape(shape)))] = 1
    if not np.ptp(values) or len(shape) < 2 or set(np.unique(marks)) != {0, 1, 2}:
        return stroke.astype(np.float32)
    likely = random_walker(
        values,
        marks,
        beta=EDGES,
        mode="cg_j",
        tol=1e-3,
        prob_tol=0.05,
        return_full_prob=True,
        spacing=[steps[axis] for axis in axes],
    )[0]
    if coarse > 1:
        likely = zoom(likely, [n / m for n, m in zip(shape, likely.shape, strict=True)], order=1)
    return np.where(foreign, 0, likely.reshape(image.shape)).astype(np.float32)


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in standard deviations, of which extremes are cut; scikit-image has beta per these."""
    from scipy.ndimage import gaussian_filter

    low, high = np.percentile(values[np.isfinite(values)], (1, 99))
    clean = gaussian_filter(np.clip(np.nan_to_num(values, nan=low), low, high), 0.7)
    return clean / (clean.std() or 1.0)
