"""Measures of two masks, class by class, quick enough to follow a brush."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import find_objects

from keras_robust.common.tables import as_text
from keras_robust.data.layouts.labels import class_name
from keras_robust.metrics import dice, iou, surface_metrics, volume

__all__ = ["ClassMeasures", "Comparer", "label_pair", "to_csv"]

HIGHEST_LABEL = 255
Box = tuple[slice, ...]


@dataclass(frozen=True)
class ClassMeasures:
    """Measures of one class of two masks A and B.

    Attributes:
        label: The class.
        dice, iou: Overlap, 0 to 1.
        average: Average symmetric surface distance, in the unit of the spacing; infinite where
            one mask has nothing of the class.
        hausdorff95: The 95th percentile of the surface distances, as `average`.
        surface_dice: Share of both surfaces within the tolerance of the other.
        size_a, size_b: Area or volume, in the unit of the spacing, squared or cubed.
    """

    label: int
    dice: float
    iou: float
    average: float
    hausdorff95: float
    surface_dice: float
    size_a: float
    size_b: float


def label_pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two masks as labels from 0 to 255, comparable with each other.

    A mask of 0 and 255 alone is binary: its 255 becomes 1.

    Args:
        a, b: Labels of shape (H, W) or (D, H, W), boolean or integer.

    Raises:
        ValueError: Shapes differ or are neither 2-D nor 3-D, or labels are no classes.

    >>> label_pair([[0, 255]], [[1, 1]])
    (array([[0, 1]], dtype=uint8), array([[1, 1]], dtype=uint8))
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape:
        raise ValueError(
            f"The masks differ in shape: {_by(first.shape)} and {_by(second.shape)}. "
            "Choose two masks of one image."
        )
    if first.ndim not in (2, 3):
        raise ValueError(
            f"Expected masks with 2 or 3 axes. Received: {_by(first.shape)}. Split the layer first."
        )
    return _classes(first), _classes(second)


def _classes(mask: NDArray) -> NDArray[np.uint8]:
    if mask.dtype == bool:
        return mask.view(np.uint8)
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"Expected whole numbers in a mask. Received: {mask.dtype}.")
    low, high = (int(mask.min()), int(mask.max())) if mask.size else (0, 0)
    if low < 0 or high > HIGHEST_LABEL:
        raise ValueError(
            f"Expected classes from 0 to {HIGHEST_LABEL}. Received: labels from {low} to {high}. "
            "Masks of single objects cannot be compared by class."
        )
    if high == HIGHEST_LABEL and np.count_nonzero(mask) == np.count_nonzero(mask == HIGHEST_LABEL):
        return (mask != 0).view(np.uint8)
    return mask.astype(np.uint8, copy=False)


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


class Comparer:
    """Compares masks again and again; a class that has not changed is not measured again.

    >>> a, b = np.zeros((2, 8, 8), np.uint8)
    >>> a[2:6, 2:5] = b[2:6, 2:6] = 1
    >>> (found,) = Comparer()(a, b, spacing=(1.0, 0.5), tolerance=0.4)
    >>> round(found.dice, 3), found.hausdorff95, found.size_a, found.size_b
    (0.857, 0.5, 6.0, 8.0)
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, ClassMeasures]] = {}

    def __call__(
        self, a: ArrayLike, b: ArrayLike, spacing: tuple[float, ...], tolerance: float
    ) -> list[ClassMeasures]:
        """Measures of every class that is in either mask, by label.

        Args:
            a, b: Masks, as for `label_pair`.
            spacing: Distance between neighbouring elements along each axis.
            tolerance: Distance up to which two surfaces count as one.

        Raises:
            ValueError: As `label_pair`; or the spacing or the tolerance do not fit.
        """
        first, second = label_pair(a, b)
        boxes = [find_objects(mask) for mask in (first, second)]
        known: dict[int, tuple[bytes, ClassMeasures]] = {}
        for label in range(1, max(map(len, boxes)) + 1):
            own = [found[label - 1] if label <= len(found) else None for found in boxes]
            if any(own):
                box = _union([one for one in own if one is not None])
                crops = [mask[box] == label for mask in (first, second)]
                key = _key(crops, spacing, tolerance)
                if label in self._known and self._known[label][0] == key:
                    known[label] = self._known[label]
                else:
                    known[label] = key, _measure(label, crops[0], crops[1], spacing, tolerance)
        self._known = known
        return [measures for _, measures in known.values()]


def _union(boxes: list[Box]) -> Box:
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*boxes, strict=True)
    )


def _key(crops: list[NDArray[np.bool_]], spacing: tuple[float, ...], tolerance: float) -> bytes:
    digest = hashlib.blake2b(repr((crops[0].shape, spacing, tolerance)).encode(), digest_size=16)
    for crop in crops:
        digest.update(np.packbits(crop).tobytes())
    return digest.digest()


def _measure(
    label: int,
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    spacing: tuple[float, ...],
    tolerance: float,
) -> ClassMeasures:
    surface = surface_metrics(a, b, spacing, tolerance)
    return ClassMeasures(
        label=label,
        dice=float(dice(a, b)),
        iou=float(iou(a, b)),
        average=float(surface.average_mm),
        hausdorff95=float(surface.hausdorff95_mm),
        surface_dice=float(surface.surface_dice),
        size_a=float(volume(a, spacing)),
        size_b=float(volume(b, spacing)),
    )


def to_csv(
    rows: Iterable[ClassMeasures],
    *,
    names: Mapping[str, str],
    unit: str,
    ndim: int,
    tolerance: float,
    class_names: Sequence[str] = (),
) -> str:
    """The table as CSV, with units in the names of the columns.

    Args:
        rows: From a `Comparer`.
        names: Columns that are alike in all rows, such as the names of the two masks.
        unit: Of the spacing, see `napari_plugin.viewer.layers.Spacing`.
        ndim: 2 or 3, for areas or volumes.
        tolerance: Of the surface Dice.
        class_names: As `Dataset.class_names`.

    >>> row = ClassMeasures(1, 0.5, 0.25, 1.5, math.inf, 0.0, 6, 8)
    >>> print(to_csv([row], names={"a": "clean", "b": "noisy"}, unit="mm", ndim=2, tolerance=1))
    a,b,class,name,dice,iou,asd_mm,hd95_mm,surface_dice,tolerance_mm,area_a_mm2,area_b_mm2
    clean,noisy,1,,0.5,0.25,1.5,,0.0,1,6,8
    <BLANKLINE>
    """
    size = "area" if ndim == 2 else "volume"
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            *map(as_text, names),
            *("class", "name", "dice", "iou", f"asd_{unit}", f"hd95_{unit}"),
            *("surface_dice", f"tolerance_{unit}"),
            *(f"{size}_{side}_{unit}{ndim}" for side in "ab"),
        ]
    )
    for row in rows:
        distances = [x if math.isfinite(x) else "" for x in (row.average, row.hausdorff95)]
        writer.writerow(
            [
                *map(as_text, names.values()),
                *(row.label, as_text(class_name(row.label, class_names))),
                *(row.dice, row.iou, *distances),
                *(row.surface_dice, tolerance, row.size_a, row.size_b),
            ]
        )
    return file.getvalue()
