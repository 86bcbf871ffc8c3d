"""A mask and what the model says of its image, in a form small enough to be looked at often."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.structure import box_around

__all__ = ["WorkingGrid", "working_grid"]

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]
# Larger images are cut to what mask and prediction hold, and then joined to larger elements, ...
MOST_ELEMENTS = {2: 2**14, 3: 2**15}
# ... but for thin structures, of which no more than this share may change by it, ...
MOST_CHANGED = 0.15
# ... unless there are so many times as many elements.
FAR_TOO_MANY = 8


@dataclass(frozen=True)
class WorkingGrid:
    """A mask, probabilities and what is known, on one grid.

    Attributes:
        labels: `(*spatial)`, the mask: classes 0..K-1.
        probabilities: `(K, *spatial)`, as predicted.
        known: `(*spatial)`, False where elements are ignored.
        spread: `(*spatial)`, how far several models disagree; `None` where there is one.
    """

    labels: Labels
    probabilities: Floats
    known: NDArray[np.bool_]
    spread: Floats | None = None


def working_grid(whole: WorkingGrid) -> WorkingGrid:
    """Cut away what is far from mask and prediction, and join elements to blocks, where needed.

    No class is special: what is cut away is of the class that is predicted most.
    """
    most = MOST_ELEMENTS[whole.labels.ndim]
    if whole.labels.size <= most:
        return whole
    predicted = whole.probabilities.argmax(axis=0).astype(np.uint8)
    usual = np.bincount(predicted.ravel()).argmax()
    differs = (whole.labels != usual) | (predicted != usual)
    box = box_around(differs & whole.known, least=2, empty=8)
    labels, predicted = whole.labels[box], predicted[box]
    sizes = np.ones(labels.ndim, int)
    while prod(_joined_shape(labels.shape, sizes)) > most:
        larger = sizes.copy()
        larger[np.argmax(_joined_shape(labels.shape, sizes))] += 1
        few = prod(_joined_shape(labels.shape, sizes)) <= FAR_TOO_MANY * most
        if few and max(_changed(one, larger) for one in (labels, predicted)) > MOST_CHANGED:
            break
        sizes = larger
    return WorkingGrid(
        _joined_labels(labels, sizes),
        np.stack([_means(one[box], sizes) for one in whole.probabilities]),
        _means(whole.known[box].astype(np.float32), sizes) > 0.5,
        None if whole.spread is None else _means(whole.spread[box], sizes),
    )


def _joined_shape(shape: tuple[int, ...], sizes: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(-(-length // int(size)) for length, size in zip(shape, sizes, strict=True))


def _changed(labels: Labels, sizes: NDArray[np.intp]) -> float:
    """Share of what is not of the commonest class that changes where elements are joined."""
    back = _joined_labels(labels, sizes)
    for axis, size in enumerate(sizes):
        back = np.repeat(back, size, axis=axis)
    back = back[tuple(slice(0, length) for length in labels.shape)]
    rare = labels.size - int(np.bincount(labels.ravel()).max())
    return float((back != labels).sum()) / max(rare, 1)


def _joined_labels(labels: Labels, sizes: NDArray[np.intp]) -> Labels:
    if (sizes == 1).all():
        return labels
    classes = np.unique(labels)
    shares = np.stack([_means((labels == one).astype(np.float32), sizes) for one in classes])
    return classes[shares.argmax(axis=0)]


def _means(array: Floats, sizes: NDArray[np.intp]) -> Floats:
    """Means of blocks; those at the end may be smaller."""
    for axis, size in enumerate(sizes):
        if size > 1:
            starts = np.arange(0, array.shape[axis], size)
            counts = np.diff(np.append(starts, array.shape[axis])).astype(np.float32)
            counts = counts.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
            array = (np.add.reduceat(array, starts, axis=axis) / counts).astype(np.float32)
    return array
