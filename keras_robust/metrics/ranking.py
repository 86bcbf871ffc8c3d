"""How well a score finds the wrong ones: AUROC, average precision, precision at k.

All depend on the order of the scores alone. Equal scores count as being in every order at once:
the figures are their means over the orders, and so do not depend on the order of the input.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid

__all__ = ["auroc", "average_precision", "precision_at_k", "spearman"]


def auroc(scores: ArrayLike, wrong: ArrayLike) -> float:
    """Area under the ROC curve: how often a wrong one has a higher score than a right one.

    Pairs of equal scores count one half, so that the value is 0.5 for a score that says nothing.

    Args:
        scores: `(n,)`, higher is more suspicious; infinite values are allowed.
        wrong: `(n,)`, true where it is wrong.

    Returns:
        0 to 1; NaN where all are wrong or none is.

    Raises:
        ValueError: Shapes differ, or a score is NaN.

    References:
        [Hanley and McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747).

    >>> auroc([0.9, 0.8, 0.3], [True, False, False])
    1.0
    """
    _, counts, positives = _groups(scores, wrong)
    negatives = counts - positives
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        return float("nan")
    negatives_below = negatives.sum() - np.cumsum(negatives)
    return float((positives * (negatives_below + negatives / 2)).sum() / pairs)


def average_precision(scores: ArrayLike, wrong: ArrayLike) -> float:
    """Mean over the wrong ones of the precision at the score of each: sum of (R_i - R_(i-1)) P_i.

    Equal scores are one step of the curve, as in scikit-learn.

    Args:
        scores: `(n,)`, higher is more suspicious.
        wrong: `(n,)`, true where it is wrong.

    Returns:
        0 to 1; the share of wrong ones for a score that says nothing; NaN where none is wrong.

    Raises:
        ValueError: Shapes differ, or a score is NaN.

    >>> average_precision([0.9, 0.8, 0.3], [True, False, True])  # (1 + 2/3) / 2
    0.8333333333333333
    """
    _, counts, positives = _groups(scores, wrong)
    total = int(positives.sum())
    if not total:
        return float("nan")
    precision = np.cumsum(positives) / np.cumsum(counts)
    return float((positives * precision).sum() / total)


def precision_at_k(scores: ArrayLike, wrong: ArrayLike, k: int) -> float:
    """Share of wrong ones among the k most suspicious.

    Args:
        scores: `(n,)`, higher is more suspicious.
        wrong: `(n,)`, true where it is wrong.
        k: From 1; more than n is taken as n.

    Returns:
        0 to 1. Where the k-th score is shared, those that share it count by their share of wrong
        ones.

    Raises:
        ValueError: Shapes differ, a score is NaN, or `k` is below 1.

    >>> precision_at_k([0.9, 0.8, 0.3], [True, False, True], 2)
    0.5
    >>> precision_at_k([0.9, 0.8, 0.8], [True, False, True], 2)  # 1 and half of 1, of 2
    0.75
    """
    if k < 1:
        raise invalid("k", "k >= 1", said=f"k={k}")
    _, counts, positives = _groups(scores, wrong)
    k = min(k, int(counts.sum()))
    before = np.cumsum(counts) - counts
    taken = np.clip(k - before, 0, counts)
    return float((positives * taken / counts).sum() / k)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation of two figures of the same cases, equal values with their mean rank.

    Args:
        first: `(n,)`.
        second: `(n,)`.

    Returns:
        -1 to 1; NaN for fewer than two cases, or where all values of one are equal.

    Raises:
        ValueError: Shapes differ, or a value is NaN.

    >>> spearman([1, 2, 3], [10, 100, 50])
    0.5
    """
    a, b = _vector("first", first), _vector("second", second)
    if a.shape != b.shape:
        raise _shape_error("second", a.shape, b.shape)
    ranks = [_mean_ranks(values) for values in (a, b)]
    centred = [rank - rank.mean() for rank in ranks if rank.size]
    if not centred or not all(rank.any() for rank in centred):
        return float("nan")
    x, y = centred
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _groups(scores: ArrayLike, wrong: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Distinct scores, highest first, with the number of cases and of wrong ones of each."""
    values = _vector("scores", scores)
    labels = np.asarray(wrong)
    if labels.shape != values.shape:
        raise _shape_error("wrong", values.shape, labels.shape)
    if not values.size:
        raise invalid("scores", "at least one", said="0")
    distinct, members = np.unique(-values, return_inverse=True)
    counts = np.bincount(members, minlength=len(distinct))
    positives = np.bincount(members, weights=labels.astype(bool), minlength=len(distinct))
    return -distinct, counts, positives


def _mean_ranks(values: NDArray) -> NDArray:
    _, members, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[members]


def _vector(argument: str, values: ArrayLike) -> NDArray[np.float64]:
    vector = np.asarray(values, np.float64)
    if vector.ndim != 1 or np.isnan(vector).any():
        received = f"shape {vector.shape}" if vector.ndim != 1 else "NaN among them"
        raise invalid(argument, "a vector of numbers", said=f"{received}")
    return vector


def _shape_error(argument: str, expected: Sequence[int], received: Sequence[int]) -> ValueError:
    return invalid(argument, f"shape {tuple(expected)}", said=f"shape {tuple(received)}")
