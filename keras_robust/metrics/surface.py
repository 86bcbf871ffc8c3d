"""Distances between the surfaces of two segmentations, in mm, weighted by surface area."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import find_objects

from keras_robust.common.errors import invalid
from keras_robust.metrics.labels import Score, checked_spacing, label_pair, scores
from keras_robust.metrics.surface_distances import SurfaceDistances, surface_distances

__all__ = [
    "SurfaceMetrics",
    "average_surface_distance",
    "hausdorff_distance",
    "surface_dice",
    "surface_metrics",
]


@dataclass(frozen=True)
class SurfaceMetrics:
    """Surface measures of two segmentations; floats, or arrays with one value per label.

    Attributes:
        average_mm: Average symmetric surface distance, over both surfaces together.
        average_a_to_b_mm: Average distance from the surface of `a` to that of `b`.
        average_b_to_a_mm: Average distance from the surface of `b` to that of `a`.
        hausdorff_mm: Hausdorff distance, the greatest of all.
        hausdorff95_mm: The greater of the 95th percentiles of the distances from either side.
        surface_dice: Share of both surfaces that lies within the tolerance of the other.
    """

    average_mm: Score
    average_a_to_b_mm: Score
    average_b_to_a_mm: Score
    hausdorff_mm: Score
    hausdorff95_mm: Score
    surface_dice: Score


def surface_metrics(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    tolerance_mm: float | Sequence[float] = 1.0,
    *,
    classes: int = 2,
    empty_mm: float = 0.0,
    missing_mm: float = math.inf,
    empty: float = 1.0,
    missing: float = 0.0,
) -> SurfaceMetrics:
    """All surface measures of two label arrays, from one pass.

    The surface runs between the elements, and around what touches the border of the array; each
    of its elements weighs as much as its area (in 2-D, its length), as in Nikolov et al.

    Args:
        a: Labels of shape (H, W) or (D, H, W), boolean or integer. With two classes everything
            that is not zero is foreground.
        b: Labels of the same shape.
        spacing_mm: Distance between neighbouring elements along each axis, in mm.
        tolerance_mm: Distance up to which two surfaces count as one, for `surface_dice`; a number
            or one per foreground label.
        classes: Number of classes, background included.
        empty_mm: The distances where a class is in neither array.
        missing_mm: The distances where a class is in one array only.
        empty: The surface Dice where a class is in neither array.
        missing: The surface Dice where a class is in one array only.

    Returns:
        Floats for two classes; arrays of shape (classes - 1,), one value per foreground label,
        for more.

    Raises:
        ValueError: Arrays are neither 2-D nor 3-D, differ in shape, are not integer or hold labels
            out of range; spacing or tolerance do not fit.

    References:
        Nikolov et al. 2018, https://arxiv.org/abs/1809.04430

    >>> a, b = np.zeros((2, 8, 8), int)
    >>> a[2:6, 2:5] = b[2:6, 2:6] = 1
    >>> found = surface_metrics(a, b, spacing_mm=(1.0, 0.5), tolerance_mm=0.4)
    >>> found.hausdorff_mm, round(found.average_mm, 3), round(found.surface_dice, 3)
    (0.5, 0.166, 0.668)
    """
    first, second, spacing = _checked(a, b, spacing_mm, classes)
    tolerances = _tolerances(tolerance_mm, classes)
    missing_row = (*[missing_mm] * 5, missing)
    rows: list[tuple[float, ...]] = []
    for found, tolerance in zip(
        _per_class(first, second, spacing, classes), tolerances, strict=True
    ):
        if isinstance(found, SurfaceDistances):
            rows.append(
                (
                    found.average(),
                    found.a_to_b.average(),
                    found.b_to_a.average(),
                    found.percentile(100),
                    found.percentile(95),
                    found.dice(tolerance),
                )
            )
        else:
            rows.append(missing_row if found else (*[empty_mm] * 5, empty))
    return SurfaceMetrics(*(scores(column) for column in zip(*rows, strict=True)))


def average_surface_distance(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    classes: int = 2,
    empty: float = 0.0,
    missing: float = math.inf,
) -> Score:
    """Average symmetric surface distance in mm.

    Args:
        a, b, spacing_mm, classes: As in `surface_metrics`.
        empty, missing: The value where a class is in neither array, or in one only.

    Returns and raises: as `surface_metrics`.

    >>> average_surface_distance([[0, 1, 0, 0]], [[0, 0, 1, 0]], (1.0, 1.0))
    0.5
    """
    return _measure(a, b, spacing_mm, classes, SurfaceDistances.average, empty, missing)


def hausdorff_distance(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    percentile: float = 100.0,
    classes: int = 2,
    empty: float = 0.0,
    missing: float = math.inf,
) -> Score:
    """Hausdorff distance in mm, or its robust form, as HD95 with `percentile=95`.

    Args:
        a, b, spacing_mm, classes: As in `surface_metrics`.
        percentile: Share of either surface, by area, that is as close to the other; in (0, 100].
        empty, missing: The value where a class is in neither array, or in one only.

    Returns and raises: as `surface_metrics`.

    References:
        Huttenlocher et al. 1993, https://doi.org/10.1109/34.232073

    >>> hausdorff_distance([[1, 0, 0, 0]], [[1, 1, 1, 0]], (1.0, 0.5))
    1.0
    """
    if not 0 < percentile <= 100:
        raise invalid("percentile", "0 < percentile <= 100", said=f"percentile={percentile}")

    def measure(distances: SurfaceDistances) -> float:
        return distances.percentile(percentile)

    return _measure(a, b, spacing_mm, classes, measure, empty, missing)


def surface_dice(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
    *,
    classes: int = 2,
    empty: float = 1.0,
    missing: float = 0.0,
) -> Score:
    """Share of both surfaces that lies within a tolerance of the other.

    Args:
        a, b, spacing_mm, classes: As in `surface_metrics`.
        tolerance_mm: Distance up to which two surfaces count as one.
        empty, missing: The value where a class is in neither array, or in one only.

    Returns and raises: as `surface_metrics`.

    References:
        Nikolov et al. 2018, https://arxiv.org/abs/1809.04430

    >>> a, b = [[0, 1, 0, 0]], [[0, 0, 1, 0]]
    >>> surface_dice(a, b, (1.0, 1.0), 0.0), surface_dice(a, b, (1.0, 1.0), 1.0)
    (0.5, 1.0)
    """
    tolerance = _tolerances(tolerance_mm, 2)[0]

    def measure(distances: SurfaceDistances) -> float:
        return distances.dice(tolerance)

    return _measure(a, b, spacing_mm, classes, measure, empty, missing)


def _measure(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    classes: int,
    measure: Callable[[SurfaceDistances], float],
    empty: float,
    missing: float,
) -> Score:
    first, second, spacing = _checked(a, b, spacing_mm, classes)
    return scores(
        [
            measure(found) if isinstance(found, SurfaceDistances) else missing if found else empty
            for found in _per_class(first, second, spacing, classes)
        ]
    )


def _per_class(
    a: NDArray[np.integer], b: NDArray[np.integer], spacing: tuple[float, ...], classes: int
) -> Iterator[SurfaceDistances | bool]:
    """For each foreground label its distances, or else whether one array holds it."""
    boxes = [_boxes(labels, classes) for labels in (a, b)]
    for label, (one, other) in enumerate(zip(*boxes, strict=True), start=1):
        if one is None or other is None:
            yield one is not other
            continue
        box = tuple(
            slice(min(p.start, q.start), max(p.stop, q.stop))
            for p, q in zip(one, other, strict=True)
        )
        yield surface_distances(a[box] == label, b[box] == label, spacing)


def _boxes(labels: NDArray[np.integer], classes: int) -> list[tuple[slice, ...] | None]:
    """The bounding box of each foreground label, `None` without elements."""
    if classes > 2:
        return find_objects(labels, classes - 1)
    # Quicker for one label, whose rows need not be read to their ends.
    box: list[slice] = []
    mask: NDArray = labels.view(bool)
    while mask.ndim:
        held = np.flatnonzero(mask.reshape(len(mask), prod(mask.shape[1:])).any(axis=1))
        if not held.size:
            return [None]
        box.append(slice(int(held[0]), int(held[-1]) + 1))
        mask = np.any(mask[box[-1]], axis=0)
    return [tuple(box)]


def _checked(
    a: ArrayLike, b: ArrayLike, spacing_mm: Sequence[float], classes: int
) -> tuple[NDArray[np.integer], NDArray[np.integer], tuple[float, ...]]:
    first, second = label_pair(a, b, classes)
    if first.ndim not in (2, 3):
        raise invalid(
            "a",
            "2 or 3 dimensions",
            said=f"a.shape={first.shape}",
            remedy="Pass one image at a time, without channels.",
        )
    return first, second, checked_spacing(spacing_mm, first.ndim)


def _tolerances(tolerance_mm: float | Sequence[float], classes: int) -> NDArray[np.float64]:
    given = np.asarray(tolerance_mm, float)
    if given.shape not in ((), (classes - 1,)) or not (given >= 0).all():
        raise invalid(
            "tolerance_mm",
            (f"a number that is not negative, or {classes - 1} of them, one per foreground label"),
            said=f"tolerance_mm={tolerance_mm}",
        )
    return np.broadcast_to(given, (classes - 1,))
