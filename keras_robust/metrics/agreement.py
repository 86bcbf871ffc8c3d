"""Agreement between annotators: pairs of masks, chance-corrected agreement, intervals over images.

Chance-corrected agreement is computed from confusion counts, which add up over images, so that no
array of all elements is ever held.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid
from keras_robust.metrics.labels import checked_spacing, label_pair

__all__ = [
    "PairAgreement",
    "bootstrap_interval",
    "cohen_kappa",
    "confusion_counts",
    "fleiss_kappa",
    "pair_agreement",
    "rating_counts",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairAgreement:
    """How two annotators' masks of one image agree, per foreground label, each `(classes - 1,)`.

    Attributes:
        dice: Dice coefficient; `nan` where neither drew the label.
        surface_mm: Average symmetric surface distance in mm; `nan` unless both drew the label.
        volume_a, volume_b: Volumes in mm³ (in 2-D, areas in mm²).
        confusion: Elements by label of `a` (rows) and of `b`, `(classes, classes)`.
    """

    dice: Floats
    surface_mm: Floats
    volume_a: Floats
    volume_b: Floats
    confusion: NDArray[np.int64]

    @property
    def volume_difference(self) -> Floats:
        """(a - b) / mean of a and b, from -2 to 2; `nan` where neither drew the label."""
        mean = (self.volume_a + self.volume_b) / 2
        return (self.volume_a - self.volume_b) / np.where(mean > 0, mean, np.nan)

    @property
    def mean_dice(self) -> float:
        """Mean over the labels that either drew; 1 where both drew nothing, which is to agree."""
        drawn = self.dice[~np.isnan(self.dice)]
        return float(drawn.mean()) if drawn.size else 1.0


def pair_agreement(
    a: ArrayLike,
    b: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    classes: int = 2,
    ignore_label: int | None = None,
) -> PairAgreement:
    """Dice, surface distance, volumes and confusion counts of two masks of one image.

    Args:
        a: Labels of shape (H, W) or (D, H, W), boolean or integer.
        b: Labels of the same shape, of another annotator.
        spacing_mm: Distance between neighbouring elements along each axis, in mm.
        classes: Number of classes, background included.
        ignore_label: What either annotator marked so counts as background of both, and is in no
            confusion count.

    Raises:
        ValueError: Shapes differ, labels are out of range, spacing does not fit.

    >>> found = pair_agreement([[1, 1, 0, 0]], [[1, 1, 1, 1]], (2.0, 0.5))
    >>> found.dice.round(3), found.volume_a, found.volume_difference.round(3)
    (array([0.667]), array([2.]), array([-0.667]))
    """
    from keras_robust.metrics.surface import average_surface_distance

    first, second = np.asarray(a), np.asarray(b)
    confusion = confusion_counts(first, second, classes=classes, ignore_label=ignore_label)
    if ignore_label is not None:
        known = (first != ignore_label) & (second != ignore_label)
        first, second = np.where(known, first, 0), np.where(known, second, 0)
    element = math.prod(checked_spacing(spacing_mm, first.ndim))
    both = np.diagonal(confusion)[1:].astype(float)
    volumes = confusion.sum(axis=1)[1:], confusion.sum(axis=0)[1:]
    total = (volumes[0] + volumes[1]).astype(float)
    distance = average_surface_distance(
        first, second, spacing_mm, classes=classes, empty=math.nan, missing=math.nan
    )
    return PairAgreement(
        2 * both / np.where(total > 0, total, np.nan),
        np.atleast_1d(distance),
        volumes[0] * element,
        volumes[1] * element,
        confusion,
    )


def confusion_counts(
    a: ArrayLike, b: ArrayLike, *, classes: int = 2, ignore_label: int | None = None
) -> NDArray[np.int64]:
    """Number of elements by label in `a` (rows) and in `b` (columns), `(classes, classes)`.

    Args:
        a: Labels of any shape, boolean or integer; with two classes all but zero is foreground.
        b: Labels of the same shape.
        classes: Number of classes, background included.
        ignore_label: Elements with this label in either array do not count.

    Raises:
        ValueError: Shapes differ, labels are not integer or out of range.

    >>> confusion_counts([0, 0, 1, 1], [0, 1, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    rows, columns = label_pair(a, b, classes, ignore_label)
    if classes == 2:
        # Three counts take a tenth of the time of one count per cell.
        one, other = int(np.count_nonzero(rows)), int(np.count_nonzero(columns))
        both = int(np.count_nonzero(rows & columns))
        return np.array([[rows.size - one - other + both, other - both], [one - both, both]])
    cells = rows.astype(np.intp).ravel() * classes + columns.ravel()
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def cohen_kappa(confusion: ArrayLike) -> Floats | float:
    """Cohen's κ of two annotators, from the sum of their confusion counts over images.

    κ = (p_o - p_e) / (1 - p_e), with the share p_o of elements on which they agree and the share
    p_e on which they would agree by chance, each with their own share of every label.

    Args:
        confusion: Counts, shape (..., classes, classes).

    Returns:
        κ from -1 to 1, shape (...), a float for one table; `nan` where all is of one label, so
        that chance alone agrees everywhere.

    References:
        Cohen 1960, https://doi.org/10.1177/001316446002000104

    >>> round(cohen_kappa([[20, 5], [10, 15]]), 3)
    0.4
    """
    table = np.asarray(confusion, float)
    return _kappa(table, table.sum(axis=-1), table.sum(axis=-2))


def rating_counts(confusions: Sequence[ArrayLike]) -> Floats:
    """The confusion counts of one image that `fleiss_kappa` takes, `(classes, classes)`.

    They are the mean over all ordered pairs of its annotators, and add up over images, whose
    annotators may be others or more.

    Args:
        confusions: Counts of each pair of the image's annotators, at least one.

    >>> rating_counts([[[3, 1], [0, 2]]])
    array([[3. , 0.5],
           [0.5, 2. ]])
    """
    mean = np.mean([np.asarray(table, float) for table in confusions], axis=0)
    return (mean + mean.T) / 2


def fleiss_kappa(ratings: ArrayLike) -> Floats | float:
    """Fleiss' κ of any number of annotators, who may differ between images.

    The share of agreeing pairs of annotators, averaged over elements, is corrected for what
    annotators would reach who all draw labels with the shares that they have on average (for a
    number of annotators that differs between images: as in Gwet).

    Args:
        ratings: Sum over images of their `rating_counts`, shape (..., classes, classes).

    Returns:
        As `cohen_kappa`.

    References:
        Fleiss 1971, https://doi.org/10.1037/h0031619
        Gwet 2014, Handbook of Inter-Rater Reliability, 4th edition, chapter 2

    >>> from itertools import combinations
    >>> masks = [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]
    >>> pairs = [confusion_counts(a, b) for a, b in combinations(masks, 2)]
    >>> round(fleiss_kappa(rating_counts(pairs)), 3)
    0.657
    """
    table = np.asarray(ratings, float)
    share = table.sum(axis=-1)
    return _kappa(table, share, share)


def _kappa(table: Floats, rows: Floats, columns: Floats) -> Floats | float:
    total = table.sum(axis=(-2, -1))
    safe = np.where(total > 0, total, np.nan)
    observed = np.trace(table, axis1=-2, axis2=-1) / safe
    chance = (rows * columns).sum(axis=-1) / safe**2
    kappa = (observed - chance) / np.where(chance < 1 - 1e-12, 1 - chance, np.nan)
    return float(kappa) if kappa.ndim == 0 else kappa


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[Floats], ArrayLike] | None = None,
    *,
    groups: Sequence[object] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval, images being what is drawn again.

    Args:
        values: One value or array of counts per image, shape (images, ...), all finite.
        statistic: From means over images, shape (resamples, ...), to the statistic of each,
            (resamples,); any function of sums that does not change with their scale, such as
            `cohen_kappa`. By default the mean itself.
        groups: Of each image, such as its patient: then all images of a group are drawn together,
            since they are not independent.
        confidence: Of the interval, between 0 and 1.
        resamples: How often the images are drawn.
        seed: Of the draws.

    Returns:
        Lower and upper bound; `nan` with fewer than two images, or groups.

    Raises:
        ValueError: `confidence` is not between 0 and 1, a value is not finite, or there is not one
            group per image.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13

    >>> low, high = bootstrap_interval([0.8, 0.9, 0.7, 0.8])
    >>> round(low, 3), round(high, 3)
    (0.725, 0.875)
    """
    if not 0 < confidence < 1:
        raise invalid("confidence", "a number between 0 and 1", said=f"confidence={confidence}")
    array = np.asarray(values, float)
    if not np.isfinite(array).all():
        raise invalid(
            "values",
            "finite numbers",
            said=f"{np.count_nonzero(~np.isfinite(array))} others",
            remedy="Leave out images without a value.",
        )
    if groups is not None and len(groups) != len(array):
        raise invalid("groups", f"one per image, {len(array)}", said=f"{len(groups)}")
    numbers = dict[object, int]()
    drawn_with = [
        numbers.setdefault(group, len(numbers))
        for group in (range(len(array)) if groups is None else groups)
    ]
    count = len(numbers)
    if count < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), resamples)[:, drawn_with]
    weights = drawn / drawn.sum(axis=1, keepdims=True)
    means = (weights @ array.reshape(len(array), -1)).reshape(resamples, *array.shape[1:])
    found = np.asarray(means if statistic is None else statistic(means), float)
    found = found[np.isfinite(found)]
    if not found.size:
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
