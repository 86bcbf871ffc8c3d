"""A reviewer at work: a queue of suspicious masks, decisions, drafts and corrected masks."""

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from keras_robust.common.files import locked, remove_leftovers
from keras_robust.common.hashes import sha256_if_there
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.layouts.manifest_writing import writable_home
from keras_robust.review.case import ReviewCase, file_hashes, read_case
from keras_robust.review.decision import WITHDRAWN, Decision, checked_mask
from keras_robust.review.files import ReviewFiles, write_labels
from keras_robust.review.journal import append_record
from keras_robust.review.log import parsed
from keras_robust.review.navigation import Navigation
from keras_robust.review.notices import brought_back, damage, explained, unpublished
from keras_robust.review.publish import publish
from keras_robust.review.queue import UNDECIDED, worst_first
from keras_robust.review.resumed import is_changed, read_corrected, resumed
from keras_robust.review.sources import (
    open_audit,
    refuse_foreign,
    refuse_other_audit,
    reviewed_cases,
    suggestions,
)

__all__ = ["ChangedFileError", "ReviewSession"]


class ChangedFileError(RuntimeError):
    """A mask or image is not the file any more that the reviewer was shown."""


class ReviewSession(Navigation):
    """Work through the masks of a dataset, the most suspicious first.

    Nothing that an annotator drew is written to. Every decision is a line in
    reviews/REVIEWER/review.jsonl, on the disk before `decide` returns; corrected masks become the
    annotator REVIEWER, and every earlier correction is kept. What is painted and not decided on
    is kept by `save_draft`. Killed at any moment, the next session goes on where this one was.

    A session holds a lock: close it, or use it in a `with` statement.

    Args:
        dataset: A dataset, or its folder.
        reviewer: Name of the reviewer, and of the annotator that the corrected masks become.
        audit: Audit of the dataset, or its folder: scores, kinds and suggestions.
        annotator: Whose masks are reviewed; by default the audit's, or the only one whose masks
            are neither simulated nor corrected.
        suggest: Annotator whose masks are suggested as corrections, such as a consensus; by
            default the audit's predictions.
        scores: How suspicious each id is, more is worse: see `disagreement`; by default the
            audit's. Without any, the queue has the order of the dataset.
        output: Folder for a view of the dataset that takes logs and masks; needed where the
            dataset is read-only or not a manifest folder.

    Raises:
        FileNotFoundError, ValueError: No such dataset, audit or annotator, no good name, or an
            audit of other masks.
        PermissionError: The folder is read-only, and `output` is not given.
        FileExistsError: An annotator has the name of the reviewer.
        BlockingIOError: The reviewer has the dataset open already.

    >>> import tempfile
    >>> from keras_robust.data import sample_path
    >>> output = Path(tempfile.mkdtemp()) / "reviewed"
    >>> with ReviewSession(sample_path(), "anna", output=output) as session:
    ...     case = session.load(session.current)
    ...     _ = session.decide(case.id, "repair", "lost its rim", mask=1 - case.labels)
    ...     session.progress
    (1, 115)
    >>> Dataset.open(output).annotators
    ('anna', 'isic_gt')
    """

    def __init__(
        self,
        dataset: Dataset | str | os.PathLike[str],
        reviewer: str,
        audit: Any = None,
        *,
        annotator: str | None = None,
        suggest: str | None = None,
        scores: Mapping[str, float] | None = None,
        output: str | os.PathLike[str] | None = None,
    ):
        self.dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
        self.audit = open_audit(audit)
        refuse_other_audit(self.dataset, self.audit)
        home = writable_home(self.dataset, output)
        files = ReviewFiles(home, reviewer, self.dataset.root)
        refuse_foreign(self.dataset, files)
        cases = reviewed_cases(self.dataset, home, annotator, self.audit)
        chosen = {(case.id, case.annotator) for case in cases}
        judged = [c for c in getattr(self.audit, "cases", ()) if (c.id, c.annotator) in chosen]
        if scores is None:
            scores = {case.id: case.score for case in judged}
        kinds = {case.id: case.kind for case in judged}
        # The places of other objects that are given as an audit may be none.
        places = {case.id: tuple(getattr(case, "places", ())) for case in judged}
        super().__init__(worst_first(cases, scores, kinds, places))
        self._suggest = suggestions(self.dataset, suggest, self.audit)
        self._shown: dict[str, tuple[str | None, str | None]] = {}
        self._grids: dict[str, tuple[int, ...]] = {}
        self._changed: set[str] = set()
        self._guard = RLock()
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(files.folder / ".lock", wait=False))
            except BlockingIOError:
                raise BlockingIOError(
                    f"Reviewer {reviewer!r} has this dataset open in another window or program. "
                    "Close it there, or review under another name."
                ) from None
            for folder in (files.folder / "drafts", files.folder / "versions", files.masks):
                if folder.is_dir():
                    remove_leftovers(folder)
            self.log = parsed(self.dataset, files)
            # A session that was killed may have logged decisions without publishing their masks.
            self.warnings = damage(self.log)
            try:
                self.warnings += publish(self.log, self.log.latest)
            except OSError as reason:
                self.warnings.append(unpublished(reason))
            self.warnings += brought_back(self.log, self._by_id)
            self._stack = stack.pop_all()
        self._resume()

    @property
    def reviewer(self) -> str:
        """Name of the reviewer."""
        return self.log.reviewer

    @property
    def home(self) -> Path:
        """The manifest folder that takes logs and masks."""
        return self.log.files.home

    @property
    def decisions(self) -> dict[str, Decision]:
        """The last decision by id."""
        return self.log.decisions

    @property
    def progress(self) -> tuple[int, int]:
        """Number of masks decided on, and of all."""
        undecided = sum(self.status(item.id) in UNDECIDED for item in self.items)
        return len(self.items) - undecided, len(self.items)

    def status(self, id: str) -> str:
        """The last decision, "undecided", or "changed" for a decision on a file that is no more."""
        decision = self.log.decision(id)
        if decision is None:
            return "undecided"
        return "changed" if id in self._changed else decision.decision

    def places(self, id: str) -> tuple[Any, ...]:
        """Where the mask of an image is probably wrong by the audit, worst first.

        Each is a `keras_robust.audit.AuditPlace`: `point` is the element to centre a window on,
        `box` what it should show (first index and the one after the last, along each axis of the
        stored array), `kind`, `label` and `p_wrong` what to say of it. Empty without an audit, for
        audits of earlier versions, and for masks that it has nothing against.

        Raises:
            ValueError: The queue has no such id.
        """
        return self.item(id).places

    def comment(self, id: str) -> str:
        """The comment of the last decision, also of one withdrawn; "" without one."""
        last = self.log.latest.get(id)
        return "" if last is None else last.comment

    def load(self, id: str) -> ReviewCase:
        """Read the files of a case; any number of threads may. Bad files are `problems` of it.

        Raises:
            ValueError: The queue has no such id.
        """
        case = read_case(self.dataset, self.item(id).case, self._suggest)
        with self._guard:
            self._shown[id] = (case.mask_sha256, case.image_sha256)
            if case.image is not None:
                self._grids[id] = case.image.shape[:-1]
        return resumed(case, self.log, self.item(id).case)

    def save_draft(self, id: str, labels: NDArray, comment: str = "") -> None:
        """Keep what is painted, atomically; `decide` and `discard_draft` remove it.

        Args:
            id: The case.
            labels: `(*spatial)`.
            comment: What is written so far.

        Raises:
            OSError: It could not be written.
        """
        with self._guard:
            shown = self._shown.get(id) or file_hashes(self.item(id).case)
            self.log.files.write_draft(id, labels, comment, shown[0])

    def rescue_draft(self, id: str, labels: NDArray, comment: str = "") -> Path:
        """Keep what is painted outside of the dataset, which cannot take it; `load` finds it there.

        Returns:
            The file, in a folder of the user.

        Raises:
            OSError: It could not be written there either.
        """
        with self._guard:
            shown = self._shown.get(id, (None, None))
            return self.log.files.rescue_draft(id, labels, comment, shown[0])

    def discard_draft(self, id: str) -> None:
        """Forget what is painted and not decided on."""
        with self._guard:
            self.log.files.remove_draft(id)

    def decide(
        self,
        id: str,
        decision: str,
        comment: str = "",
        mask: NDArray | None = None,
        *,
        seconds: float | None = None,
    ) -> Decision:
        """Log a decision; with "repair", the corrected mask becomes the reviewer's.

        The log is the truth: the mask is kept first, then the line is written, then the mask is
        published. A session that is killed in between loses nothing that was logged, and the next
        one publishes it.

        Args:
            id: The case.
            decision: "accept", "repair", "reject" or "ask an expert".
            comment: Why.
            mask: `(*spatial)`, labels of the corrected mask: needed to repair, refused to accept,
                else kept as a draft.
            seconds: From when the case was shown to the decision, for the log.

        Returns:
            The decision as logged.

        Raises:
            ValueError: An unknown id or decision, or a mask that does not fit.
            ChangedFileError: Mask or image changed after `load`; `mask` is kept as a draft.
            OSError: The disk is full or cannot be written. Nothing is logged, unless the message
                says so.
        """
        item = self.item(id)
        with self._guard:
            labels = checked_mask(self.dataset, item.case, decision, mask, self._grids.get(id))
            now = file_hashes(item.case)
            if self._shown.get(id, now) != now:
                if labels is not None:
                    self.save_draft(id, labels, comment)
                raise ChangedFileError(
                    f"The mask or the image of {id!r} was changed by someone else after it was "
                    "shown. Nothing was decided, and what you painted is kept. Load the case "
                    "again, look, and decide then."
                )
            try:
                if labels is not None and decision != "repair":
                    self.save_draft(id, labels, comment)
                record = Decision(
                    datetime.now(UTC).isoformat(timespec="milliseconds"),
                    self.reviewer,
                    id,
                    item.annotator,
                    decision,
                    comment,
                    *now,
                    seconds=None if seconds is None else round(seconds, 1),
                )
                if labels is not None and decision == "repair":
                    record = self._keep(item.case, labels, record)
                self._logged(record)
            except OSError as reason:
                raise explained(reason, f"The decision on {id!r} is not saved") from reason
            if labels is None or decision == "repair":
                with suppress(OSError):
                    self.discard_draft(id)
            what = f"The decision on {id!r} is logged, but its mask is not yet in the dataset"
            self._publish(record, what)
        return record

    def withdraw(self, id: str) -> Decision | None:
        """Make a case undecided again; the log keeps the decision and tells that it was withdrawn.

        The mask of a repair stays as a draft, and leaves the dataset.

        Args:
            id: The case.

        Returns:
            What was logged, `None` where there was no decision.

        Raises:
            ValueError: An unknown id.
            OSError: The disk is full or cannot be written. The decision stands, unless the message
                says so.
        """
        item = self.item(id)
        with self._guard:
            last = self.log.decision(id)
            if last is None:
                return None
            if last.decision == "repair":
                with suppress(OSError, ValueError):  # what is lost already cannot be kept
                    labels = read_corrected(self.log, item.case, last)
                    self.log.files.write_draft(id, labels, last.comment, last.mask_sha256)
            record = Decision(
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                self.reviewer,
                id,
                last.annotator,
                WITHDRAWN,
                last.comment,
                *file_hashes(item.case),
            )
            try:
                self._logged(record)
            except OSError as reason:
                raise explained(reason, f"The decision on {id!r} stands") from reason
            what = f"The decision on {id!r} is withdrawn, but its mask is still in the dataset"
            self._publish(record, what)
        return record

    def check(self, progress: Progress | None = None) -> tuple[str, ...]:
        """Find decisions on files that have changed since; their status is "changed" from now on.

        Args:
            progress: Called with the number of decisions looked at and in total.
        """
        latest = self.decisions
        changed = set()
        for number, (id, decision) in enumerate(latest.items(), start=1):
            item = self._by_id.get(id)
            if item is not None and is_changed(decision, *file_hashes(item.case)):
                changed.add(id)
            if progress is not None:
                progress(number, len(latest))
        with self._guard:
            self._changed = {id for id in changed if self.decisions.get(id) == latest[id]}
        return tuple(sorted(changed))

    def close(self) -> None:
        """Give back the lock; safe to call twice."""
        self._stack.close()

    def __enter__(self) -> "ReviewSession":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _resume(self) -> None:
        """Go to the draft painted last, else past the last decision, else to the worst mask."""
        drafts = [id for id in self.log.files.drafts() if id in self._by_id and self._is_open(id)]
        if drafts:
            self.current = drafts[0]
            return
        decided = [d.id for d in self.log.history if d.id in self._by_id]
        self.current = decided[-1] if decided else None
        if self.current is not None and self.log.decision(self.current) is None:
            return
        if self.next_undecided() is None and self.current is None and self.items:
            self.current = self.items[0].id

    def _is_open(self, id: str) -> bool:
        """Whether a draft was painted after the last decision, not left with it."""
        decision = self.log.decision(id)
        painted = datetime.fromtimestamp(self.log.files.drafted(id), UTC)
        return decision is None or painted.isoformat(timespec="milliseconds") > decision.time

    def _publish(self, record: Decision, otherwise: str) -> None:
        """Bring the dataset to what was logged; `otherwise` is said where it cannot be written."""
        try:
            publish(self.log, {record.id: record}, overwrite=True)
        except OSError as reason:
            raise explained(reason, otherwise) from reason

    def _logged(self, record: Decision) -> None:
        append_record(self.log.files.log, record.to_record())
        self.log = replace(self.log, history=(*self.log.history, record))
        self._changed.discard(record.id)

    def _keep(self, case: Case, labels: NDArray, record: Decision) -> Decision:
        """Write the copy of a correction that is never written to again."""
        files, number = self.log.files, 1
        while files.version(case, number).exists():
            number += 1
        path = files.version(case, number)
        write_labels(path, labels, case, self.dataset)
        return replace(
            record,
            corrected_sha256=sha256_if_there(path),
            corrected=files.mask(case).relative_to(files.home).as_posix(),
            version=number,
        )
