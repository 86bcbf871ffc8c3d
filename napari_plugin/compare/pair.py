"""Two layers to compare: their data, spacing, and what is found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from keras_robust.data.files.grid import TOLERANCE, elements_apart
from napari_plugin.compare.difference import Tally, difference, tally
from napari_plugin.compare.measures import ClassMeasures, Comparer
from napari_plugin.viewer.layers import Spacing, about, spacing, to_world

if TYPE_CHECKING:
    from napari.components import Dims

__all__ = ["Found", "Pair", "find", "read_pair"]

KNOWN = ("px", "units", "mm")  # from what says least of a length


@dataclass(frozen=True)
class Pair:
    """Two masks as arrays of one grid, whole or one slice of each.

    Attributes:
        a, b: Labels.
        spacing: Of these.
        shape: Of the layers.
        where: Index of `a` and `b` in the layers.
        class_names: Of the dataset that one of them comes from, as `Dataset.class_names`.
    """

    a: NDArray
    b: NDArray
    spacing: Spacing
    shape: tuple[int, ...]
    where: tuple[int | slice, ...] = ()
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a comparison finds.

    Attributes:
        rows: Measures per class.
        codes: Map of the difference, of the shape of the layers.
        tallies: How much of it is agreed, only in A, and so on.
        spacing: In which the sizes are.
        ndim: Of what was compared.
        tolerance: Of the surface Dice.
        class_names: As of the pair.
    """

    rows: list[ClassMeasures]
    codes: NDArray[np.uint8]
    tallies: list[Tally]
    spacing: Spacing
    ndim: int
    tolerance: float
    class_names: tuple[str, ...] = ()


def read_pair(a: Labels | None, b: Labels | None, dims: "Dims", this_slice: bool) -> Pair:
    """The data of two layers; of volumes only the slice in view, if asked for.

    Raises:
        ValueError: What to choose instead, where the two cannot be compared.
    """
    if a is None or b is None:
        raise ValueError("Choose two masks to compare. A mask is a Labels layer.")
    if a is b:
        raise ValueError(f"Both masks are the layer “{a.name}”. Choose another one.")
    if a.multiscale or b.multiscale:
        raise ValueError("A multiscale layer cannot be compared. Open the mask at one scale.")
    first, second = np.asarray(a.data), np.asarray(b.data)
    if first.shape != second.shape:
        raise ValueError(
            f"“{a.name}” has the shape {_by(first.shape)}, “{b.name}” has {_by(second.shape)}. "
            "Choose masks of one image."
        )
    stored = [about(layer).get("towards") for layer in (a, b)]
    if all(stored) and stored[0] != stored[1]:
        raise ValueError(
            f"“{a.name}” is stored as {stored[0]}, “{b.name}” as {stored[1]}, so that one would be "
            "compared mirrored or turned. Export one on the grid of the other."
        )
    if _lie_apart(a, b):
        raise ValueError(
            f"“{a.name}” and “{b.name}” have one shape, but not one place or spacing, so that what "
            "lies apart would be compared. Export one on the grid of the other."
        )
    if this_slice and first.ndim == 3 and dims.ndisplay == 3 and about(a).get("stack"):
        raise ValueError(
            f"“{a.name}” is a stack of images, which are measured one by one: leave the 3-D view."
        )
    names = about(a).get("class_names") or about(b).get("class_names") or ()
    step = max(spacing(a), spacing(b), key=lambda found: KNOWN.index(found.unit))
    if this_slice and first.ndim == 3 and dims.ndisplay == 2:
        hidden = dims.not_displayed[-1] - (dims.ndim - 3)
        index = int(round(a.world_to_data(dims.point[-3:])[hidden]))
        index = min(max(index, 0), first.shape[hidden] - 1)
        where = tuple(index if axis == hidden else slice(None) for axis in range(3))
        kept = tuple(s for axis, s in enumerate(step.step) if axis != hidden)
        return Pair(
            first[where], second[where], Spacing(kept, step.unit), first.shape, where, names
        )
    return Pair(first, second, step, first.shape, class_names=names)


def find(pair: Pair, tolerance: float, comparer: Comparer) -> Found:
    """Compare two masks; takes long for volumes."""
    codes = difference(pair.a, pair.b)
    rows = comparer(pair.a, pair.b, pair.spacing.step, tolerance)
    tallies = tally(codes, pair.spacing.step)
    if pair.where:
        whole = np.zeros(pair.shape, np.uint8)
        whole[pair.where] = codes
        codes = whole
    return Found(rows, codes, tallies, pair.spacing, pair.a.ndim, tolerance, pair.class_names)


def _lie_apart(a: Labels, b: Labels) -> bool:
    noted = [about(layer).get("affine") for layer in (a, b)]
    known = all(matrix is not None for matrix in noted)
    matrices = [np.asarray(m) for m in noted] if known else [to_world(a), to_world(b)]
    if not known and any(np.array_equal(m, np.eye(len(m))) for m in matrices):
        return False  # one of them says nothing of its place
    return elements_apart(a.data.shape, *matrices) > TOLERANCE


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
