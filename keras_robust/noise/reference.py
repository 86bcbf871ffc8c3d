"""Draws and affine noise of the generator published by Li et al. and used by the T-Loss paper.

Its traits are kept on purpose, so that published numbers can be repeated: rotation about the centre
of the image with bilinear values truncated to integers (the boundary ring is lost), shifts down and
right only, and the last step that the bisection tried instead of the best one. The default mode of
`LabelNoise` has none of them.
"""

import random
from collections.abc import Iterable, Sequence

import numpy as np

from keras_robust.common.errors import invalid

# Drawn from as listed, (-1, 1) twice; the sign is lost when the shift is applied.
DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, 1), (0, -1), (1, -1))
MAX_STEP = 100
MAX_TRIES = 20


def reference_draws(
    ids: Iterable[str], alpha: float, seed: int, kinds: Sequence[str], max_angle: float
) -> dict[str, tuple[str, float | None, tuple[int, int] | None]]:
    """Kind, angle and direction of every id, in the published order of draws."""
    generator = random.Random(seed)
    # The generator sorted the names of PNG files, where "a-1.png" comes before "a.png".
    ordered = sorted(ids, key=lambda id: f"{id}.png")
    shuffled = list(ordered)
    generator.shuffle(shuffled)
    noisy = set(shuffled[: int(len(shuffled) * alpha)])
    draws: dict[str, tuple[str, float | None, tuple[int, int] | None]] = {}
    for id in ordered:
        kind = generator.choice(list(kinds)) if id in noisy else "clean"
        if kind == "affine":
            angle = generator.uniform(-max_angle, max_angle)
            draws[id] = (kind, angle, generator.choice(DIRECTIONS))
        else:
            draws[id] = (kind, None, None)
    return draws


def choose_reference_step(
    own: np.ndarray, beta: float, angle: float, direction: Sequence[int]
) -> list[int]:
    """Shift at which the published bisection stops."""
    rotated = _rotate(own, angle)
    area = int(np.count_nonzero(own))
    low, high, step = 0, MAX_STEP, 0
    for _ in range(MAX_TRIES):
        if low >= high:
            break
        step = (low + high) // 2
        moved = _shift(rotated, [abs(step * d) for d in direction])
        change = np.count_nonzero(moved != own) / area
        if change == beta:
            break
        low, high = (low, step - 1) if change > beta else (step + 1, high)
    return [abs(step * d) for d in direction]


def reference_affine_object(
    own: np.ndarray, allowed: np.ndarray | None, angle: float, shift: Sequence[int]
) -> np.ndarray:
    """One structure, rotated and shifted as published; unchanged where nothing would remain."""
    result = _shift(_rotate(own, angle), shift)
    if allowed is not None:
        result &= allowed
    return result if result.any() else own.copy()


def _rotate(own: np.ndarray, angle: float) -> np.ndarray:
    if own.ndim != 2:
        raise invalid(
            "mask",
            "(H, W): the published affine noise is for images",
            said=f"mask of shape {own.shape}",
            remedy="Use mode='unbiased' for volumes.",
        )
    from skimage.transform import rotate  # costs half a second, and only this mode needs it

    return rotate(own.astype(float), angle).astype(np.uint8).astype(bool)


def _shift(own: np.ndarray, shift: Sequence[int]) -> np.ndarray:
    down, right = shift
    result = np.zeros_like(own)
    height, width = own.shape
    result[down:, right:] = own[: max(height - down, 0), : max(width - right, 0)]
    return result
