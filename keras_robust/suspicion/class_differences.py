"""Figures of each class: how mask and prediction differ in size and surface."""

from dataclasses import dataclass
from math import nan, prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from keras_robust.metrics.surface_distances import surface_distances
from keras_robust.suspicion.base import once_per_mask
from keras_robust.suspicion.judged import Comparison

__all__ = ["ClassDifferences", "class_differences", "soft_dice_score", "surface_score"]


@dataclass(frozen=True)
class ClassDifferences:
    """How mask and prediction differ in one foreground class.

    Lengths are in mm, areas in mm² and volumes in mm³ where the spacing is known, else in elements.

    Attributes:
        label: The class.
        area: Area or volume of the mask.
        predicted_area: Area or volume of the prediction.
        dice: Of mask and prediction; `nan` where neither holds the class.
        surface_offset: How far the surface of the mask lies outside that of the prediction,
            negative where it lies inside: the difference of their areas over the mean length of
            their outlines (in 3-D, of their volumes over the mean area of their surfaces); `nan`
            where one of them lacks the class, as for the distances.
        average_surface_distance: Average symmetric distance of the surfaces.
        hausdorff95: The greater of the 95th percentiles of the distances from either side.
    """

    label: int
    area: float
    predicted_area: float
    dice: float
    surface_offset: float
    average_surface_distance: float
    hausdorff95: float


@once_per_mask
def class_differences(comparison: Comparison) -> tuple[ClassDifferences, ...]:
    """The figures of every foreground class, in the order of their labels."""
    labels, predicted, spacing = comparison.labels, comparison.predicted, comparison.spacing
    counts = [
        np.bincount(array.ravel(), minlength=comparison.classes) for array in (labels, predicted)
    ]
    both = np.bincount(labels[labels == predicted], minlength=comparison.classes)
    # Where either holds the class: the larger label would hide the other in one array.
    figures = []
    boxes = [find_objects(array, comparison.classes - 1) for array in (labels, predicted)]
    for label in range(1, comparison.classes):
        area, predicted_area = (float(count[label]) * prod(spacing) for count in counts)
        total = int(counts[0][label] + counts[1][label])
        dice = 2 * int(both[label]) / total if total else nan
        offset = average = hausdorff95 = nan
        if counts[0][label] and counts[1][label]:
            box = _union(boxes[0][label - 1], boxes[1][label - 1])
            found = surface_distances(labels[box] == label, predicted[box] == label, spacing)
            surface = (found.a_to_b.areas.sum() + found.b_to_a.areas.sum()) / 2
            offset = float((area - predicted_area) / surface)
            average, hausdorff95 = found.average(), found.percentile(95)
        figures.append(
            ClassDifferences(label, area, predicted_area, dice, offset, average, hausdorff95)
        )
    return tuple(figures)


def _union(one: tuple[slice, ...], other: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(one, other, strict=True)
    )


def present(figures: tuple[ClassDifferences, ...]) -> list[ClassDifferences]:
    """Those of the classes that mask or prediction hold."""
    return [found for found in figures if found.area or found.predicted_area]


def surface_score(comparison: Comparison) -> float:
    """Average symmetric surface distance of mask and prediction, mean over classes.

    Over the classes that either holds; the diagonal of the image where one of them lacks it.
    """
    distances: list[float] = [
        comparison.diagonal
        if np.isnan(found.average_surface_distance)
        else found.average_surface_distance
        for found in present(class_differences(comparison))
    ]
    return float(np.mean(distances)) if distances else 0.0


def soft_dice_score(comparison: Comparison) -> float:
    """One minus the Dice of mask and probabilities, mean over classes.

    Over the classes that mask or prediction hold.
    """
    values: list[float] = []
    known = comparison.known
    for found in present(class_differences(comparison)):
        mask: NDArray = comparison.labels == found.label
        probability = comparison.probabilities[found.label]
        total = float(mask.sum()) + float(probability.sum(where=known, dtype=np.float64))
        shared = float(probability.sum(where=mask, dtype=np.float64))
        values.append(1 - 2 * shared / total if total else 0.0)
    return float(np.mean(values)) if values else 0.0
