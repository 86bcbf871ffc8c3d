"""Masks put right by a network that has not yet learned their mistakes by heart."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONFIDENT", "CORRECTED", "corrected"]

CONFIDENT = 0.8
"""A prediction that is at least as probable takes the place of what was drawn."""
CORRECTED = "corrected"
"""The column of the passes over corrected masks in the history of a run."""


def corrected(
    probabilities: NDArray[np.floating],
    masks: NDArray[np.integer],
    ignore_label: int | None = None,
    confident: float = CONFIDENT,
) -> NDArray[np.integer]:
    """Masks in which confident predictions take the place of what was drawn.

    Args:
        probabilities: `(n, *spatial, 1)` of the foreground, or `(n, *spatial, K)`.
        masks: Labels `(n, *spatial)`.
        ignore_label: A label that stays where it is.
        confident: The least probability, of foreground or background alike.

    Returns:
        `(n, *spatial)`, of the masks' own type.

    References:
        [Liu et al., 2022](https://arxiv.org/abs/2110.03740), ADELE, section 4.

    >>> corrected(np.array([[[0.9], [0.6], [0.1]]]), np.array([[0, 0, 1]])).tolist()
    [[1, 0, 0]]
    """
    if probabilities.shape[-1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=-1)
    sure = probabilities.max(axis=-1) >= confident
    if ignore_label is not None:
        sure &= masks != ignore_label
    return np.where(sure, probabilities.argmax(axis=-1), masks).astype(masks.dtype)
