"""Where a mask and what is suggested for it part, worst first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_robust.review.tools.regions import box_of, checked_spacing

__all__ = ["ReviewPlace", "differing"]

MOST = 20
LEAST_SHARE = 0.02  # of all that differs; smaller places are not worth a look
MARGIN = 1


@dataclass(frozen=True)
class ReviewPlace:
    """A connected region in which two masks differ.

    Attributes:
        point: An element of it, in the slice that has most of it: where to look.
        box: First index and the one after the last, along each axis.
        kind: "missing", "too much" or "wrong class", of the mask.
        volume: In mm³ or mm², or in elements where there is no spacing.
        label: The class that the mask has there; where it has none, the class that it lacks.
    """

    point: tuple[int, ...]
    box: tuple[tuple[int, int], ...]
    kind: str
    volume: float
    label: int = 0


def differing(
    labels: NDArray[np.uint8],
    suggestion: NDArray[np.uint8],
    spacing: Sequence[float] | None = None,
    axis: int = 0,
) -> tuple[ReviewPlace, ...]:
    """The regions in which a mask and a suggestion differ, those that are thickest first.

    A rim of one element, as of two outlines that mean the same, counts less than a piece of the
    same size, and is no place of its own.

    Args:
        labels: `(*spatial)`.
        suggestion: `(*spatial)`.
        spacing: In mm, one per axis.
        axis: Across the slices of a volume.

    Returns:
        20 places at most.

    >>> mask, model = np.zeros((2, 9, 9), np.uint8)
    >>> mask[1:4, 1:4], model[5:9, 5:9] = 1, 1
    >>> [(place.kind, place.point, place.volume) for place in differing(mask, model)]
    [('missing', (6, 6), 16.0), ('too much', (2, 2), 9.0)]
    """
    from scipy.ndimage import binary_erosion, label

    element = float(np.prod(checked_spacing(spacing, labels.ndim)))
    apart = labels != suggestion
    box = box_of(apart, (MARGIN,) * labels.ndim)
    if box is None:
        return ()
    # As the masks are in memory, for SciPy takes ten times as long against it.
    turned = apart.ndim > 2 and apart.flags.f_contiguous
    within = apart[box].T if turned else apart[box]
    pieces, _ = label(within)
    core = np.bincount(pieces[binary_erosion(within)])
    where = np.nonzero(within)
    numbers = pieces[where]
    sizes = np.bincount(numbers)
    thick = np.zeros(len(sizes), int)
    thick[: len(core)] = core
    thick = thick if thick.any() else sizes
    order = [n for n in np.argsort(-thick, kind="stable") if thick[n] >= LEAST_SHARE * thick.sum()]
    index = np.stack(where[::-1] if turned else where, axis=1) + [at.start for at in box]
    places = []
    for number in order[:MOST]:
        own = index[numbers == number] if thick[number] else index[:0]
        if not len(own):
            continue
        here = tuple(own.T)
        drawn, suggested = labels[here], suggestion[here]
        kind = _kind(drawn, suggested)
        held = suggested if kind == "missing" else drawn
        places.append(
            ReviewPlace(
                _middle(own, axis),
                tuple((int(n.min()), int(n.max()) + 1) for n in here),
                kind,
                float(sizes[number]) * element,
                int(np.bincount(held[held > 0]).argmax()),
            )
        )
    return tuple(places)


def _middle(index: NDArray[np.int_], axis: int) -> tuple[int, ...]:
    """Of a region with the indices (N, axes), one near its middle, in the slice with most of it."""
    if index.shape[1] > 2:
        areas = np.bincount(index[:, axis])
        fullest = np.flatnonzero(areas == areas.max())
        index = index[index[:, axis] == fullest[len(fullest) // 2]]
    far = ((index - index.mean(axis=0)) ** 2).sum(axis=1)
    return tuple(int(n) for n in index[far.argmin()])


def _kind(drawn: NDArray[np.uint8], suggested: NDArray[np.uint8]) -> str:
    missing, much = np.mean(drawn == 0), np.mean(suggested == 0)
    if max(missing, much) < 0.5:
        return "wrong class"
    return "missing" if missing >= much else "too much"
