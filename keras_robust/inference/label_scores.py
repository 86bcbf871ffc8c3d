"""Overlap, surface and calibration measures of one prediction, for each class and region."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.large_arrays import slabs
from keras_robust.data.layouts.labels import class_name
from keras_robust.metrics import Reliability, dice, reliability, surface_metrics

__all__ = ["ALL", "LabelScores", "label_scores", "reliabilities"]

ALL = "all"


@dataclass(frozen=True)
class LabelScores:
    """Measures of one class or region in one image.

    Args:
        id: Of the image.
        label: Number of the class, or name of the region.
        name: Name of the class, where the dataset tells it.
        dice: Dice coefficient; 1 where the label is in neither mask.
        asd: Average symmetric surface distance in mm, or in pixels where the spacing is not known;
            0 where the label is in neither mask, infinite where it is in one only.
        surface_dice: Share of both surfaces within the tolerance; 1 where the label is in neither
            mask, 0 where it is in one only.
        hd95: The 95th percentile of the surface distances; unit, 0 and infinite as `asd`.
        ece: Expected calibration error of the label's probability over the voxels of the image;
            `nan` without probabilities.
    """

    id: str
    label: str
    name: str
    dice: float
    asd: float
    surface_dice: float
    hd95: float
    ece: float


def label_scores(
    id: str,
    predicted: NDArray[np.uint8],
    true: NDArray[np.uint8],
    spacing_mm: Sequence[float] | None,
    *,
    classes: int,
    ignore_label: int | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
    tolerance: float = 1.0,
    class_names: Sequence[str] = (),
    reliabilities: Mapping[str, Reliability] | None = None,
) -> list[LabelScores]:
    """All measures of one prediction, a row per foreground class and per region.

    Ignored voxels count as background in both masks.

    Args:
        id: Of the image.
        predicted: Labels `(*spatial)`.
        true: Labels of the same shape.
        spacing_mm: Along each axis; `None` for 1, so that distances are in pixels.
        classes: Background included.
        ignore_label: Label in `true` of what does not count.
        regions: Labels of each region, such as `Dataset.regions`.
        tolerance: Of the surface Dice, in the unit of the distances.
        class_names: As `Dataset.class_names`.
        reliabilities: By label; see `reliabilities`.

    >>> masks = np.zeros((2, 8, 8), np.uint8)
    >>> masks[:, 2:6, 2:6] = [[[1]], [[2]]]
    >>> rows = label_scores("a", *masks, None, classes=3, regions={"both": (1, 2)})
    >>> [(row.label, row.dice) for row in rows]
    [('1', 0.0), ('2', 0.0), ('both', 1.0)]
    """
    if ignore_label is not None:
        counted = true != ignore_label
        predicted = np.where(counted & (predicted != ignore_label), predicted, 0)
        true = np.where(counted, true, 0)
    spacing = spacing_mm or (1.0,) * true.ndim
    # All classes from one pass over the arrays; regions, which may overlap, from one each.
    found = _measures([str(n) for n in range(1, classes)], predicted, true, spacing, tolerance)
    for region, numbers in (regions or {}).items():
        a, b = np.isin(predicted, numbers), np.isin(true, numbers)
        found |= _measures([region], a, b, spacing, tolerance)
    return [
        LabelScores(
            id,
            label,
            class_name(label, class_names),
            **measures,
            ece=reliabilities[label].expected_error if reliabilities else float("nan"),
        )
        for label, measures in found.items()
    ]


def _measures(
    labels: Sequence[str],
    predicted: NDArray,
    true: NDArray,
    spacing: Sequence[float],
    tolerance: float,
) -> dict[str, dict[str, float]]:
    """Of each label, by the fields of `LabelScores`."""
    classes = len(labels) + 1
    surfaces = surface_metrics(predicted, true, spacing, tolerance, classes=classes)
    columns = {
        "dice": dice(predicted, true, classes=classes),
        "asd": surfaces.average_mm,
        "surface_dice": surfaces.surface_dice,
        "hd95": surfaces.hausdorff95_mm,
    }
    return {
        label: {name: float(np.atleast_1d(values)[n]) for name, values in columns.items()}
        for n, label in enumerate(labels)
    }


def reliabilities(
    probabilities: NDArray[np.float32],
    true: NDArray[np.uint8],
    *,
    ignore_label: int | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
    bins: int = 15,
) -> dict[str, Reliability]:
    """Confidence and correctness of each class's and region's probability, and of the winning
    class's under `"all"` where there are several.

    Args:
        probabilities: `(*spatial, 1)` or `(*spatial, K)`.
        true: Labels `(*spatial)`.
        ignore_label: Label in `true` of what does not count.
        regions: Labels of each region, whose probabilities add up.
        bins: Of equal width, from 0 to 1.

    >>> found = reliabilities(np.array([[0.2, 0.8], [1, 0]]), np.array([1, 0]))
    >>> {label: round(bins.expected_error, 2) for label, bins in found.items()}
    {'1': 0.1, 'all': 0.1}
    """
    channels = probabilities.shape[-1]
    # What has half precision may overshoot a little.
    parts = []
    for rows in slabs(probabilities.shape):
        part, labels = np.clip(probabilities[rows], 0, 1), true[rows]
        if ignore_label is not None:
            part, labels = part[labels != ignore_label], labels[labels != ignore_label]
        found = {}
        for label, numbers in _members(max(channels, 2), regions or {}).items():
            chosen = [0] if channels == 1 else list(numbers)
            claimed = np.minimum(part[..., chosen].sum(axis=-1), 1)
            found[label] = reliability(claimed, np.isin(labels, numbers), bins=bins)
        if channels > 1:
            found[ALL] = reliability(part, labels, bins=bins)
        parts.append(found)
    return {label: reduce(add, (part[label] for part in parts)) for label in parts[0]}


def _members(classes: int, regions: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    return {**{str(number): (number,) for number in range(1, classes)}, **regions}
