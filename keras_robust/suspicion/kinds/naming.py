"""Which kind of error explains best what the evidence has against a mask."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.kinds.classes import class_shares
from keras_robust.suspicion.kinds.coarse import coarseness
from keras_robust.suspicion.kinds.others import Fit
from keras_robust.suspicion.kinds.regions import Regions
from keras_robust.suspicion.kinds.transforms import (
    gain_of_slices,
    orientations,
    share_of_moving,
    thinned,
    turned,
)
from keras_robust.suspicion.kinds.views import log_probabilities, view
from keras_robust.suspicion.structure import Measures, Structure

__all__ = ["KINDS", "kind_of_error", "shares_of"]

# What an explanation must explain more than another, as it explains a part of anything.
PRICES = {
    "too large": 0.0,
    "too small": 0.0,
    "shifted": 0.05,
    "part missing": 0.1,
    "hole": 0.0,
    "leak": 0.15,
    "missing object": 0.0,
    "extra object": 0.0,
    "slices missing": 0.05,
    "coarse": 0.3,
    "mirrored": 0.0,
    "wrong class": 0.0,
    "labels permuted": 0.0,
    "other case's mask": 0.0,
}
KINDS = ("none", *PRICES, "uncertain")
# A larger mask than the evidence has not lost anything, a smaller one not gained.
TOO_MUCH = ("too large", "leak", "extra object")
TOO_LITTLE = ("too small", "part missing", "hole", "missing object", "slices missing")
LEAST = 0.25
# These explain what a poor judge gets wrong by himself, too: they cost more by as much as the usual
# Dice of masks and predictions is below this.
FREE, GOOD_JUDGE = ("part missing", "leak", "coarse"), 0.9
# A mask that fits so many other images as well as its own has nothing to do with it.
UNRELATED = 0.1


def kind_of_error(
    comparison: Comparison,
    measures: Mapping[int, Measures] | None = None,
    fit: Fit | None = None,
) -> str:
    """One of `KINDS`: what undone would mend most of what the evidence has against the mask.

    Args:
        comparison: Mask and prediction.
        measures: Of each class, where they have been made already; nothing depends on them.
        fit: How the mask fits the images of other cases, where that is known.
    """
    shares = shares_of(comparison, fit)
    if not shares:
        return "none"
    doubt = max(GOOD_JUDGE - fit.usual, 0.0) if fit else 0.0
    net = {
        kind: share - PRICES[kind] - (doubt if kind in FREE else 0.0)
        for kind, share in shares.items()
    }
    best = max(net, key=lambda kind: net[kind])
    return best if net[best] >= LEAST else "uncertain"


def shares_of(comparison: Comparison, fit: Fit | None = None) -> dict[str, float]:
    """Of each kind, the share of the evidence against the mask that undoing it takes away."""
    log_p = log_probabilities(comparison)
    labels, predicted, known = comparison.labels, comparison.predicted, comparison.known
    best = log_p.max(axis=0)
    against = np.where(known, best - np.take_along_axis(log_p, labels[None].astype(int), 0)[0], 0)
    total = float(against.sum())
    if not (labels != predicted).any() or total <= 0:
        return {}
    shares = dict.fromkeys(PRICES, 0.0)
    shares |= class_shares(comparison, against, total)
    shares["mirrored"] = _mirrored(comparison, log_p)
    views = [view(comparison, None)]
    if comparison.classes > 2:
        views += [view(comparison, label) for label in range(1, comparison.classes)]
    found = [(structure, _of_view(structure)) for structure in views if structure is not None]
    whole = found[:1] if views[0] is not None else []
    for group in (whole, found[len(whole) :]):
        evidence = [s.best - s.likelihood(s.mask) for s, _ in group]
        if not sum(evidence):
            continue
        between = float(against[(labels > 0) & (predicted > 0)].sum()) / total
        for kind in PRICES:
            part = sum(e * of.get(kind, 0.0) for e, (_, of) in zip(evidence, group, strict=True))
            value = part / sum(evidence)
            if group is whole:
                value *= 1 - between
            shares[kind] = max(shares[kind], value)
    if fit is not None:
        shares["other case's mask"] = _of_another(fit)
    _hold_to_volumes(shares, labels, predicted, comparison.classes)
    return shares


def _hold_to_volumes(
    shares: dict[str, float], labels: NDArray, predicted: NDArray, classes: int
) -> None:
    given, said = (
        np.bincount(a.ravel(), minlength=classes)[1:classes] for a in (labels, predicted)
    )
    for kinds, allowed in ((TOO_MUCH, (given > said).any()), (TOO_LITTLE, (given < said).any())):
        if not allowed:
            for kind in kinds:
                shares[kind] = 0.0


def _of_another(fit: Fit) -> float:
    """The mask of a case that it fits better, or one that fits its own image no better than
    others."""
    if fit.copied and fit.best > fit.own:
        return 1.0
    gained = (fit.best - fit.own) / max(1 - fit.own, 1e-6)
    return 0.0 if fit.better < UNRELATED else gained


def _of_view(structure: Structure) -> dict[str, float]:
    mask = structure.mask
    regions = Regions(mask, structure.log_odds)
    if not regions.total:
        return {}
    now = structure.likelihood(mask)
    smaller, larger = structure.resized(mask, int(mask.sum()))
    shares = {
        "too large": (smaller - now) / regions.total if smaller > 0 else 0.0,
        "too small": (larger - now) / regions.total if mask.any() else 0.0,
        "shifted": share_of_moving(structure),
        "hole": regions.share(regions.holes),
        "missing object": regions.objects_missing(),
        "extra object": regions.share(regions.extra_objects),
        "leak": regions.share(regions.leaks),
        "part missing": max(regions.part() - 0.1, regions.beyond_plane()),
        "coarse": regions.attached() * (0.55 + 0.45 * coarseness(mask, regions.predicted)),
    }
    if mask.ndim == 3:
        shares["slices missing"] = max(regions.empty_slices(axis) for axis in range(3))
        for axis in range(3):
            in_plane, along = gain_of_slices(structure, axis)
            shares["shifted"] = max(
                shares["shifted"],
                in_plane / regions.total - 0.15,
                along / regions.total - 0.1,
                _repeated(regions, axis) - 0.1,
            )
    return {kind: max(share, 0.0) for kind, share in shares.items()}


def _repeated(regions: Regions, axis: int) -> float:
    """Evidence in slices that are the same as the one before them."""
    mask = np.moveaxis(regions.mask, axis, 0)
    same = [False, *((a == b).all() and a.any() for a, b in pairwise(mask))]
    others = tuple(a for a in range(3) if a != axis)
    return float(regions.weights.sum(axis=others)[same].sum()) / regions.total


def _mirrored(comparison: Comparison, log_p: NDArray) -> float:
    labels = thinned(comparison.labels, comparison.labels.ndim)
    log_p = thinned(log_p, labels.ndim)
    known = thinned(comparison.known, labels.ndim)

    def likelihood(mask: NDArray) -> float:
        chosen = np.take_along_axis(log_p, mask[None].astype(int), 0)[0]
        return float(chosen.sum(where=known))

    now, best = likelihood(labels), float(log_p.max(axis=0).sum(where=known))
    if best <= now:
        return 0.0
    found = max(
        likelihood(turned(labels, order, reverse))
        for _, order, reverse in orientations(labels.shape)
    )
    return max(found - now, 0.0) / (best - now)
