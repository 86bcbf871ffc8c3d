"""Dilation and erosion to a given change of area, in closed form.

``n`` iterations of the cross (4 neighbours in 2-D, 6 in 3-D) are the voxels within taxicab distance
``n``. One distance transform therefore holds the result of every number of iterations, and the
number whose area is nearest to the target is found by bisection.
"""

from bisect import bisect_left
from math import ceil, factorial

import numpy as np
import scipy  # whose parts are imported when they are needed

from keras_robust.common.errors import invalid

from .structures import Window, bounding_box, map_structures


def dilate(mask: np.ndarray, beta: float) -> np.ndarray:
    """Grow every structure until its area is nearest to ``A + int(beta * A)``.

    Equal to the generator of Li et al. that the T-Loss paper uses: dilate by the cross until the
    area reaches the target, keep whichever of the last two masks is nearer (the larger one where
    both are as near). The image is never filled: where the target needs that, the last mask before
    is kept. In a label map a structure grows into background only, lower labels first.

    Args:
        mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
        beta: area change relative to the area of the structure, >= 0.

    Returns:
        A new array of the shape and dtype of `mask`. Structures that cannot grow (empty, full, or
        where the nearest area is the present one) are unchanged.

    Raises:
        ValueError: the mask has another rank or dtype, or `beta` is negative or not finite.

    Reference:
        Li, Gao and He, Superpixel-guided iterative learning from noisy labels for medical image
        segmentation, MICCAI 2021; Gonzalez-Jimenez et al., Robust T-Loss, MICCAI 2023, section 3.1.

    >>> import numpy as np
    >>> mask = np.zeros((5, 5), bool)
    >>> mask[2, 2] = True
    >>> dilate(mask, 4.0).astype(int)       # 1 voxel + 4 = the cross of 5
    array([[0, 0, 0, 0, 0],
           [0, 0, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 1, 0, 0],
           [0, 0, 0, 0, 0]])
    """
    check_beta(beta)
    return map_structures(mask, lambda _, own, allowed: dilate_object(own, allowed, beta)[0])


def erode(mask: np.ndarray, beta: float) -> np.ndarray:
    """Shrink every structure until its area is nearest to ``A - int(beta * A)``, never to nothing.

    Equal to the generator of Li et al. that the T-Loss paper uses: erode by the cross (outside the
    image counts as background) until the area reaches the target, keep whichever of the last two
    masks is nearer (the smaller one where both are as near), and the last one that is not empty.

    Args:
        mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
        beta: area change relative to the area of the structure, >= 0.

    Returns:
        A new array of the shape and dtype of `mask`. Structures that cannot shrink are unchanged.

    Raises:
        ValueError: the mask has another rank or dtype, or `beta` is negative or not finite.

    >>> import numpy as np
    >>> mask = np.zeros((5, 5), np.uint8)
    >>> mask[1:4, 1:4] = 1
    >>> int(erode(mask, 0.8).sum())         # 9 - int(7.2) = 2: one voxel is nearer than nine
    1
    """
    check_beta(beta)
    return map_structures(mask, lambda _, own, allowed: erode_object(own, beta)[0])


def check_beta(beta: float) -> None:
    if not 0 <= beta < float("inf"):
        raise invalid(
            "beta",
            "a finite number >= 0",
            said=f"beta={beta}",
            remedy="It is the relative change of area, 0.7 for example.",
        )


def dilate_object(
    own: np.ndarray, allowed: np.ndarray | None, beta: float
) -> tuple[np.ndarray, int]:
    """One dilated structure and the number of iterations that gives it."""
    area = int(np.count_nonzero(own))
    target = area + int(area * beta)
    limit = room(own, allowed)
    if target == area or limit == area:
        return own.copy(), 0
    goal = min(target, limit)
    window, distance, reach = reach_of(own, allowed, goal)

    def area_after(iterations: int) -> int:
        return int(np.count_nonzero(distance <= iterations))

    iterations = bisect_left(range(reach), goal, key=area_after)
    reached = area_after(iterations)
    if reached == own.size or target - area_after(iterations - 1) < abs(reached - target):
        iterations -= 1
    return put(own, window, distance <= iterations), iterations


def erode_object(own: np.ndarray, beta: float) -> tuple[np.ndarray, int]:
    """One eroded structure and the number of iterations that gives it."""
    area = int(np.count_nonzero(own))
    target = area - int(area * beta)
    if target == area:
        return own.copy(), 0
    window, distance = depth_in(own)

    def area_after(iterations: int) -> int:
        return int(np.count_nonzero(distance > iterations))

    deepest = int(distance.max())
    iterations = bisect_left(range(deepest), -max(target, 0), key=lambda n: -area_after(n))
    reached = area_after(iterations)
    if reached == 0 or area_after(iterations - 1) - target < abs(reached - target):
        iterations -= 1
    return put(own, window, distance > iterations), iterations


def dilate_by(own: np.ndarray, allowed: np.ndarray | None, iterations: int) -> np.ndarray:
    """One structure dilated by a known number of iterations."""
    if iterations == 0 or not own.any():
        return own.copy()
    window = bounding_box(own, iterations)
    return put(own, window, _distance_to(own, allowed, window) <= iterations)


def erode_by(own: np.ndarray, iterations: int) -> np.ndarray:
    """One structure eroded by a known number of iterations."""
    if iterations == 0 or not own.any():
        return own.copy()
    window, distance = depth_in(own)
    return put(own, window, distance > iterations)


def room(own: np.ndarray, allowed: np.ndarray | None) -> int:
    """Voxels that a structure can have at most."""
    return own.size if allowed is None else int(np.count_nonzero(allowed))


def reach_of(
    own: np.ndarray, allowed: np.ndarray | None, voxels: int
) -> tuple[Window, np.ndarray, int]:
    """A box around a structure, the distance to it there (far where not allowed), and a distance
    within which at least so many voxels lie."""
    # Brunn-Minkowski bounds what n iterations add, away from the border of the image.
    area, rank = int(np.count_nonzero(own)), own.ndim
    root = 1 / rank
    reach = ceil((voxels**root - area**root) * factorial(rank) ** root / 2) + 1
    while True:
        window = bounding_box(own, reach)
        distance = _distance_to(own, allowed, window)
        if np.count_nonzero(distance <= reach) >= voxels:
            return window, distance, reach
        reach *= 2


def _distance_to(own: np.ndarray, allowed: np.ndarray | None, window: Window) -> np.ndarray:
    """Taxicab distance to the structure, which lies in the window; far where not allowed."""
    distance = scipy.ndimage.distance_transform_cdt(~own[window], metric="taxicab")
    if allowed is not None:
        distance[~allowed[window]] = np.iinfo(distance.dtype).max
    return distance


def depth_in(own: np.ndarray) -> tuple[Window, np.ndarray]:
    """Box of the structure and, in it, the taxicab distance to the outside of the structure."""
    window = bounding_box(own)
    distance = scipy.ndimage.distance_transform_cdt(np.pad(own[window], 1), metric="taxicab")
    return window, distance[(slice(1, -1),) * own.ndim]


def put(own: np.ndarray, window: Window, content: np.ndarray) -> np.ndarray:
    """`content` in its box, in an array of the shape of `own`."""
    result = np.zeros_like(own)
    result[window] = content
    return result
