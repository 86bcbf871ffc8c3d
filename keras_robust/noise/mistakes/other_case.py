"""The mask of another case."""

import base64
import zlib

import numpy as np

from ..kinds import Draw, Drawn, NotHere


def other_case(mask: np.ndarray, source: str, labels: str, dtype: str) -> np.ndarray:
    """The mask of another case, in place of the case's own.

    Args:
        mask: labels of the case; only their shape and dtype count.
        source: id of the other case.
        labels: its mask at the size of `mask`, packed: bytes in C order, compressed by zlib, in
            base64. So the log replays without the other mask.
        dtype: of the packed labels.
    """
    raw = zlib.decompress(base64.b64decode(labels))
    return np.frombuffer(raw, dtype).reshape(mask.shape).astype(mask.dtype)


def draw_other_case(mask: np.ndarray, draw: Draw) -> Drawn:
    """The mask that the plan says, by nearest neighbour where it has another size."""
    if draw.other is None:
        raise NotHere("it takes the mask of another case, and there is none")
    found = np.asarray(draw.other())
    found = found[..., 0] if found.ndim == mask.ndim + 1 and found.shape[-1] == 1 else found
    if found.ndim != mask.ndim:
        raise NotHere(f"the mask of {draw.source!r} has another number of axes")
    noisy = _resized(found, mask.shape).astype(mask.dtype)
    if not noisy.any() or np.array_equal(noisy, mask):
        raise NotHere(f"the mask of {draw.source!r} is empty or the same")
    top = int(noisy.max())
    dtype = "|u1" if top < 2**8 else "<u2" if top < 2**16 else "<i8"
    packed = zlib.compress(noisy.astype(dtype).tobytes(), 9)
    return noisy, {
        "source": draw.source,
        "labels": base64.b64encode(packed).decode("ascii"),
        "dtype": dtype,
    }


def _resized(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """By nearest neighbour."""
    for axis, length in enumerate(shape):
        if mask.shape[axis] != length:
            nearest = ((2 * np.arange(length) + 1) * mask.shape[axis]) // (2 * length)
            mask = mask.take(nearest, axis)
    return mask
