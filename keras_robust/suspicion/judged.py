"""A mask beside an out-of-sample prediction of the same image."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.files.maps import from_levels
from keras_robust.metrics.labels import checked_spacing

__all__ = ["Comparison", "Judged"]

# Half precision may overshoot a little; logits overshoot by far.
OVERSHOOT = 0.01


@dataclass(frozen=True)
class Judged:
    """One mask and the probabilities that a model, which has not seen it, gives for its image.

    Args:
        id: Name of the image.
        labels: `(*spatial)`, 2-D or 3-D, boolean or integer: classes 0..K-1, or the label to be
            ignored. With two classes everything that is not zero is foreground.
        probabilities: `(*spatial, 1)` of the foreground, or `(*spatial, K)`; floats in [0, 1], or
            8-bit integers that stand for 0..1 as 0..255.
        spacing_mm: Distance between neighbouring elements along each axis; `None` measures in
            elements.
        spread: `(*spatial)`, how far several models disagree: the mean total variation distance
            of their probabilities, floats in [0, 1], or 8-bit integers; `None` where only one
            model predicted.
    """

    id: str
    labels: NDArray
    probabilities: NDArray
    spacing_mm: tuple[float, ...] | None = None
    spread: NDArray | None = None


class Comparison:
    """What the scores look at: labels and probabilities of one image, checked.

    Elements with the label to be ignored are background of mask and prediction, so that they never
    disagree and are no part of any object.

    Args:
        case: Mask and probabilities.
        classes: Number of classes K, background included.
        ignore_label: A label that stands for "unknown".

    Attributes:
        id: Name of the image.
        classes: Number of classes K, background included.
        labels: `(*spatial)`, the mask: classes 0..K-1.
        predicted: `(*spatial)`, the most probable class of each element.
        probabilities: `(K, *spatial)`.
        known: `(*spatial)`, False where elements are ignored.
        spacing: Distance between neighbouring elements along each axis.
        spread: `(*spatial)`, how far several models disagree, in [0, 1], 0 where elements are
            ignored; `None` where only one model predicted.

    Raises:
        ValueError: Shapes do not fit, labels are out of range, or the probabilities are none.
    """

    def __init__(self, case: Judged, classes: int, ignore_label: int | None = None):
        self.id, self.classes = case.id, classes
        self.memory: dict[Hashable, Any] = {}  # of what scores share, see `once_per_mask`
        self.probabilities = _probabilities(case, classes)
        self.labels, self.known = _labels(case, classes, ignore_label)
        self.predicted: NDArray[np.uint8] = self.probabilities.argmax(axis=0).astype(np.uint8)
        self.predicted[~self.known] = 0
        self.spacing = checked_spacing(
            (1.0,) * self.labels.ndim if case.spacing_mm is None else case.spacing_mm,
            self.labels.ndim,
        )
        self.spread = _spread(case, self.known)

    @cached_property
    def given(self) -> NDArray[np.float32]:
        """`(*spatial)`, the probability of the label of each element."""
        chosen = np.take_along_axis(self.probabilities, self.labels[np.newaxis].astype(int), axis=0)
        return chosen[0]

    @cached_property
    def given_known(self) -> NDArray[np.float32]:
        """`(n,)`, the same of the elements that are not ignored."""
        return self.given[self.known]

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the image: no distance within it is greater."""
        return float(np.linalg.norm(np.multiply(self.labels.shape, self.spacing)))


def _probabilities(case: Judged, classes: int) -> NDArray[np.float32]:
    """`(K, *spatial)`."""
    given = np.asarray(case.probabilities)
    shape = np.shape(case.labels)
    channels = (1, 2) if classes == 2 else (classes,)
    if given.ndim != len(shape) + 1 or given.shape[:-1] != shape or given.shape[-1] not in channels:
        raise invalid(
            "probabilities",
            (
                "the shape of the mask and one last axis of "
                f"{' or '.join(map(str, channels))}, for {classes} classes"
            ),
            said=(f"probabilities of shape {given.shape}, mask of shape {shape}, case {case.id!r}"),
        )
    values = from_levels(given) if given.dtype == np.uint8 else given.astype(np.float32)
    if not (values.size and -OVERSHOOT <= values.min() <= values.max() <= 1 + OVERSHOOT):
        raise ValueError(
            "Invalid value for argument `probabilities`. Expected at least one number, all from 0 "
            "to 1, or 8-bit integers. Received: "
            + (f"values from {values.min()} to {values.max()}" if values.size else "none")
            + f", case {case.id!r}. End the model with a sigmoid or a softmax."
        )
    values = np.moveaxis(np.clip(values, 0, 1), -1, 0)
    return np.stack([1 - values[0], values[0]]) if len(values) == 1 else values


def _spread(case: Judged, known: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    if case.spread is None:
        return None
    given = np.asarray(case.spread)
    values = from_levels(given) if given.dtype == np.uint8 else given.astype(np.float32)
    if values.shape != known.shape or not (values.size and 0 <= values.min() <= values.max() <= 1):
        raise invalid(
            "spread",
            f"numbers from 0 to 1, or 8-bit integers, of the mask's shape {known.shape}",
            said=f"spread of shape {given.shape}, dtype {given.dtype}, case {case.id!r}",
        )
    return np.where(known, values, np.float32(0))


def _labels(
    case: Judged, classes: int, ignore_label: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    given = np.asarray(case.labels)
    if given.ndim not in (2, 3) or not (given.dtype == bool or given.dtype.kind in "iu"):
        raise invalid(
            "labels",
            "booleans or integers in 2 or 3 dimensions",
            said=f"shape {given.shape}, dtype {given.dtype}, case {case.id!r}",
        )
    known = np.ones(given.shape, bool) if ignore_label is None else given != ignore_label
    labels = np.where(known, given, 0)
    if classes == 2:
        return (labels != 0).astype(np.uint8), known
    if not 0 <= labels.min() <= labels.max() < classes:
        raise invalid(
            "labels",
            f"labels from 0 to {classes - 1}",
            said=f"labels from {labels.min()} to {labels.max()}, case {case.id!r}",
            remedy="Set `classes`, or `ignore_label` where one label stands for unknown.",
        )
    return labels.astype(np.uint8), known
