"""The order in which masks are reviewed, and which of them are shown."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_robust.annotators.roles import match_annotators
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.review.decision import DECISIONS

__all__ = ["STATUSES", "QueueFilter", "QueueItem", "disagreement"]

UNDECIDED = ("undecided", "changed")
STATUSES = ("undecided", *DECISIONS, "changed")


@dataclass(frozen=True)
class QueueItem:
    """One mask in the queue.

    Args:
        case: Image and mask.
        score: How suspicious it is, more is worse; `None` where nobody has judged.
        kind: Kind of error that is suspected, "" where nobody has judged.
        places: Where the mask is probably wrong, worst first: what a window opens at, by the
            `point`, `box`, `kind` and `p_wrong` of each (`keras_robust.audit.AuditPlace`). Empty
            where nobody has judged, or has nothing against the mask.
    """

    case: Case
    score: float | None = None
    kind: str = ""
    places: tuple[Any, ...] = ()

    @property
    def id(self) -> str:
        """Name of the image."""
        return self.case.id

    @property
    def annotator(self) -> str:
        """Who drew the mask."""
        return self.case.annotator


@dataclass(frozen=True)
class QueueFilter:
    """Which masks are shown: those that fit every condition given.

    Args:
        kinds: Kinds of error; `None` for all.
        statuses: Of `STATUSES`; `None` for all. "decided" stands for all but "undecided" and
            "changed", which is decided on a file that has changed since.
        annotators: Who drew the mask; `None` for all.
        lowest: Least score.
        highest: Greatest score.
        ids: Names of images; `None` for all.
        text: Part of the id, group, split or comment, in small or capital letters.
    """

    kinds: Collection[str] | None = None
    statuses: Collection[str] | None = None
    annotators: Collection[str] | None = None
    lowest: float | None = None
    highest: float | None = None
    ids: Collection[str] | None = None
    text: str = ""

    def __call__(self, item: QueueItem, status: str, comment: str = "") -> bool:
        """Whether `item`, of the status and with the comment given, is shown."""
        statuses = set(self.statuses or ())
        if "decided" in statuses:
            statuses |= set(DECISIONS)
        bounded = self.lowest is not None or self.highest is not None
        words = (item.id, item.case.group or "", item.case.split, comment)
        return (
            (self.kinds is None or item.kind in self.kinds)
            and (self.ids is None or item.id in self.ids)
            and (self.statuses is None or status in statuses)
            and (self.annotators is None or item.annotator in self.annotators)
            and not (bounded and item.score is None)
            and (self.lowest is None or (item.score or 0.0) >= self.lowest)
            and (self.highest is None or (item.score or 0.0) <= self.highest)
            and any(self.text.casefold() in word.casefold() for word in words)
        )


def disagreement(
    dataset: Dataset,
    annotator: str,
    other: str | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """A score without any model: one minus the mean Dice with the masks of others.

    The Dice of two masks is the mean over the classes that either holds.

    Args:
        dataset: The dataset.
        annotator: Whose masks are to be judged.
        other: With whom to compare; `None` for all others who drew the image on their own, see
            `keras_robust.annotators.match_annotators`.
        progress: Called with the number of masks done and of masks in total.

    Returns:
        The score of every id whose masks can be read and compared; 0 is full agreement.

    Raises:
        ValueError: The dataset does not know the annotator.

    >>> from keras_robust.data import sample
    >>> disagreement(sample(), "isic_gt")
    {}
    """
    from keras_robust.metrics.overlap import drawn_dice

    own = dataset.select(annotator=annotator).cases
    others: dict[str, list[Case]] = {}
    peers = match_annotators(dataset)["all"] if other is None else (other,)
    for case in dataset if other is None else dataset.select(annotator=other):
        if case.mask is not None and case.annotator in peers and case.annotator != annotator:
            others.setdefault(case.id, []).append(case)
    scores: dict[str, float] = {}
    labels = dataset.classes, dataset.ignore_label
    for number, case in enumerate(own, start=1):
        found = []
        for peer in others.get(case.id, ()):
            try:
                first, second = map(dataset.read_mask, (case, peer))
                found.append(drawn_dice(first, second, *labels))
            except (OSError, ValueError):
                continue  # the queue shows what is wrong with the file
        if found:
            scores[case.id] = 1.0 - float(np.mean(found))
        if progress is not None:
            progress(number, len(own))
    return scores


def worst_first(
    cases: Collection[Case],
    scores: Mapping[str, float],
    kinds: Mapping[str, str],
    places: Mapping[str, tuple[Any, ...]],
) -> tuple[QueueItem, ...]:
    """A queue: those with a score from the greatest down, then the others as they are."""
    items = [
        QueueItem(c, scores.get(c.id), kinds.get(c.id, ""), places.get(c.id, ())) for c in cases
    ]
    return tuple(sorted(items, key=lambda i: (i.score is None, -(i.score or 0.0))))
