"""Which elements of a mask are probably wrong."""

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.files.maps import to_levels
from keras_robust.suspicion.judged import Comparison, Judged

__all__ = ["error_map"]


def error_map(
    labels: NDArray,
    probabilities: NDArray,
    *,
    classes: int = 2,
    ignore_label: int | None = None,
) -> NDArray[np.uint8]:
    """How probable it is that each element of a mask is wrongly labelled.

    One minus the probability that the model gives to the label of the element.

    Args:
        labels: `(*spatial)`, 2-D or 3-D: see `Judged`.
        probabilities: `(*spatial, 1)` or `(*spatial, K)`: see `Judged`.
        classes: Number of classes K, background included.
        ignore_label: A label that stands for "unknown"; its elements are never wrong.

    Returns:
        `(*spatial)`, 0..255 for a probability of 0..1.

    Raises:
        ValueError: See `Judged`.

    >>> error_map(np.array([[0, 1]]), np.array([[[0.8], [0.8]]]))
    array([[204,  51]], dtype=uint8)
    """
    comparison = Comparison(Judged("", labels, probabilities), classes, ignore_label)
    wrong = np.where(comparison.known, 1 - comparison.given, 0)
    return to_levels(wrong)
