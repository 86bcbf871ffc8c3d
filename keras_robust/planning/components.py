"""Which parts of predictions are kept: of some labels the largest alone, where that helps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keras_robust.common.errors import invalid

__all__ = ["Components", "choose_components", "dice_of_groups", "keep_largest"]

Group = tuple[int, ...]
"""Labels that count as one: a label by itself, a region, or all foreground."""
Pairs = Iterable[tuple[NDArray, NDArray]]


@dataclass(frozen=True)
class Components:
    """What was decided on predictions of images that their networks did not see.

    Args:
        largest: Groups of labels of which only the largest part is kept, in their order.
        before: Dice of each label or region, mean over the images that have it; NaN where none has.
        after: The same with what is kept.
    """

    largest: tuple[Group, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


def keep_largest(labels: NDArray[np.uint8], groups: Iterable[Sequence[int]]) -> NDArray[np.uint8]:
    """Labels of which only the largest connected part of each group is kept, else background.

    Parts are connected over faces, edges and corners; of parts that are equally large all stay, as
    in nnU-Net.

    Args:
        labels: `(*spatial)`.
        groups: Labels that count as one, each in turn.

    >>> keep_largest(np.array([[1, 0, 2, 2]], np.uint8), [(1, 2)])
    array([[0, 0, 2, 2]], dtype=uint8)
    """
    for group in groups:
        found, parts = ndimage.label(np.isin(labels, group), np.ones((3,) * labels.ndim))
        if parts > 1:
            sizes = np.bincount(found.ravel())
            sizes[0] = 0
            small = sizes < sizes.max()
            small[0] = False
            labels = np.where(small[found], labels.dtype.type(0), labels)
    return labels


def choose_components(
    pairs: Pairs, classes: int, regions: Sequence[Group] = (), ignore_label: int | None = None
) -> Components:
    """Decide by nnU-Net's rule of which labels only the largest part is kept.

    Of all foreground as one where the mean Dice rises and that of no label falls; then of one label
    after the other, where its own Dice rises. A case counts for the labels that the mask or the
    prediction has.

    Args:
        pairs: Labels as predicted, by networks that did not see the image, and the mask; passed
            through several times.
        classes: Background included.
        regions: The labels of each region, where these were learned in place of labels.
        ignore_label: Of voxels of a mask that do not count.

    Raises:
        ValueError: There are no pairs.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), and
        `determine_postprocessing` of nnU-Net 2.8.
    """
    groups = tuple(tuple(r) for r in regions) or tuple((label,) for label in range(1, classes))

    def measured(kept: tuple[Group, ...]) -> NDArray[np.float64]:
        return dice_of_groups(
            ((keep_largest(labels, kept), mask) for labels, mask in pairs), groups, ignore_label
        )

    before = best = measured(())
    largest: tuple[Group, ...] = ()
    candidate = measured((tuple(range(1, classes)),))
    if candidate.mean() > best.mean() and not (candidate < best).any():
        largest, best = (tuple(range(1, classes)),), candidate
    for number, group in enumerate(groups if len(groups) > 1 else ()):
        candidate = measured((*largest, group))
        if candidate[number] > best[number]:
            largest, best = (*largest, group), candidate
    return Components(largest, tuple(map(float, before)), tuple(map(float, best)))


def dice_of_groups(
    pairs: Pairs, groups: Sequence[Group], ignore_label: int | None = None
) -> NDArray[np.float64]:
    """Dice of each group of labels, the mean over the cases that have it in the mask or the
    prediction; NaN where none has.

    >>> dice_of_groups([(np.array([1, 1, 0]), np.array([1, 0, 0]))], [(1,), (2,)]).round(2)
    array([0.67,  nan])
    """
    rows = [_dice(labels, mask, groups, ignore_label) for labels, mask in pairs]
    if not rows:
        raise invalid("pairs", "at least one prediction and its mask", said="none")
    values = np.array(rows)
    there = ~np.isnan(values)
    return np.array(
        [
            np.mean(values[there[:, number], number]) if there[:, number].any() else np.nan
            for number in range(len(groups))
        ]
    )


def _dice(
    labels: NDArray, mask: NDArray, groups: Sequence[Group], ignore_label: int | None
) -> list[float]:
    if ignore_label is not None:
        counts = mask != ignore_label
        labels, mask = labels[counts], mask[counts]
    found = []
    for group in groups:
        predicted, drawn = np.isin(labels, group), np.isin(mask, group)
        total = np.count_nonzero(predicted) + np.count_nonzero(drawn)
        both = np.count_nonzero(predicted & drawn)
        found.append(2 * both / total if total else np.nan)
    return found
