"""Slices of volumes left out, copied, or beside their place; slices lie along the first axis."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..affine import shifted
from ..kinds import Draw, Drawn, NotHere, Parameters
from .amounts import change_of, nearest_step


def slices_missing(mask: np.ndarray, slices: Sequence[int]) -> np.ndarray:
    """A volume with these slices empty."""
    result = mask.copy()
    result[list(slices)] = 0
    return result


def draw_slices_missing(mask: np.ndarray, draw: Draw) -> Drawn:
    """A run of slices, or as often ones here and there, that hold about `beta` of the area."""
    drawn = _drawn_slices(mask)
    scattered = bool(draw.generator.integers(2))
    order, place = draw.generator.permutation(drawn), draw.generator.uniform()
    areas = {z: int(np.count_nonzero(mask[z])) for z in drawn}

    def chosen(count: int) -> list[int]:
        return sorted(order[:count].tolist()) if scattered else _run(drawn, count, place)

    def reached(count: int) -> float:
        return sum(areas[z] for z in chosen(count)) / sum(areas.values())

    parameters = {"slices": chosen(nearest_step(1, len(drawn) - 1, reached, draw.beta))}
    return slices_missing(mask, **parameters), parameters


def slices_repeated(mask: np.ndarray, slices: Sequence[int], source: int) -> np.ndarray:
    """A volume in which these slices have the mask of another one."""
    result = mask.copy()
    result[list(slices)] = mask[source]
    return result


def draw_slices_repeated(mask: np.ndarray, draw: Draw) -> Drawn:
    """The mask of one slice copied to those behind it, until the change is nearest to `beta`."""
    drawn = _drawn_slices(mask)
    place = draw.generator.uniform()

    def chosen(count: int) -> Parameters:
        source, *slices = _run(drawn, count + 1, place)
        return {"slices": slices, "source": source}

    def reached(count: int) -> float | None:
        return change_of(mask, slices_repeated(mask, **chosen(count)))

    parameters = chosen(nearest_step(1, len(drawn) - 1, reached, draw.beta))
    noisy = slices_repeated(mask, **parameters)
    return _changed(noisy, mask, "neighbouring slices are alike"), parameters


def neighbour_slice(mask: np.ndarray, slices: Sequence[int], offset: int) -> np.ndarray:
    """A volume in which these slices have the mask of the one `offset` further; beyond the ends
    there is none."""
    result = mask.copy()
    for z in slices:
        result[z] = mask[z + offset] if 0 <= z + offset < len(mask) else 0
    return result


def draw_neighbour_slice(mask: np.ndarray, draw: Draw) -> Drawn:
    """A run of slices with the masks of their neighbours; where the change is still below `beta`
    for all of them, of those further away."""
    drawn = _drawn_slices(mask)
    sign, place = int(draw.generator.choice((-1, 1))), draw.generator.uniform()

    def chosen(step: int) -> Parameters:
        count = min(step, len(drawn))
        return {"slices": _run(drawn, count, place), "offset": sign * (1 + step - count)}

    def reached(step: int) -> float | None:
        return change_of(mask, neighbour_slice(mask, **chosen(step)))

    parameters = chosen(nearest_step(1, len(drawn) * 3 // 2, reached, draw.beta))
    noisy = neighbour_slice(mask, **parameters)
    return _changed(noisy, mask, "neighbouring slices are alike"), parameters


def slices_shifted(mask: np.ndarray, shifts: Mapping[str, Sequence[int]]) -> np.ndarray:
    """A volume whose slices are each shifted within their plane.

    Args:
        mask: labels, `(D, H, W)`.
        shifts: rows and columns, whole voxels, by the number of the slice as text.
    """
    result = mask.copy()
    for z, shift in shifts.items():
        result[int(z)] = shifted(mask[int(z)], shift)
    return result


def draw_slices_shifted(mask: np.ndarray, draw: Draw) -> Drawn:
    """About half of the slices, each in its own direction and by its own share of a distance that
    brings the change nearest to `beta`."""
    drawn = _drawn_slices(mask)
    moved = draw.generator.uniform(size=len(drawn)) < 0.5
    moved[int(draw.generator.integers(len(drawn)))] = True
    directions = draw.generator.normal(size=(len(drawn), 2))

    def shifts(distance: int) -> dict[str, list[int]]:
        return {
            str(z): np.rint(distance * direction).astype(int).tolist()
            for z, direction, moves in zip(drawn, directions, moved, strict=True)
            if moves
        }

    def reached(distance: int) -> float | None:
        return change_of(mask, slices_shifted(mask, shifts(distance)))

    distance = nearest_step(1, max(1, min(mask.shape[1:]) // 4), reached, draw.beta)
    parameters = {"shifts": shifts(distance)}
    noisy = slices_shifted(mask, **parameters)
    return _changed(noisy, mask, "no slice can be shifted visibly"), parameters


def _drawn_slices(mask: np.ndarray) -> list[int]:
    """The slices that something is drawn in."""
    if mask.ndim != 3:
        raise NotHere("it is made in volumes, and this is an image")
    drawn = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    if len(drawn) < 2:
        raise NotHere("it takes a structure in two slices or more")
    return drawn


def _run(drawn: Sequence[int], count: int, place: float) -> list[int]:
    """So many slices in a row."""
    start = int(place * (len(drawn) - count + 1))
    return list(drawn[start : start + count])


def _changed(noisy: np.ndarray, mask: np.ndarray, otherwise: str) -> np.ndarray:
    if not noisy.any() or np.array_equal(noisy, mask):
        raise NotHere(otherwise)
    return noisy
