"""Shapes that annotation tools draw, and the pixels that they cover.

One rule for all: a pixel is covered where its centre is. Coordinates are those of the tools, x to
the right and y down in pixels from the outer corner of the first pixel, whose centre is (0.5, 0.5).
Of centres that lie on an edge, those at the left and at the top of a shape are covered, so that
shapes that share an edge share no pixel and leave none out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ellipse", "Pixels", "Polygon", "Runs", "Shape", "paint", "rectangle", "runs_of"]

FAR = 1e7  # pixels; further out is no drawing, and would take memory for nothing


@dataclass(frozen=True)
class Polygon:
    """One or several rings, of which a point is inside if an odd number of them holds it.

    Args:
        rings: (N, 2) each, x and y; the last point is joined to the first.

    Raises:
        ValueError: A ring of fewer than three points, or with points that are no numbers.
    """

    rings: tuple[NDArray[np.float64], ...]

    def __init__(self, rings: Iterable[ArrayLike]):
        object.__setattr__(self, "rings", tuple(_checked(ring) for ring in rings))

    def covers(self, shape: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """Row and column at which the covered pixels begin within an image, and which they are.

        >>> Polygon([[(1, 0), (3, 0), (3, 2), (1, 2)]]).covers((4, 4))[2].sum()
        np.int64(4)
        """
        points = np.concatenate(self.rings)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        first = np.clip(np.floor([top, left]), 0, shape).astype(int)
        last = np.clip(np.ceil([bottom, right]), 0, shape).astype(int)
        height, width = np.maximum(last - first, 0)
        # Each edge turns all pixels to its right around, in the rows whose centres it passes.
        turns = np.zeros((height, width + 1), np.int32)
        for ring in self.rings:
            rows, x = _crossings(ring, first[0], last[0])
            columns = np.clip(np.ceil(x - 0.5) - first[1], 0, width).astype(np.intp)
            np.add.at(turns, (rows - first[0], columns), 1)
        return int(first[0]), int(first[1]), np.cumsum(turns, axis=1)[:, :-1] % 2 == 1


@dataclass(frozen=True)
class Ellipse:
    """An ellipse by its centre, its half axes and its turn in degrees, clockwise as shown."""

    x: float
    y: float
    half_width: float
    half_height: float
    degrees: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.half_width, self.half_height, self.degrees)
        if not all(abs(n) <= FAR for n in numbers) or min(self.half_width, self.half_height) <= 0:
            raise ValueError("an ellipse needs a centre, and half axes above 0")

    def covers(self, shape: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Polygon.covers`."""
        reach = max(self.half_width, self.half_height)
        top, bottom = (int(np.clip(n, 0, shape[0])) for n in (self.y - reach, self.y + reach + 1))
        left, right = (int(np.clip(n, 0, shape[1])) for n in (self.x - reach, self.x + reach + 1))
        y = np.arange(top, bottom)[:, np.newaxis] + 0.5 - self.y
        x = np.arange(left, right) + 0.5 - self.x
        sine, cosine = np.sin(np.deg2rad(self.degrees)), np.cos(np.deg2rad(self.degrees))
        along, across = cosine * x + sine * y, cosine * y - sine * x
        inside = (along / self.half_width) ** 2 + (across / self.half_height) ** 2 <= 1
        return top, left, inside


