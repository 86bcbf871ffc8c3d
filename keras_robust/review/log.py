"""What a reviewer has decided so far, read from the log."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import NDArray

from keras_robust.annotators.roles import reviewers
from keras_robust.common.errors import invalid
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.review.decision import WITHDRAWN, Decision
from keras_robust.review.files import ReviewFiles
from keras_robust.review.journal import read_journal

__all__ = ["ReviewLog", "read_log"]


@dataclass(frozen=True)
class ReviewLog:
    """The decisions of one reviewer.

    Args:
        dataset: The dataset with the annotators' masks.
        files: Where the reviewer's files are.
        history: All decisions in order.
        damaged: Numbers of the lines of the log that are not readable.
    """

    dataset: Dataset
    files: ReviewFiles
    history: tuple[Decision, ...] = ()
    damaged: tuple[int, ...] = ()
    _latest: dict[str, Decision] = field(default_factory=dict, init=False, repr=False)
    _cases: dict[tuple[str, str], Case] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._latest.update((decision.id, decision) for decision in self.history)
        self._cases.update(((case.id, case.annotator), case) for case in self.dataset)

    @property
    def reviewer(self) -> str:
        """Name of the reviewer."""
        return self.files.reviewer

    @property
    def decisions(self) -> dict[str, Decision]:
        """The last decision by id, of those that were not withdrawn."""
        return {id: last for id, last in self._latest.items() if last.decision != WITHDRAWN}

    @property
    def latest(self) -> dict[str, Decision]:
        """The last line by id, also where it withdraws a decision."""
        return dict(self._latest)

    def decision(self, id: str) -> Decision | None:
        """The last decision on a case, `None` where there is none or it was withdrawn."""
        last = self._latest.get(id)
        return None if last is None or last.decision == WITHDRAWN else last

    def final_mask(self, id: str) -> NDArray | None:
        """`(*spatial)`, the mask that the reviewer holds for right.

        The annotator's where it was accepted, the corrected one where it was repaired; `None`
        where there is no such decision, or the file cannot be read.
        """
        decision = self.decision(id)
        if decision is None or decision.decision not in ("accept", "repair"):
            return None
        case = self.case(id, decision.annotator)
        if case is None:
            return None
        try:
            if decision.decision == "accept":
                return self.dataset.read_mask(case, anywhere=True)
            return self.read_version(case, decision)
        except (OSError, ValueError):
            return None

    def read_version(self, case: Case, decision: Decision) -> NDArray:
        """The mask of a repair, as it was kept then."""
        return read_labels(self.dataset, self.files.version(case, decision.version or 0))

    def case(self, id: str, annotator: str) -> Case | None:
        """The case on which a decision was made, `None` where the dataset no longer has it."""
        return self._cases.get((id, annotator))


def read_log(dataset: Dataset, home: Path, reviewer: str) -> ReviewLog:
    """Read the log of a reviewer; nothing is locked or written.

    Args:
        dataset: The dataset.
        home: Manifest folder with the log.
        reviewer: Name of the reviewer.

    Raises:
        ValueError: No such reviewer.
    """
    files = ReviewFiles(home, reviewer)
    if not files.log.is_file():
        known = ", ".join(reviewers(home)) or "there is none"
        raise invalid("reviewer", f"one with a review log: {known}", reviewer)
    return parsed(dataset, files)


def parsed(dataset: Dataset, files: ReviewFiles) -> ReviewLog:
    journal = read_journal(files.log)
    found = [Decision.from_record(record) for record in journal.records]
    history = tuple(decision for decision in found if decision is not None)
    return ReviewLog(dataset, files, history, journal.damaged)


def read_labels(dataset: Dataset, path: str | os.PathLike[str]) -> NDArray:
    """A corrected mask as labels of the dataset.

    Raises:
        OSError, ValueError: It cannot be read.
    """
    path = Path(path)
    case = Case(id=path.name, image=path, mask=path, annotator="", split="")
    return dataset.read_mask(case, order="K")
