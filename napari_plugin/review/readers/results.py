"""What comes of a review: agreement with other readers, a report, an annotator of its own."""

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from keras_robust.annotators import reviewers
from keras_robust.review import (
    Opinion,
    ReviewAgreement,
    ReviewSession,
    agreement,
    disputes,
    read_log,
    write_review_report,
    write_reviewed,
)
from napari_plugin.review.readers.third import ThirdReader
from napari_plugin.work.child import in_words
from napari_plugin.work.serial_thread import SerialThread

__all__ = ["Results"]


class Results(QObject):
    """Computes and writes, in the background, what a session has come to.

    Args:
        session: The session.
        third: Shows what two other readers hold.
        reader: The thread that reads.
        writer: The thread that writes: what was decided before is in what it writes.

    Attributes:
        said: What the reviewer should know.
        compared: Agreement with another reviewer.
        disputed: What two other readers hold, by the ids on which they do not agree.
    """

    said = Signal(str)
    compared = Signal(object)
    disputed = Signal(object)

    def __init__(
        self,
        session: ReviewSession,
        third: ThirdReader,
        reader: SerialThread,
        writer: SerialThread,
    ):
        super().__init__()
        self._session, self._third = session, third
        self._reader, self._writer = reader, writer

    @property
    def others(self) -> list[str]:
        """Names of those who have reviewed the data set too."""
        own = self._session.reviewer
        return [name for name in reviewers(self._session.home) if name != own]

    def compare(self, other: str) -> None:
        """Compute the agreement with another reviewer."""
        session = self._session

        def compute() -> ReviewAgreement:
            return agreement(session.log, read_log(session.dataset, session.home, other))

        self._reader.ask(compute, done=self.compared.emit, failed=self._tell)

    def decide_between(self, one: str, other: str) -> None:
        """Find what two other readers do not agree on, to decide on it."""
        session = self._session

        def begin(found: Mapping[str, tuple[Opinion, Opinion]]) -> None:
            self._third.begin(found)
            self.disputed.emit(found)

        self._reader.ask(
            disputes, session.dataset, session.home, one, other, done=begin, failed=self._tell
        )

    def write_report(self) -> None:
        """Write the report of all reviewers beside the folder that takes the decisions."""
        home = self._session.home

        def write() -> Path:
            return write_review_report(home, home.with_name(f"{home.name}-review"))

        self.said.emit("Writing the report…")
        self._writer.ask(
            write, done=lambda page: self.said.emit(f"Report: {page}"), failed=self._tell
        )

    def write_result(self) -> None:
        """Add the annotator REVIEWER-reviewed to the dataset."""
        self._writer.ask(
            write_reviewed,
            self._session,
            done=lambda result: self.said.emit(
                f"The data set now has the annotator {result[0]} with {result[1]} masks: those "
                "you accepted, repaired, or have not decided on."
            ),
            failed=self._tell,
        )

    def _tell(self, error: Exception) -> None:
        self.said.emit(in_words(error))
