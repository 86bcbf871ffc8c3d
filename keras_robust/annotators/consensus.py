"""One mask from those of several annotators: majority, STAPLE, or the share who drew it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid

__all__ = ["Staple", "majority", "soft_consensus", "staple"]

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]

_CHUNK = 2**16  # elements whose votes are counted at a time, so that they stay in the cache


def majority(
    masks: Sequence[ArrayLike], *, classes: int = 2, ignore_label: int | None = None
) -> Labels:
    """The label that most annotators chose; of labels with as many votes the lowest.

    Two annotators out of four therefore draw nothing: a tie is background.

    Args:
        masks: Labels of shape (*spatial), one array per annotator.
        classes: Number of classes, background included.
        ignore_label: No vote; an element that has no other keeps it.

    Returns:
        Labels of shape (*spatial), uint8.

    Raises:
        ValueError: No masks, shapes that differ, or labels out of range.

    >>> majority([[0, 1, 1], [0, 0, 1], [1, 0, 1]])
    array([0, 0, 1], dtype=uint8)
    """
    stack = _checked(masks, classes, ignore_label)
    flat = stack.reshape(len(stack), -1)
    chosen = np.empty(flat.shape[1], np.uint8)
    for start in range(0, chosen.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen[part] = _majority(flat[:, part], classes, ignore_label)
    return chosen.reshape(stack.shape[1:])


def _majority(stack: NDArray[np.signedinteger], classes: int, ignore_label: int | None) -> Labels:
    """Of elements (annotators, elements)."""
    chosen = np.zeros(stack.shape[1], stack.dtype)
    most = np.zeros_like(_votes(stack, 0))
    # A label wins that someone chose: of many classes those of each annotator are tried alone.
    for candidate in range(classes) if classes <= len(stack) else stack:
        votes = _votes(stack, candidate)
        if ignore_label is not None:
            votes *= np.greater_equal(candidate, 0)
        better = (votes > most) | ((votes == most) & (candidate < chosen))
        np.copyto(chosen, candidate, where=better)
        np.maximum(most, votes, out=most)
    labels = chosen.astype(np.uint8)
    if ignore_label is not None:
        labels[most == 0] = ignore_label
    return labels


def soft_consensus(
    masks: Sequence[ArrayLike], *, classes: int = 2, ignore_label: int | None = None
) -> NDArray[np.float32]:
    """The share of annotators who chose each label: soft targets for training.

    Args:
        masks, classes: As in `majority`.
        ignore_label: No vote; every element needs another from someone.

    Returns:
        Share of the foreground, shape (*spatial), float32, for two classes; shares of all classes,
        shape (*spatial, classes), for more.

    Raises:
        ValueError: As `majority`; also where an element is ignored by everyone, as no share says.

    >>> soft_consensus([[0, 1], [1, 1]])
    array([0.5, 1. ], dtype=float32)
    """
    stack = _checked(masks, classes, ignore_label)
    votes = np.stack([_votes(stack, label) for label in range(classes)])
    voters = votes.sum(axis=0)
    if not voters.all():
        raise invalid(
            "masks",
            (
                "a label by some annotator for every element, since soft targets "
                "cannot say `ignored`"
            ),
            said=f"{np.count_nonzero(voters == 0)} elements that all of them ignore",
            remedy="Use the majority or STAPLE.",
        )
    shares = np.divide(votes, voters, dtype=np.float32)
    return shares[1] if classes == 2 else np.moveaxis(shares, 0, -1)


@dataclass(frozen=True)
class Staple:
    """The estimate of STAPLE.

    Attributes:
        probabilities: Of each label, shape (*spatial, classes), float32.
        confusion: Per annotator, the probability that they draw a label (rows) where another is
            true (columns), shape (annotators, classes, classes); columns sum to one. With two
            classes `confusion[j, 1, 1]` is their sensitivity and `confusion[j, 0, 0]` their
            specificity.
        iterations: Of expectation and maximisation.
        converged: Whether they ended before the last one allowed.
    """

    probabilities: NDArray[np.float32]
    confusion: Floats
    iterations: int
    converged: bool

    @property
    def labels(self) -> Labels:
        """The most probable label of each element, the lowest of several, (*spatial), uint8."""
        return self.probabilities.argmax(axis=-1).astype(np.uint8)


def staple(
    masks: Sequence[ArrayLike],
    *,
    classes: int = 2,
    ignore_label: int | None = None,
    max_iterations: int = 1000,
    tolerance: float = 1e-9,
) -> Staple:
    """Simultaneous truth and performance level estimation, by expectation and maximisation.

    Annotators weigh as much as they prove reliable, label by label, against the truth that is
    estimated with them. Elements that everyone labelled alike are computed once, so that the time
    hardly depends on the size of the masks. The prior is the share of each label in all masks.

    Args:
        masks, classes: As in `majority`.
        ignore_label: An annotator says nothing of elements they marked so.
        max_iterations: At most so many.
        tolerance: End when no entry of the confusion matrices changes by more.

    Raises:
        ValueError: As `majority`.

    References:
        Warfield, Zou & Wells 2004, https://doi.org/10.1109/TMI.2004.828354 (equations 12 to 18;
        for several labels, section II-F)

    >>> found = staple([[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 0]])
    >>> found.labels
    array([0, 0, 1, 1, 0, 0], dtype=uint8)
    >>> found.confusion[:, 1, 1].round(3)
    array([1. , 1. , 0.5])
    """
    stack = _checked(masks, classes, ignore_label)
    patterns, inverse, counts = _patterns(stack, classes)
    # (patterns, annotators, classes): what each said; nothing where they ignored.
    said = patterns[..., np.newaxis] == np.arange(classes)
    votes = (said * counts[:, np.newaxis, np.newaxis]).sum(axis=(0, 1))
    # Where everyone ignores everything, nothing tells the labels apart.
    prior = votes / votes.sum() if votes.any() else np.full(classes, 1 / classes)
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)  # a label nobody drew is true nowhere
    # As Warfield starts: everyone is nearly perfect.
    confusion = np.full((len(stack), classes, classes), 1e-5 / (classes - 1))
    confusion[:, range(classes), range(classes)] = 1 - 1e-5
    weights = np.zeros((len(patterns), classes))
    iteration, change = 0, np.inf
    while iteration < max_iterations and change > tolerance:
        iteration += 1
        weights = _expected(said, confusion, log_prior)
        before, confusion = confusion, _maximised(said, weights * counts[:, np.newaxis], confusion)
        change = float(np.abs(confusion - before).max())
    probabilities = weights[inverse].astype(np.float32)
    return Staple(
        probabilities.reshape(*stack.shape[1:], classes),
        confusion,
        iteration,
        change <= tolerance,
    )


def _patterns(
    stack: NDArray[np.signedinteger], classes: int
) -> tuple[NDArray[np.signedinteger], NDArray[np.intp], NDArray[np.intp]]:
    """What the annotators said of an element, each combination once (patterns, annotators); which
    of them every element has; and how many elements have each."""
    flat = stack.reshape(len(stack), -1)
    codes = np.zeros(flat.shape[1], np.int64)
    for labels in flat:
        codes = codes * (classes + 1) + labels + 1
        if codes.size and codes.max() > 2**40:
            codes = np.unique(codes, return_inverse=True)[1]
    _, first, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    return flat[:, first].T, inverse, counts


def _expected(said: NDArray[np.bool_], confusion: Floats, log_prior: Floats) -> Floats:
    """Probability of each true label (patterns, classes), given what the annotators said."""
    # In logarithms, since many annotators multiply to less than the smallest float.
    logs = np.log(np.maximum(confusion, 1e-300))
    joint = np.einsum("pjs,jst->pt", said, logs, optimize=True) + log_prior
    joint -= joint.max(axis=1, keepdims=True)
    likelihood = np.exp(joint)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def _maximised(said: NDArray[np.bool_], weights: Floats, before: Floats) -> Floats:
    """Confusion matrices that make what was said most probable; as before where unknown."""
    sums = np.einsum("pjs,pt->jst", said, weights, optimize=True)
    total = sums.sum(axis=1, keepdims=True)
    return np.where(total > 0, sums / np.where(total > 0, total, 1), before)


def _checked(
    masks: Sequence[ArrayLike], classes: int, ignore_label: int | None
) -> NDArray[np.signedinteger]:
    """All masks as one array (annotators, *spatial), -1 for what is ignored."""
    arrays = [np.asarray(mask) for mask in masks]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1:
        raise invalid(
            "masks",
            "one mask or more, all of one shape",
            said=f"{', '.join(map(str, shapes)) or 'none'}",
        )
    stack = np.stack(arrays)
    if stack.dtype != bool and not np.issubdtype(stack.dtype, np.integer):
        raise invalid(
            "masks",
            "booleans or integer labels",
            said=f"dtype={stack.dtype}",
            remedy="Threshold probabilities first, as in `p > 0.5`.",
        )
    ignored = None if ignore_label is None else stack == ignore_label
    if classes == 2:
        labels = (stack != 0).view(np.int8)  # 0/255 masks are as common as 0/1
    else:
        known = stack if ignored is None else stack[~ignored]
        if known.size and not 0 <= known.min() <= known.max() < classes:
            raise invalid(
                "masks",
                f"labels from 0 to {classes - 1}",
                said=f"labels from {known.min()} to {known.max()}",
                remedy="Set `classes`.",
            )
        labels = stack.astype(np.int8 if classes <= 128 else np.int16)
    if ignored is not None:
        labels[ignored] = -1
    return labels


def _votes(
    stack: NDArray[np.signedinteger], label: int | NDArray[np.signedinteger]
) -> NDArray[np.unsignedinteger]:
    """How many annotators (the first axis) chose a label of each element."""
    counts = np.uint8 if len(stack) < 256 else np.uint32
    return np.add.reduce((stack == label).view(np.uint8), axis=0, dtype=counts)
