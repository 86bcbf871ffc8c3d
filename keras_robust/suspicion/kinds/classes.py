"""Structures of a mask with each other's labels."""

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.kinds.views import log_probabilities

__all__ = ["best_relabelling", "class_shares", "kind_of_relabelling"]


def class_shares(
    comparison: Comparison, against: NDArray[np.float64], total: float
) -> dict[str, float]:
    """Shares of the evidence that a relabelling, or other classes of some elements, takes away."""
    labels, predicted, classes = comparison.labels, comparison.predicted, comparison.classes
    if classes == 2:
        return {}
    both = (labels > 0) & (predicted > 0)
    shares = {"wrong class": float(against.sum(where=both)) / total}
    counts = np.bincount(
        (labels.astype(np.int64) * classes + predicted).ravel(), minlength=classes**2
    ).reshape(classes, classes)
    new = best_relabelling(counts)
    drawn = np.flatnonzero(counts[1:].sum(axis=1)) + 1
    kind = kind_of_relabelling(new, drawn)
    if kind:
        mended = np.array(new)[labels]
        log_p = log_probabilities(comparison)
        now = np.take_along_axis(log_p, labels[None].astype(int), 0)[0]
        then = np.take_along_axis(log_p, mended[None].astype(int), 0)[0]
        gain = float((then - now).sum(where=comparison.known))
        if all(new[label] != label for label in drawn.tolist()):
            # Then classes that no label stands for have become background.
            lost = ~np.isin(predicted, [0, *(new[label] for label in drawn.tolist())])
            gain += float(against.sum(where=lost & (labels == 0)))
        shares[kind] = max(shares.get(kind, 0.0), gain / total)
    return shares


def best_relabelling(counts: NDArray[np.intp]) -> list[int]:
    """The new label of every label, none given twice, with which most elements agree.

    Args:
        counts: `(K, K)`, elements of each label of a mask (rows) and of the other (columns).

    >>> best_relabelling(np.array([[90, 0, 0], [0, 1, 9], [0, 8, 2]]))
    [0, 2, 1]
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    result = list(range(len(counts)))
    rows, columns = linear_sum_assignment(-counts[1:, 1:])
    for row, column in zip(rows, columns, strict=True):
        if counts[row + 1].any():
            result[row + 1] = int(column) + 1
    return result


def kind_of_relabelling(new: list[int], drawn: NDArray[np.intp]) -> str:
    """What to call it, "" where no label changes: two exchanged ones are a wrong class."""
    changed = [label for label in drawn.tolist() if new[label] != label]
    if not changed:
        return ""
    exchanged = len(changed) == 2 and all(new[new[label]] == label for label in changed)
    return "wrong class" if exchanged else "labels permuted"
