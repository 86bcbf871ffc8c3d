"""Which case a mask fits best: small copies of all masks and predictions, held to each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.judged import Comparison

__all__ = ["Fit", "Others", "thumbnail"]

Labels = NDArray[np.uint8]
# Elements of a small copy; 64 x 64, or 16 x 16 x 16.
ELEMENTS = 4096
# As alike as copies of one mask are, and those of two are not.
SAME = 0.995


@dataclass(frozen=True)
class Fit:
    """How a mask fits the images of other cases.

    Attributes:
        own: Dice with the prediction of its own image.
        best: Dice with the one that it fits best of all others.
        other: Id of that image, "" without others.
        copied: Id of a case whose mask it is, "" where it is that of none.
        better: Share of the other images that it fits at least as well as its own.
        usual: Median Dice of all masks with the predictions of their own images: how good a judge
            the model is.
    """

    own: float = 1.0
    best: float = 0.0
    other: str = ""
    copied: str = ""
    better: float = 0.0
    usual: float = 1.0


class Others:
    """All cases of a dataset in small: call `add` with each, then `fit`.

    Small copies are of one size, whatever that of the images: a mask from a larger image fits the
    other one as a resized copy would.

    Attributes:
        ids: Of the cases, in the order of `add`.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._masks: list[Labels] = []
        self._predicted: list[Labels] = []
        self._own: list[float] = []

    def add(self, comparison: Comparison) -> None:
        """Keep a small copy of one case."""
        self.ids.append(comparison.id)
        self._masks.append(thumbnail(comparison.labels))
        self._predicted.append(thumbnail(comparison.predicted))
        if self._masks[-1].any() or self._predicted[-1].any():
            self._own.append(float(overlaps(self._masks[-1], self._predicted[-1:])[0]))

    def fit(self, comparison: Comparison) -> Fit:
        """How a mask fits the images of all others."""
        mask = thumbnail(comparison.labels)
        others = [
            i for i, id in enumerate(self.ids) if id != comparison.id and _alike(self, i, mask)
        ]
        if not others or not mask.any():
            return Fit()
        predicted = overlaps(mask, [self._predicted[index] for index in others])
        masks = overlaps(mask, [self._masks[index] for index in others])
        own = float(overlaps(mask, [thumbnail(comparison.predicted)])[0])
        first, same = int(predicted.argmax()), int(masks.argmax())
        return Fit(
            own,
            float(predicted[first]),
            self.ids[others[first]],
            self.ids[others[same]] if masks[same] >= SAME else "",
            float((predicted >= own).mean()),
            float(np.median(self._own)),
        )


def _alike(others: Others, index: int, mask: Labels) -> bool:
    return others._predicted[index].shape == mask.shape


def thumbnail(labels: NDArray) -> Labels:
    """A small copy of labels, by nearest neighbour: 64 x 64, or 16 x 16 x 16."""
    size = round(ELEMENTS ** (1 / labels.ndim))
    for axis, length in enumerate(labels.shape):
        nearest = ((2 * np.arange(size) + 1) * length) // (2 * size)
        labels = labels.take(nearest, axis)
    return labels.astype(np.uint8)


def overlaps(mask: Labels, others: Sequence[Labels]) -> NDArray[np.float64]:
    """`(n,)`, Dice of a mask with each of others, over the elements of all classes."""
    stacked = np.stack([other.ravel() for other in others])
    own = mask.ravel()
    shared = ((stacked == own) & (own > 0)).sum(axis=1)
    sizes = (stacked > 0).sum(axis=1) + int((own > 0).sum())
    return 2 * shared / np.maximum(sizes, 1)
