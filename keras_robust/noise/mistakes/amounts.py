"""How much of a mistake: the step nearest to the change asked for, and the voxels nearest to a
point."""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np

from ..measure import measure
from ..structures import Window


def nearest_step(low: int, high: int, reached: Callable[[int], float | None], beta: float) -> int:
    """The whole number from `low` to `high` whose change is nearest to `beta`, by bisection.

    Args:
        low, high: of the numbers.
        reached: change at a number, which more or less rises; None where nothing would be left,
            which counts as far too much.
        beta: change asked for.

    Returns:
        The best number that was tried; `low` where all leave nothing.

    >>> nearest_step(1, 100, lambda number: number / 10, 0.72)
    7
    """
    tried: dict[int, float] = {}

    def error(number: int) -> float:
        if number not in tried:
            change = reached(number)
            tried[number] = np.inf if change is None else change - beta
        return tried[number]

    first, last = low, high
    while first < last:
        middle = (first + last) // 2
        if error(middle) < 0:
            first = middle + 1
        else:
            last = middle
    for number in (first, max(first - 1, low)):
        error(number)
    return min(tried, key=lambda number: (abs(tried[number]), number))


def change_of(clean: np.ndarray, noisy: np.ndarray) -> float | None:
    """Relative change of area of a mask; None where nothing of it is left."""
    return measure(clean, noisy).reached if noisy.any() else None


def first_voxels(where: np.ndarray, direction: Sequence[float], voxels: int) -> np.ndarray:
    """Those of the true voxels that lie furthest in a direction; of equals, the first.

    >>> first_voxels(np.ones((1, 4), bool), (0.0, -1.0), 2).astype(int)
    array([[1, 1, 0, 0]])
    """
    positions = np.nonzero(where)
    # Sums by hand: a matrix product may differ in the last bit from machine to machine.
    towards = sum(p * float(d) for p, d in zip(positions, direction, strict=True))
    order = np.argsort(-np.asarray(towards), kind="stable")[:voxels]
    result = np.zeros_like(where)
    result[tuple(p[order] for p in positions)] = True
    return result


def nearest_voxels(
    where: np.ndarray,
    centre: Sequence[float],
    voxels: int,
    direction: Sequence[float] | None = None,
    stretch: float = 1.0,
) -> np.ndarray:
    """The true voxels that are nearest to a point; of equals, the first.

    Args:
        where: boolean, any rank.
        centre: the point, in voxels.
        voxels: how many; fewer where `where` has fewer.
        direction: unit vector along which the ball is drawn out to an ellipsoid.
        stretch: by how much.

    >>> nearest_voxels(np.ones((3, 3), bool), (1, 1), 5).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    result = np.zeros_like(where)
    reach = ceil(0.65 * stretch * voxels ** (1 / where.ndim)) + 1  # more than half a ball needs
    while True:
        window, inside, distance = _around(where, centre, reach, direction, stretch)
        # What lies outside the window is further than this, however it is drawn out.
        sure = np.flatnonzero(distance <= ((reach - 1) / stretch) ** 2)
        if result[window].size == result.size:
            sure = np.arange(len(distance))
        elif len(sure) < voxels:
            reach = ceil(1.5 * reach)
            continue
        nearest = sure[np.argsort(distance[sure], kind="stable")[:voxels]]
        result[window][tuple(p[nearest] for p in inside)] = True
        return result


def voxels_within(
    where: np.ndarray,
    centre: Sequence[float],
    radius: float,
    direction: Sequence[float],
    stretch: float,
) -> int:
    """How many of the true voxels lie in an ellipsoid of this radius, `stretch` times as long.

    >>> voxels_within(np.ones((3, 9), bool), (1, 4), 1.0, (0, 1), 3.0)    # 3 + 1 + 3 and 2 beside
    9
    """
    reach = ceil(stretch * radius) + 1
    _, _, distance = _around(where, centre, reach, direction, stretch)
    return int(np.count_nonzero(distance <= radius**2 + 1e-9))


def _around(
    where: np.ndarray,
    centre: Sequence[float],
    reach: int,
    direction: Sequence[float] | None,
    stretch: float,
) -> tuple[Window, tuple[np.ndarray, ...], np.ndarray]:
    """A box around a point, the true voxels in it, and the square of their distance, along
    `direction` divided by `stretch`."""
    window = tuple(
        slice(max(int(c) - reach, 0), max(min(int(c) + reach + 1, length), 0))
        for c, length in zip(centre, where.shape, strict=True)
    )
    inside = np.nonzero(where[window])
    offsets = [p + (box.start - float(c)) for p, box, c in zip(inside, window, centre, strict=True)]
    distance = np.asarray(sum(o * o for o in offsets))
    if direction is not None:
        along = np.asarray(sum(o * float(d) for o, d in zip(offsets, direction, strict=True)))
        distance = distance - (1 - stretch**-2) * along * along
    return window, inside, distance