@dataclass(frozen=True)
class Pixels:
    """Pixels that are drawn one by one, (H, W), from a row and a column on."""

    drawn: NDArray[np.bool_]
    top: int = 0
    left: int = 0

    def covers(self, shape: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Polygon.covers`."""
        top, left = max(self.top, 0), max(self.left, 0)
        inside = self.drawn[top - self.top : shape[0] - self.top, left - self.left :]
        return top, left, inside[:, : max(shape[1] - left, 0)]


@dataclass(frozen=True)
class Runs:
    """Lengths of runs of pixels, not covered and covered by turns, that fill a box.

    Args:
        lengths: The first is not covered; it may be 0.
        box: Rows and columns that they fill.
        down: Whether they run down the columns, as COCO has them, rather than along the rows.
        top, left: Where the box begins.

    Raises:
        ValueError: Lengths below 0, or that do not fill the box.
    """

    lengths: NDArray[np.int64]
    box: tuple[int, int]
    down: bool = False
    top: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        height, width = self.box
        if min(height, width) < 0 or height > FAR or width > FAR:
            raise ValueError(f"its box of {height} x {width} pixels cannot be")
        total = sum(map(int, self.lengths))
        if np.min(self.lengths, initial=0) < 0 or total != height * width:
            raise ValueError(
                f"its runs fill {total} pixels, where {height} x {width} are {height * width}"
            )

    def covers(self, shape: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Polygon.covers`."""
        flat = np.repeat(np.arange(len(self.lengths)) % 2 == 1, self.lengths)
        drawn = flat.reshape(self.box, order="F" if self.down else "C")
        return Pixels(drawn, self.top, self.left).covers(shape)


Shape = Polygon | Ellipse | Pixels | Runs


def rectangle(
    left: float, top: float, right: float, bottom: float, degrees: float = 0.0, turned: str = ""
) -> Polygon:
    """A rectangle, turned clockwise as shown about its "corner" (left, top) or its "centre"."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    about = corners[0] if turned == "corner" else corners.mean(axis=0)
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    if degrees:
        corners = (corners - about) @ np.array([[cosine, sine], [-sine, cosine]]) + about
    return Polygon([corners])


def paint(shape: tuple[int, int], drawn: Sequence[tuple[int, Shape]]) -> NDArray[np.uint8]:
    """Labels (H, W) of shapes with their labels, painted in this order: later ones win.

    >>> square = rectangle(0, 0, 2, 2)
    >>> paint((2, 4), [(1, square), (2, rectangle(1, 0, 4, 1))]).tolist()
    [[1, 2, 2, 2], [1, 1, 0, 0]]
    """
    labels = np.zeros(shape, np.uint8)
    for label, one in drawn:
        top, left, inside = one.covers(shape)
        height, width = inside.shape
        labels[top : top + height, left : left + width][inside] = label
    return labels


def runs_of(flat: NDArray[np.bool_]) -> list[int]:
    """Lengths of runs of elements, false and true by turns; the first may be 0.

    >>> runs_of(np.array([True, True, False]))
    [0, 2, 1]
    """
    changes = np.flatnonzero(np.diff(flat)) + 1
    ends = np.concatenate([[0] * (1 + bool(flat[0])), changes, [flat.size]])
    return np.diff(ends).astype(int).tolist()


def _checked(ring: ArrayLike) -> NDArray[np.float64]:
    try:
        points = np.asarray(ring, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its points are not pairs of numbers") from None
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError("its points are not pairs of numbers")
    points = points[:, :2]
    if not (np.abs(points) <= FAR).all():  # also of what is no number
        raise ValueError("its points lie nowhere")
    if len(points) < 3:
        raise ValueError(f"a polygon needs three points, and has {len(points)}")
    return points


def _crossings(
    ring: NDArray[np.float64], first: int, last: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Rows from `first` to `last` whose centres an edge passes, and where it passes them."""
    after = np.roll(ring, -1, axis=0)
    # From the top, so that shapes on both sides of an edge find the same crossings.
    rises = (ring[:, 1] <= after[:, 1])[:, np.newaxis]
    start, end = np.where(rises, ring, after), np.where(rises, after, ring)
    begin = np.clip(np.ceil(start[:, 1] - 0.5), first, last).astype(np.intp)
    count = np.clip(np.ceil(end[:, 1] - 0.5), first, last).astype(np.intp) - begin
    edge = np.repeat(np.arange(len(ring)), count)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + begin[edge]
    (x, y), (to_x, to_y) = start[edge].T, end[edge].T
    return rows, x + (rows + 0.5 - y) * (to_x - x) / (to_y - y)
