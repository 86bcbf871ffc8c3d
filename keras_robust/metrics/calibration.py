"""Whether predicted probabilities are the frequencies they claim to be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid
from keras_robust.metrics.labels import label_array

__all__ = ["Reliability", "expected_calibration_error", "reliability"]


@dataclass(frozen=True)
class Reliability:
    """Confidence and correctness in bins of equal width from 0 to 1.

    Reliabilities with as many bins add up, so that a data set can be taken image by image.

    Attributes:
        count: Elements per bin, shape (bins,).
        total_confidence: Sum of their confidences, shape (bins,).
        correct: How many of them are right, shape (bins,).
    """

    count: NDArray[np.int64]
    total_confidence: NDArray[np.float64]
    correct: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (bins + 1,); a bin holds its upper edge."""
        return np.linspace(0, 1, self.count.size + 1)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Mean confidence per bin; `nan` where a bin is empty."""
        return self.total_confidence / np.where(self.count, self.count, np.nan)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share that is right per bin; `nan` where a bin is empty."""
        return self.correct / np.where(self.count, self.count, np.nan)

    @property
    def expected_error(self) -> float:
        """Mean over elements of |accuracy - confidence| of their bins; `nan` without elements."""
        elements = int(self.count.sum())
        gaps = np.abs(self.correct - self.total_confidence)
        return float(gaps.sum() / elements) if elements else float("nan")

    @property
    def maximum_error(self) -> float:
        """The greatest |accuracy - confidence| of a bin; `nan` without elements."""
        held = self.count > 0
        gaps = np.abs(self.accuracy - self.confidence)[held]
        return float(gaps.max()) if gaps.size else float("nan")

    def __add__(self, other: "Reliability") -> "Reliability":
        if self.count.size != other.count.size:
            raise ValueError(
                "Invalid reliabilities to add. Expected as many bins in both. "
                f"Received: {self.count.size} and {other.count.size} bins."
            )
        return Reliability(
            self.count + other.count,
            self.total_confidence + other.total_confidence,
            self.correct + other.correct,
        )


def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = 15,
    ignore_label: int | None = None,
) -> Reliability:
    """Bin predictions by their confidence and count how often they are right.

    Args:
        probabilities: Of the shape of `labels`, or with one channel more, (..., 1): the
            probability of the foreground is the confidence, and being foreground is right. With
            K > 1 channels, (..., K): the greatest probability is the confidence, and its label
            must be the true one (Guo et al.).
        labels: True labels, boolean or integer. Without K channels, all but zero is foreground.
        bins: Number of bins of equal width.
        ignore_label: Elements with this label do not count.

    Raises:
        ValueError: Shapes do not fit, probabilities are not in [0, 1], labels are not integer or
            out of range, `bins` is not positive.

    References:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599

    >>> found = reliability([0.1, 0.1, 0.7, 0.7], [0, 0, 1, 0], bins=2)
    >>> found.confidence, found.accuracy
    (array([0.1, 0.7]), array([0. , 0.5]))
    """
    if bins < 1:
        raise invalid("bins", "at least 1", said=f"bins={bins}")
    predicted, true = np.asarray(probabilities), np.asarray(labels)
    if predicted.shape == (*true.shape, 1):
        predicted = predicted[..., 0]
    channels = predicted.shape[-1] if predicted.shape[:-1] == true.shape != predicted.shape else 0
    if not channels and predicted.shape != true.shape:
        raise invalid(
            "probabilities",
            "the shape of `labels`, with or without channels at the end",
            said=f"probabilities.shape={predicted.shape}, labels.shape={true.shape}",
        )
    if not np.issubdtype(predicted.dtype, np.number):
        predicted = predicted.astype(float)
    if predicted.size and not (0 <= predicted.min() and predicted.max() <= 1):
        raise invalid(
            "probabilities",
            "values in [0, 1]",
            said=f"values from {predicted.min()} to {predicted.max()}",
            remedy="Apply sigmoid or softmax first.",
        )
    kept = np.ones(true.shape, bool) if ignore_label is None else true != ignore_label
    predicted, true = predicted[kept], true[kept]
    true = label_array("labels", true, channels or 2)
    if channels:
        confidence, right = predicted.max(axis=-1), predicted.argmax(axis=-1) == true
    else:
        confidence, right = predicted, true > 0
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return Reliability(
        np.bincount(places, minlength=bins),
        np.bincount(places, confidence, minlength=bins).astype(float),
        np.bincount(places[right], minlength=bins),
    )


def expected_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = 15,
    ignore_label: int | None = None,
) -> float:
    """Expected calibration error: mean over elements of |accuracy - confidence| of their bins.

    Args and raises: as `reliability`. The result is `nan` where no element counts.

    References:
        Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602

    >>> round(expected_calibration_error([0.1, 0.1, 0.7, 0.7], [0, 0, 1, 0], bins=2), 3)
    0.15
    """
    found = reliability(probabilities, labels, bins=bins, ignore_label=ignore_label)
    return found.expected_error
