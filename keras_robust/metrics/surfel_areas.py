"""Area of the surface element in each 2x2 or 2x2x2 neighbourhood of a mask."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations, product
from math import hypot, prod

import numpy as np
from numpy.typing import NDArray

__all__ = ["surfel_areas"]

Point = tuple[float, ...]
Triangle = tuple[Point, Point, Point]


@lru_cache(maxsize=64)
def surfel_areas(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Contour length in mm (2-D) or surface area in mm² (3-D) by neighbour code.

    The code of a neighbourhood has bit 2i + j (2-D) or 4i + 2j + k (3-D) set where its element
    (i, j) or (i, j, k) is foreground. The surface is that of marching squares or cubes through
    the midpoints of the edges, as in Nikolov et al.

    Args:
        spacing_mm: Distance between neighbours along each of two or three axes.

    Returns:
        Array of shape (16,) or (256,), read-only; zero for the codes 0 and 15 or 255.

    References:
        Nikolov et al. 2018, https://arxiv.org/abs/1809.04430
        Lorensen & Cline 1987, https://doi.org/10.1145/37401.37422

    >>> surfel_areas((1.0, 1.0)).round(3)[[0, 1, 3, 6, 15]]
    array([0.   , 0.707, 1.   , 1.414, 0.   ])
    >>> float(surfel_areas((2.0, 1.0, 3.0))[0b00001111])
    3.0
    """
    spacing = np.array(spacing_mm)
    areas = np.array(
        [
            np.linalg.norm(
                np.reshape(normals, (-1, spacing.size)) * prod(spacing) / spacing, axis=1
            ).sum()
            for normals in _normals(spacing.size)
        ]
    )
    areas.flags.writeable = False
    return areas


@lru_cache(maxsize=2)
def _normals(ndim: int) -> list[list[Point]]:
    """Per code, the normals of its elements at unit spacing; their lengths are the measures."""
    corners: list[Point] = list(product((0, 1), repeat=ndim))
    faces = list(_faces(ndim))
    codes: list[list[Point]] = []
    for code in range(2 ** len(corners)):
        foreground = {corner for bit, corner in enumerate(corners) if code >> bit & 1}
        # A mask and its complement have one surface; where a face is ambiguous, the corners of
        # the smaller side are kept apart.
        smaller = min(foreground, set(corners) - foreground, key=len)
        segments = [segment for face in faces for segment in _segments(face, smaller)]
        if ndim == 2:
            codes.append([(q[1] - p[1], p[0] - q[0]) for p, q in segments])
        else:
            codes.append([_normal(t) for loop in _loops(segments) for t in _triangles(loop)])
    return codes


def _faces(ndim: int) -> Iterator[list[Point]]:
    """The square, or the six faces of the cube: four corners in cyclic order."""
    for first, second in combinations(range(ndim), 2):
        fixed = [axis for axis in range(ndim) if axis not in (first, second)]
        for side in product((0, 1), repeat=len(fixed)):
            face = np.zeros((4, ndim), int)
            face[:, fixed] = side
            face[:, first], face[:, second] = (0, 0, 1, 1), (0, 1, 1, 0)
            yield [tuple(corner) for corner in face.tolist()]


def _segments(face: list[Point], inside: set[Point]) -> Iterator[tuple[Point, Point]]:
    """The segments that cut each run of inside corners off the rest of the face."""
    for start in range(4):
        if face[start] in inside and face[start - 1] not in inside:
            end = start
            while face[(end + 1) % 4] in inside:
                end += 1
            yield (
                _midpoint(face[start - 1], face[start]),
                _midpoint(face[end % 4], face[(end + 1) % 4]),
            )


def _midpoint(p: Point, q: Point) -> Point:
    return tuple((x + y) / 2 for x, y in zip(p, q, strict=True))


def _loops(segments: Iterable[tuple[Point, Point]]) -> Iterator[list[Point]]:
    """The closed polygons that the segments form; every point ends two segments."""
    neighbours: dict[Point, list[Point]] = defaultdict(list)
    for p, q in segments:
        neighbours[p].append(q)
        neighbours[q].append(p)
    while neighbours:
        loop = [next(iter(neighbours))]
        while following := [p for p in neighbours.pop(loop[-1]) if p in neighbours]:
            loop.append(following[0])
        yield loop


def _triangles(loop: list[Point]) -> list[Triangle]:
    # Polygons of five and six points are not flat, so the area depends on how they are cut. The
    # tables in use for surface Dice cut for the greatest area at unit spacing, whatever the
    # spacing is.
    return max(
        _triangulations(loop), key=lambda triangles: sum(hypot(*_normal(t)) for t in triangles)
    )


def _triangulations(loop: list[Point]) -> Iterator[list[Triangle]]:
    if len(loop) < 3:
        yield []
    for apex in range(1, len(loop) - 1):
        for left, right in product(
            list(_triangulations(loop[: apex + 1])), list(_triangulations(loop[apex:]))
        ):
            yield [*left, (loop[0], loop[apex], loop[-1]), *right]


def _normal(triangle: Triangle) -> Point:
    p, q, r = triangle
    u, v = [y - x for x, y in zip(p, q, strict=True)], [y - x for x, y in zip(p, r, strict=True)]
    return tuple((u[i - 2] * v[i - 1] - u[i - 1] * v[i - 2]) / 2 for i in range(3))
