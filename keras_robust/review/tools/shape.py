"""The outline of a class: grown, shrunk, smoothed, filled, or moved to that of a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.review.tools.regions import box_of, checked_spacing, moved_class

__all__ = ["fill_holes", "grow", "shrink", "smooth", "snap"]


def grow(
    labels: NDArray[np.uint8], label: int, mm: float, spacing: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Let a class take the background that is no further from it than `mm`.

    Args:
        labels: `(*spatial)`; not changed.
        label: The class.
        mm: Distance, above 0; in elements where there is no spacing.
        spacing: In mm, one per axis.

    Raises:
        ValueError: A distance or spacing that is none.

    >>> grow(np.array([0, 0, 0, 1, 0, 2], np.uint8), 1, 2.0).tolist()
    [0, 1, 1, 1, 1, 2]
    """
    from scipy.ndimage import distance_transform_edt

    found = _cut(labels, label, mm, spacing)
    if found is None:
        return labels.copy()
    inside, box, steps = found
    far = distance_transform_edt(~inside, sampling=steps)
    return moved_class(labels, label, far <= mm, box)


def shrink(
    labels: NDArray[np.uint8], label: int, mm: float, spacing: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Take from a class what is no further from its outside than `mm`; the image's edge is none.

    Args and errors: see `grow`.

    >>> shrink(np.array([1, 1, 1, 1, 0, 2], np.uint8), 1, 2.0).tolist()
    [1, 1, 0, 0, 0, 2]
    """
    from scipy.ndimage import distance_transform_edt

    found = _cut(labels, label, mm, spacing)
    if found is None or found[0].all():
        return labels.copy()
    inside, box, steps = found
    deep = distance_transform_edt(inside, sampling=steps)
    return moved_class(labels, label, deep > mm, box)


def smooth(
    labels: NDArray[np.uint8], label: int, mm: float, spacing: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Take away bays and spurs of a class that are narrower than about `mm`; a ball stays a ball.

    The class is where its blurred mask, by a Gaussian of standard deviation `mm` / 2, is over half.

    Args and errors: see `grow`.
    """
    from scipy.ndimage import gaussian_filter

    found = _cut(labels, label, 2 * mm, spacing)
    if found is None:
        return labels.copy()
    inside, box, steps = found
    blurred = gaussian_filter(
        inside.astype(np.float32), [mm / 2 / step for step in steps], mode="nearest"
    )
    return moved_class(labels, label, blurred > 0.5, box)


def fill_holes(labels: NDArray[np.uint8], label: int) -> NDArray[np.uint8]:
    """Let a class take the background that it encloses; other classes inside it stay.

    >>> fill_holes(np.array([[1, 1, 1, 1], [1, 0, 2, 1], [1, 1, 1, 1]], np.uint8), 1)[1].tolist()
    [1, 1, 2, 1]
    """
    from scipy.ndimage import binary_fill_holes

    box = box_of(labels == label, (1,) * labels.ndim)
    if box is None:
        return labels.copy()
    return moved_class(labels, label, binary_fill_holes(labels[box] == label), box)


def snap(
    labels: NDArray[np.uint8],
    label: int,
    evidence: NDArray[np.uint8],
    mm: float,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.uint8]:
    """Move the outline of a class to that of a model where the two are no further apart than `mm`.

    What is further from the outline than `mm` stays as it is.

    Args:
        evidence: `(*spatial)`, labels by the model.

    Others and errors: see `grow`.

    >>> snap(np.array([0, 0, 1, 1, 1, 1, 0, 0, 0], np.uint8), 1,
    ...      np.array([0, 0, 0, 1, 1, 1, 1, 0, 1], np.uint8), 1.0).tolist()
    [0, 0, 0, 1, 1, 1, 1, 0, 0]
    """
    from scipy.ndimage import distance_transform_edt

    if evidence.shape != labels.shape:
        raise invalid("evidence", f"labels of shape {labels.shape}", evidence.shape)
    found = _cut(labels, label, mm, spacing)
    if found is None or found[0].all():
        return labels.copy()
    inside, box, steps = found
    outside = distance_transform_edt(~inside, sampling=steps)
    deep = distance_transform_edt(inside, sampling=steps)
    near = np.where(inside, deep, outside) <= mm
    return moved_class(labels, label, np.where(near, evidence[box] == label, inside), box)


def _cut(
    labels: NDArray[np.uint8], label: int, mm: float, spacing: Sequence[float] | None
) -> tuple[NDArray[np.bool_], tuple[slice, ...], tuple[float, ...]] | None:
    """Where a class is, within a box that has room for `mm` around it; `None` where it is not."""
    steps = checked_spacing(spacing, labels.ndim)
    if not (np.isfinite(mm) and mm > 0):
        raise invalid("mm", "a distance above 0", mm)
    inside = labels == label
    box = box_of(inside, [int(np.ceil(mm / step)) + 1 for step in steps])
    return None if box is None else (inside[box], box, steps)
