"""Mistakes drawn into the masks of a dataset, from which the default score learns."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, center_of_mass

from keras_robust.suspicion.structure import signed_distance

__all__ = ["mistakes"]

Mask = NDArray[np.bool_]
# How much is changed: relative to the size of the object, and to its width for translations.
GROWTH = (0.1, 1.2)
LOSS = (0.1, 0.85)
SHIFT = (0.05, 0.6)
LARGEST_ANGLE = 30.0


def mistakes(
    mask: Mask, spacing: tuple[float, ...], generator: np.random.Generator
) -> Iterator[Mask]:
    """The mask drawn too large, too small, and elsewhere, each by a random amount.

    Those that would change nothing, or leave nothing, are left out.

    Args:
        mask: `(*spatial)`, 2-D or 3-D.
        spacing: Distance between neighbouring elements along each axis.
        generator: Where the amounts come from.
    """
    size = int(mask.sum())
    if not size:
        return
    distance = signed_distance(mask, spacing)
    # Elements at one distance are in no order of their own.
    distance += 1e-3 * min(spacing) * generator.random(mask.shape)
    changed = [
        _of_size(distance, size * (1 + generator.uniform(*GROWTH))),
        _of_size(distance, size * (1 - generator.uniform(*LOSS))),
        _moved(mask, size, generator),
    ]
    for other in changed:
        if other.any() and (other != mask).any():
            yield other


def _of_size(distance: NDArray[np.float64], size: float) -> Mask:
    count = min(max(round(size), 1), distance.size)
    nearest = np.argpartition(distance, count - 1, axis=None)[:count]
    result = np.zeros(distance.size, bool)
    result[nearest] = True
    return result.reshape(distance.shape)


def _moved(mask: Mask, size: int, generator: np.random.Generator) -> Mask:
    width = size ** (1 / mask.ndim)
    angle = np.deg2rad(generator.uniform(-LARGEST_ANGLE, LARGEST_ANGLE))
    rotation = np.eye(mask.ndim)
    axes = generator.choice(mask.ndim, 2, replace=False)
    rotation[np.ix_(axes, axes)] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    direction = generator.normal(size=mask.ndim)
    shift = generator.uniform(*SHIFT) * width * direction / np.linalg.norm(direction)
    centre = np.array(center_of_mass(mask))
    offset = centre - rotation @ (centre + shift)
    return affine_transform(mask.astype(np.float32), rotation, offset, order=1) > 0.5
