"""A case as its reviewer left it: the corrected mask, what is painted, and the comment."""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from keras_robust.data.cases import Case
from keras_robust.review.case import ReviewCase
from keras_robust.review.decision import Decision
from keras_robust.review.log import ReviewLog, read_labels

__all__ = ["is_changed", "read_corrected", "resumed"]


def is_changed(decision: Decision, mask: str | None, image: str | None) -> bool:
    """Whether a decision was made on other files than those with these hashes."""
    return (decision.mask_sha256, decision.image_sha256) != (mask, image)


def read_corrected(log: ReviewLog, case: Case, decision: Decision) -> NDArray:
    """`(*spatial)`, the mask of a repair: as it is in the dataset, else as it was kept.

    Raises:
        OSError, ValueError: Neither can be read.
    """
    try:
        return read_labels(log.dataset, log.files.mask(case))
    except (OSError, ValueError):
        return log.read_version(case, decision)


def resumed(read: ReviewCase, log: ReviewLog, case: Case) -> ReviewCase:
    """A case that was read, with what its reviewer has done to it and what is wrong with that.

    Args:
        read: Image, mask and suggestion.
        log: The decisions.
        case: Of the dataset.
    """
    id, problems = read.id, list(read.problems)
    last, decision = log.latest.get(id), log.decision(id)
    changes: dict[str, Any] = {"comment": "" if last is None else last.comment}
    if decision is not None:
        if is_changed(decision, read.mask_sha256, read.image_sha256):
            problems.append(
                "The mask or the image has changed since you decided on it. Look again and decide "
                "anew."
            )
        if decision.decision == "repair":
            try:
                changes["corrected"] = read_corrected(log, case, decision)
            except (OSError, ValueError) as reason:
                problems.append(f"Your corrected mask cannot be read. {reason}")
    try:
        draft = log.files.read_draft(id)
    except ValueError as reason:
        problems.append(str(reason))
        draft = None
    if draft is not None:
        labels, comment, painted_on = draft
        fits = read.image is None or labels.shape == read.image.shape[:-1]
        if fits:
            changes |= {"corrected": labels, "comment": comment, "draft": True}
        if not fits or painted_on != read.mask_sha256:
            problems.append(
                "The mask has changed since you painted on it. Compare before you decide."
                if fits
                else "Your draft has another size than the image now and is not shown; it is "
                f"kept as {log.files.draft(id).name!r}."
            )
    return replace(read, problems=tuple(problems), **changes)
