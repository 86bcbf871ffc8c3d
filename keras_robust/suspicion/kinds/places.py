"""The places of a mask where it and the evidence part."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, find_objects
from scipy.ndimage import label as components

from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.kinds.naming import TOO_LITTLE, TOO_MUCH
from keras_robust.suspicion.kinds.regions import Regions, without_thin
from keras_robust.suspicion.kinds.views import foreground_log_odds, log_odds_of, log_probabilities

__all__ = ["Place", "places_of"]

Mask = NDArray[np.bool_]
MOST_PLACES = 20
# A place of less than this share of the evidence against a mask is not worth a look.
LEAST_SHARE = 0.04
# Errors of a mask as a whole: all of its places are of that kind.
OF_THE_WHOLE = (
    "too large",
    "too small",
    "shifted",
    "mirrored",
    "coarse",
    "other case's mask",
    "labels permuted",
)


@dataclass(frozen=True)
class Place:
    """A connected region, or run of slices, where mask and evidence part.

    Attributes:
        label: The class that the mask has there; where it has none, the class that it lacks.
        kind: One of `keras_robust.suspicion.KINDS`.
        centroid: Index along each axis of the array, of the middle; may lie outside the region.
        box: First index and the one after the last, along each axis.
        volume: mm² or mm³ where the spacing is known, else elements.
        p_wrong: How probable it is that the mask is wrong there, from 0 to 1: that it is wrong at
            all, times the mean of one minus the probability of the labels there.
    """

    label: int
    kind: str
    centroid: tuple[float, ...]
    box: tuple[tuple[int, int], ...]
    volume: float
    p_wrong: float


def places_of(comparison: Comparison, kind: str, p_wrong: float = 1.0) -> tuple[Place, ...]:
    """Where a mask and the evidence part, the place with most of the evidence first.

    Args:
        comparison: Mask and prediction.
        kind: Of the mask's error; without one, "none", there is no place.
        p_wrong: How probable it is that the mask is wrong.

    Returns:
        20 places at most; what is thinner than doubt about the outline is none, unless nothing else
        is there.

    >>> from keras_robust.suspicion.judged import Judged
    >>> truth = np.zeros((20, 20), np.uint8)
    >>> truth[4:16, 4:16] = 1
    >>> mask = truth.copy()
    >>> mask[4:16, 10:] = 0
    >>> said = np.where(truth, 0.9, 0.1)[..., None]
    >>> (place,) = places_of(Comparison(Judged("a", mask, said), 2), "part missing")
    >>> place.kind, place.centroid, place.box, place.volume
    ('part missing', (9.5, 12.5), ((4, 16), (10, 16)), 72.0)
    """
    differs = comparison.labels != comparison.predicted
    if kind == "none" or not differs.any():
        return ()
    log_p = log_probabilities(comparison)
    given = np.take_along_axis(log_p, comparison.labels[None].astype(int), 0)[0]
    weights = np.where(differs, log_p.max(axis=0) - given, 0.0)
    total = float(weights.sum())
    found = []
    for region, label, name in _regions(comparison, kind):
        own = float(weights.sum(where=region))
        found.append((own / total if total else 0.0, region, label, name))
    found.sort(key=lambda one: -one[0])
    kept = [one for one in found[:MOST_PLACES] if one[0] >= LEAST_SHARE] or found[:1]
    return tuple(_place(comparison, *one[1:], p_wrong) for one in kept)


def _place(comparison: Comparison, region: Mask, label: int, kind: str, p_wrong: float) -> Place:
    (box,) = find_objects(region.view(np.uint8))
    middle = center_of_mass(region[box])
    wrong = 1 - float(comparison.given[region].mean())
    return Place(
        label,
        kind,
        tuple(float(m) + side.start for m, side in zip(middle, box, strict=True)),
        tuple((int(side.start), int(side.stop)) for side in box),
        float(region.sum()) * prod(comparison.spacing),
        p_wrong * wrong,
    )


def _regions(comparison: Comparison, kind: str) -> Iterator[tuple[Mask, int, str]]:
    """Connected regions with their class and kind."""
    labels, predicted = comparison.labels, comparison.predicted
    both = (labels > 0) & (predicted > 0) & (labels != predicted)
    whole = Regions(labels > 0, np.where(comparison.known, foreground_log_odds(comparison), 0.0))
    for label in range(1, comparison.classes):
        yield from (
            (piece, label, kind if kind in OF_THE_WHOLE else "wrong class")
            for piece in _pieces(both & (labels == label), whole.thin)
        )
        log_odds = np.where(comparison.known, log_odds_of(comparison, label), 0.0)
        regions = Regions(labels == label, log_odds)
        lost = (predicted == label) & (labels == 0)
        if kind == "slices missing":
            for piece in regions.runs_of_slices():
                yield piece, label, kind
                lost &= ~piece
        for piece in _pieces(lost, regions.thin):
            yield piece, label, _named(kind, TOO_MUCH, _of_missing(regions, piece))
        for piece in _pieces((labels == label) & (predicted == 0), regions.thin):
            extra = _mostly(piece, regions.extra_objects)
            yield piece, label, _named(kind, TOO_LITTLE, "extra object" if extra else "leak")


def _named(kind: str, contrary: tuple[str, ...], by_itself: str) -> str:
    """The kind of the mask as a whole, unless it says the contrary of the place."""
    return kind if kind in OF_THE_WHOLE and kind not in contrary else by_itself


def _of_missing(regions: Regions, piece: Mask) -> str:
    if _mostly(piece, regions.holes):
        return "hole"
    return "missing object" if _mostly(piece, regions.missing_objects) else "part missing"


def _mostly(piece: Mask, where: Mask) -> bool:
    return bool((piece & where).sum() > piece.sum() / 2)


def _pieces(where: Mask, thin: float) -> Iterator[Mask]:
    """The connected pieces that are not thin; the thin ones where hardly anything else is there."""
    if not where.any():
        return
    thick = without_thin(where, thin)
    kept = thick if thick.sum() > where.sum() / 3 else where
    numbered, count = components(kept, np.ones((3,) * where.ndim))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    for number in 1 + np.argsort(-sizes[1:], kind="stable")[:MOST_PLACES]:
        yield numbered == number
