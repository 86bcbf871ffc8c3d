"""What is missing from a mask or too much in it, taken apart by where it lies."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.ndimage import label as components
from scipy.spatial import ConvexHull, QhullError

__all__ = ["Regions", "without_thin"]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
# What is thinner, as a share of how deep the objects are, is doubt about the outline.
THIN = 0.08
# An object is overlooked where the other side holds no more of it than this.
TOUCHED = 0.03
DIRECTIONS_3D = 48
STEPS = 64
FEW_POINTS = 1000


class Regions:
    """Where a mask and the evidence part, and how much of the evidence each part is.

    Args:
        mask: `(*spatial)`, the given mask of a class, or of all.
        log_odds: `(*spatial)`, that each element belongs to it.

    Attributes:
        weights: `(*spatial)`, the evidence against the label of each element.
        missing: What the evidence holds and the mask does not.
        extra: The reverse.
    """

    def __init__(self, mask: Mask, log_odds: Floats):
        self.mask, self.log_odds = mask, log_odds
        self.predicted: Mask = log_odds > 0
        self.missing: Mask = self.predicted & ~mask
        self.extra: Mask = mask & ~self.predicted
        self.weights = np.where(self.missing | self.extra, np.abs(log_odds), 0.0)
        self.total = float(self.weights.sum())

    def share(self, where: Mask) -> float:
        """How much of the evidence lies in some elements, from 0 to 1."""
        return float(self.weights.sum(where=where)) / self.total if self.total else 0.0

    @cached_property
    def thin(self) -> float:
        """Half the width, in elements, up to which a region is doubt about the outline."""
        depth = float(distance_transform_edt(np.pad(self.mask | self.predicted, 1)).max())
        return max(1.0, THIN * depth)

    @cached_property
    def missing_objects(self) -> Mask:
        """Objects of the evidence that the mask does not touch."""
        return _untouched(self.predicted & ~self.holes, self.mask)

    @cached_property
    def extra_objects(self) -> Mask:
        """Objects of the mask of which there is no evidence."""
        return _untouched(self.mask, self.predicted)

    @cached_property
    def holes(self) -> Mask:
        """What is missing in the midst of the mask."""
        return self.missing & binary_fill_holes(self.mask)

    @cached_property
    def parts(self) -> Mask:
        """The largest piece that is missing at the side of an object."""
        return self._largest(self.missing & ~self.holes & ~self.missing_objects)

    @cached_property
    def leaks(self) -> Mask:
        """Of each object of the mask, the largest piece that runs out over its boundary."""
        thick = without_thin(self.extra & ~self.extra_objects, self.thin)
        pieces, count = components(thick, np.ones((3,) * thick.ndim))
        if not count:
            return thick
        objects, _ = components(self.mask, np.ones((3,) * thick.ndim))
        weights = np.bincount(pieces.ravel(), self.weights.ravel(), count + 1)
        home = np.zeros(count + 1, int)
        home[pieces[thick]] = objects[thick]
        best: dict[int, int] = {}
        for piece in sorted(range(1, count + 1), key=lambda one: weights[one]):
            best[home[piece]] = piece
        return np.isin(pieces, list(best.values()))

    def objects_missing(self) -> float:
        """How much of the evidence is for objects that are missing; less where these are many, as
        one part of all that is missing is simpler."""
        numbered, count = components(self.missing_objects, np.ones((3,) * self.mask.ndim))
        weights = np.bincount(numbered.ravel(), self.weights.ravel(), count + 1)[1:]
        if not weights.any():
            return 0.0
        many = float(weights.sum() ** 2 / (weights**2).sum())
        return float(weights.sum()) / self.total - min(0.05 * (many - 1), 0.25)

    def attached(self) -> float:
        """How much of the evidence lies along outlines that both sides have."""
        return self.share(~(self.missing_objects | self.extra_objects | self.holes))

    def part(self) -> float:
        """How much of the evidence is the largest piece that is missing at one side of an object:
        none of it where the piece lies all around what is drawn."""
        if not self.parts.any():
            return 0.0
        objects, _ = components(self.mask | self.predicted, np.ones((3,) * self.mask.ndim))
        piece = np.argwhere(self.parts)
        drawn = np.argwhere(self.mask & (objects == objects[tuple(piece[0])]))
        return self.share(self.parts) * (1 - _surrounded(drawn, piece)) if len(drawn) else 0.0

    def beyond_plane(self) -> float:
        """How much of the evidence is all that lies beyond a plane; less by the share of the mask
        that does."""
        lost, drawn = np.argwhere(self.missing), np.argwhere(self.mask)
        if not len(lost) or not len(drawn):
            return 0.0
        gain = self.weights[self.missing] / self.total
        price = np.full(len(drawn), 1 / len(drawn))
        middle = drawn.mean(axis=0)
        toward = (lost * gain[:, None]).sum(axis=0) / gain.sum() - middle
        best = 0.0
        for direction in (toward, *_directions(self.mask.ndim)):
            length = float(np.linalg.norm(direction))
            if length < 1e-6:
                continue
            along = [(points - middle) @ (direction / length) for points in (lost, drawn)]
            edges = np.linspace(min(a.min() for a in along), max(a.max() for a in along), STEPS + 1)
            gains, prices = (
                np.histogram(a, edges, weights=w)[0]
                for a, w in zip(along, (gain, price), strict=True)
            )
            best = max(best, float(np.cumsum((gains - prices)[::-1]).max()))
        return best

    def empty_slices(self, axis: int) -> float:
        """How much of the evidence lies in slices across an axis in which nothing is drawn; beyond
        the ends of the mask it may as well be a part of any other shape."""
        others = tuple(a for a in range(self.mask.ndim) if a != axis)
        drawn = np.flatnonzero(self.mask.any(axis=others))
        if not len(drawn):
            return 0.0
        lost = np.where(self.missing & ~self.missing_objects, self.weights, 0).sum(axis=others)
        lost[drawn] = 0
        outside = (lost[: drawn[0]].sum() + lost[drawn[-1] + 1 :].sum()) / self.total
        between = lost.sum() / self.total - outside
        return float(between + (outside if outside + between > 0.85 else max(outside - 0.2, 0)))

    def runs_of_slices(self) -> Iterator[Mask]:
        """What is missing in each run of slices in which nothing is drawn, across the axis across
        which most is."""
        axes = range(self.mask.ndim if self.mask.ndim == 3 else 0)
        axis = max(axes, key=self.empty_slices, default=0)
        if not axes or not self.empty_slices(axis):
            return
        others = tuple(a for a in axes if a != axis)
        lost = self.missing & ~self.missing_objects
        runs, count = components(lost.any(axis=others) & ~self.mask.any(axis=others))
        for run in range(1, count + 1):
            shape = [-1 if a == axis else 1 for a in axes]
            yield lost & (runs == run).reshape(shape)

    def _largest(self, where: Mask) -> Mask:
        thick = without_thin(where, self.thin)
        pieces, count = components(thick, np.ones((3,) * thick.ndim))
        if not count:
            return thick
        weights = np.bincount(pieces.ravel(), self.weights.ravel(), count + 1)
        return pieces == 1 + int(np.argmax(weights[1:]))


def _surrounded(points: NDArray[np.intp], piece: NDArray[np.intp]) -> float:
    """Share of the points that lie within the convex hull of others."""
    few = points[:: max(1, len(points) // FEW_POINTS)]
    try:
        faces = ConvexHull(piece).equations
    except (QhullError, ValueError):  # as thin as a line or plane
        return 0.0
    return float((few @ faces[:, :-1].T + faces[:, -1] <= 1e-9).all(axis=1).mean())


def _untouched(own: Mask, other: Mask) -> Mask:
    """The objects of one mask that share next to nothing with the other."""
    numbered, count = components(own, np.ones((3,) * own.ndim))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    shared = np.bincount(numbered[other], minlength=count + 1)
    alone = shared <= TOUCHED * sizes
    alone[0] = False
    return alone[numbered]


def without_thin(where: Mask, radius: float) -> Mask:
    """A region without what is thinner than twice a radius in elements."""
    if not where.any():
        return where
    core = distance_transform_edt(np.pad(where, 1))[(slice(1, -1),) * where.ndim] > radius
    if not core.any():
        return core
    # Half as far again as the core is deep, so that square corners stay.
    return where & (distance_transform_edt(~core) <= 1.5 * radius)


def _directions(ndim: int) -> Floats:
    """Unit vectors spread over the circle or the sphere."""
    if ndim == 2:
        angles = np.arange(16) * (2 * np.pi / 16)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    steps = np.arange(DIRECTIONS_3D) + 0.5
    height = 1 - 2 * steps / DIRECTIONS_3D
    angles = np.pi * (1 + 5**0.5) * steps
    ring = np.sqrt(1 - height**2)
    return np.stack([ring * np.cos(angles), ring * np.sin(angles), height], axis=1)
