"""The head of a review: whose it is, other readers, and what comes of it."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from keras_robust.review import ReviewAgreement, ReviewSession
from napari_plugin.review.readers.results import Results
from napari_plugin.viewer.dock import button

__all__ = ["Head"]


class Head(QWidget):
    """Names the data set and its reviewer, and has the buttons that concern all of it.

    Attributes:
        said: What the reviewer should know.
        disputed: Ids to list alone, and whether to show one of them.
        closing: The data set is to be closed.
        asked: The name of a key of the review.
    """

    said = Signal(str)
    disputed = Signal(object, bool)
    closing = Signal()
    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._results: Results | None = None
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.title.setAccessibleName("Data set and reviewer")
        self.agree_button = button(
            "Readers",
            "How far another reviewer of this data set agrees with you; decide between two others",
        )
        self.agree_menu = QMenu(self)
        self.agree_menu.aboutToShow.connect(self.list_reviewers)
        self.agree_button.setMenu(self.agree_menu)
        self.result_button = button(
            "Result",
            "Add an annotator, YOUR NAME-reviewed, to the data set: masks as you accepted or "
            "repaired them, those not decided on as they are, without what you rejected",
            self._write_result,
        )
        self.report_button = button(
            "Report",
            "Write a page and tables: decided, changed, by how much, by whom, in what time",
            self._write_report,
        )
        self.close_button = button(
            "Close",
            "Close the data set; all that you painted and decided is kept",
            self.closing.emit,
        )
        self.sheet_button = button(
            "?", "All keys of the review. Key: ?", lambda: self.asked.emit("shortcuts")
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.title)
        row = QHBoxLayout()
        for each in (
            self.agree_button,
            self.result_button,
            self.report_button,
            self.close_button,
            self.sheet_button,
        ):
            each.setMinimumWidth(10)
            row.addWidget(each, int(each is not self.sheet_button))
        column.addLayout(row)

    def begin(self, session: ReviewSession, results: Results) -> None:
        """Head a session from now on."""
        self._results = results
        self.title.setText(f"<b>{session.dataset.name}</b>, reviewed by {session.reviewer}")
        results.compared.connect(self._compared)
        results.disputed.connect(self._disputed)

    def end(self) -> None:
        """Head none."""
        self._results = None

    def list_reviewers(self) -> None:
        """Fill the menu with whom to compare oneself, and between whom to decide."""
        self.agree_menu.clear()
        results = self._results
        if results is None:
            return
        others = results.others
        for name in others:
            self._offer(f"with {name}", partial(results.compare, name))
        for one, other in combinations(others, 2):
            act = partial(results.decide_between, one, other)
            self._offer(f"Decide between {one} and {other}", act)
        if not others:
            nobody = self.agree_menu.addAction("Nobody else has reviewed this data set yet")
            nobody.setEnabled(False)

    def _write_result(self) -> None:
        if self._results is not None:
            self._results.write_result()

    def _write_report(self) -> None:
        if self._results is not None:
            self._results.write_report()

    def _offer(self, text: str, act: Callable[[], None]) -> None:
        self.agree_menu.addAction(text).triggered.connect(lambda *_: act())

    def _disputed(self, found: Mapping[str, object]) -> None:
        if not found:
            self.said.emit("The two do not differ on any mask.")
            return
        self.disputed.emit(tuple(found), True)
        self.said.emit(
            f"{len(found)} mask(s) are in dispute, and shown in the queue now. Take the mask of a "
            "reader, merge them or draw, and decide under your own name: their logs stay."
        )

    def _compared(self, found: ReviewAgreement) -> None:
        own, other = found.reviewers
        count = len(found.decisions)
        if not count:
            self.said.emit(f"{own} and {other} have not decided on the same masks yet.")
            return
        parts = [
            f"{own} and {other} both decided on {count} mask(s): {found.observed:.0%} alike, "
            f"κ {found.kappa:.2f}."
        ]
        if found.dice:
            parts.append(f"Dice of the masks they hold for right: {found.mean_dice:.3f}.")
        if found.disputed:
            parts.append("Disputed, and shown in the queue now: " + ", ".join(found.disputed[:5]))
            parts[-1] += f" and {len(found.disputed) - 5} more." if found.disputed[5:] else "."
            self.disputed.emit(found.disputed, False)
        self.said.emit(" ".join(parts))
