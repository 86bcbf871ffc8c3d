"""Where a review begins: data set, audit, whose masks, and the name of the reviewer."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from keras_robust.audit.folder import audit_folder as _audit_folder
from keras_robust.data import Dataset
from keras_robust.review import ReviewSession, disagreement
from keras_robust.review.sources import reviewed_cases
from napari_plugin.review.audit_child import run_audit
from napari_plugin.viewer.case_layers import warm_up
from napari_plugin.viewer.style import preference
from napari_plugin.work.child import in_words
from napari_plugin.work.tasks import ChildProcess, run_in_background

__all__ = ["Opening", "Request"]

AUTOMATIC = "automatic"


@dataclass(frozen=True)
class Request:
    """What the reviewer asks for, as the arguments of `ReviewSession`."""

    dataset: str
    reviewer: str
    audit: str | None = None
    annotator: str | None = None
    suggest: str | None = None
    output: str | None = None
    by_disagreement: bool = False

    def open(self) -> ReviewSession:
        """Open the session.

        Raises:
            OSError, ValueError: See `ReviewSession`.
        """
        warm_up()
        dataset, scores = Dataset.open(self.dataset), None
        if self.by_disagreement and self.audit is None:
            first, *_ = reviewed_cases(dataset, dataset.root, self.annotator, None)
            scores = disagreement(dataset, first.annotator, self.suggest)
        return ReviewSession(
            dataset,
            self.reviewer,
            self.audit,
            annotator=self.annotator,
            suggest=self.suggest,
            scores=scores,
            output=self.output,
        )


class Opening(QWidget):
    """The form to open a data set.

    Attributes:
        opened: The session that was opened.
        said: What the reviewer should know.
        auditing: What a press on the button of the audit does from now on.
    """

    opened = Signal(object)
    said = Signal(str)
    auditing = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._child: ChildProcess | None = None
        self._found = ""  # the audit that was filled in, and goes with the data set
        self.dataset = _line("Folder of the data set", "The folder with images and masks")
        self.audit = _line(
            "Folder of an audit (optional)",
            "What keras-robust audit wrote: the order of the queue, and suggestions",
        )
        self.reviewer = _line("Your name", "Decisions and corrected masks are kept under this name")
        self.reviewer.setText(preference("review", "reviewer", "") or _user())
        self.annotator = _box("Whose masks to review")
        self.suggest = _box("Whose masks to suggest as corrections, such as a consensus")
        self.by_disagreement = QCheckBox("Worst first by disagreement of the annotators")
        self.by_disagreement.setToolTip(
            "Without an audit: the cases on which annotators differ most"
        )
        self.output = _line(
            "Folder for the review",
            "Takes log and corrected masks, and refers to the images where they are",
        )
        self.open_button = QPushButton("Open")
        self.open_button.setToolTip("Open the queue, worst first, where you stopped last time")
        self.audit_button = QPushButton("Run an audit…")
        self.audit_button.setToolTip(
            "Train models on parts of the data set in a process of their own, and let them judge "
            "the other part; takes minutes to hours"
        )
        self.open_button.clicked.connect(self.open)
        self.audit_button.clicked.connect(self.run_audit)
        self.auditing.connect(self.audit_button.setText)
        self.dataset.editingFinished.connect(self._look)
        self.reviewer.returnPressed.connect(self.open)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Data set", _with_button(self.dataset, self, self._look))
        form.addRow("Audit", _with_button(self.audit, self))
        form.addRow("Reviewer", self.reviewer)
        form.addRow("Masks of", self.annotator)
        form.addRow("Suggest", self.suggest)
        self._output_label = QLabel("Write to")
        self._output_row = QWidget()
        row = _with_button(self.output, self)
        row.setContentsMargins(0, 0, 0, 0)
        self._output_row.setLayout(row)
        form.addRow(self._output_label, self._output_row)
        self._ask_for_output(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(self.by_disagreement)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.audit_button)
        column.addLayout(buttons)

    def request(self) -> Request:
        """What the form says now."""
        return Request(
            dataset=self.dataset.text().strip(),
            reviewer=self.reviewer.text().strip(),
            audit=self.audit.text().strip() or None,
            annotator=self.annotator.currentData(),
            suggest=self.suggest.currentData(),
            output=self.output.text().strip() or None if self._output_row.isEnabled() else None,
            by_disagreement=self.by_disagreement.isChecked(),
        )

    def open(self) -> None:
        """Open what the form says, in the background."""
        request = self.request()
        if not request.dataset:
            self.said.emit("Choose the folder of a data set.")
            return
        if not request.reviewer:
            self.said.emit("Enter your name: decisions are kept under it.")
            return
        self.open_button.setEnabled(False)
        self.said.emit("Opening…")
        run_in_background(
            request.open,
            done=self._opened,
            failed=lambda error: self._refused(error, request),
        )

    def write_to(self, output: str) -> None:
        """Name the folder that takes decisions and masks."""
        self._ask_for_output(True)
        self.output.setText(output)

    def run_audit(self) -> None:
        """Start an audit in a child process, or stop the one that runs."""
        if self._child is not None and self._child.running:
            self.said.emit("Stopping the audit…")
            self._child.cancel()
            return
        folder = self.dataset.text().strip()
        if not folder:
            self.said.emit("Choose the folder of a data set.")
            return
        output = self.audit.text().strip() or str(_audit_folder(folder))
        child = ChildProcess(
            run_audit, folder, output, self.annotator.currentData(), None, parent=self
        )
        child.message.connect(
            lambda told: self.said.emit(f"Audit: {told[0]}, {told[1]} of {told[2]}")
        )
        child.waited.connect(
            lambda seconds: self.said.emit(
                f"The audit starts, which takes up to a minute ({seconds} s so far). It writes to "
                f"{output}; stopped, it can be continued."
            )
        )
        child.done.connect(self._audited)
        child.failed.connect(lambda text: self.said.emit(f"The audit failed. {text}"))
        child.ended.connect(lambda: self.auditing.emit("Run an audit…"))
        self._child = child
        child.start()
        self.auditing.emit("Stop the audit")
        self.said.emit(f"The audit runs and writes to {output}; stopped, it can be continued.")

    def stop(self) -> None:
        """End an audit that runs."""
        if self._child is not None and self._child.running:
            self._child.cancel(grace=0.5)

    def _audited(self, output: str) -> None:
        self._found = output
        self.audit.setText(output)
        self.said.emit(
            "The audit is done. Close and open the data set to review the worst masks first."
        )

    def _opened(self, session: ReviewSession) -> None:
        self.open_button.setEnabled(True)
        self.opened.emit(session)

    def _refused(self, error: Exception, request: Request) -> None:
        self.open_button.setEnabled(True)
        text = in_words(error)
        if (
            "`output`" in str(error) and request.output is None
        ):  # the argument, not a part of a path
            self._ask_for_output(True)
            root = Path(request.dataset).resolve()
            self.output.setText(str(root.with_name(f"{root.name}-reviewed")))
            text = (
                "This folder cannot take corrected masks: it is read-only, or has no table for a "
                "further annotator. Check the folder under “Write to” and open again."
            )
        self.said.emit(text)

    def _ask_for_output(self, ask: bool) -> None:
        for widget in (self._output_label, self._output_row):
            widget.setVisible(ask)
        self._output_row.setEnabled(ask)

    def _look(self) -> None:
        """Offer the annotators of the data set, and its audit where there is one."""
        folder = self.dataset.text().strip()
        self._ask_for_output(False)
        if not folder or not Path(folder).is_dir():
            return
        if self.audit.text() in ("", self._found):
            audit = _audit_folder(folder)
            self._found = str(audit) if (audit / "audit.json").is_file() else ""
            self.audit.setText(self._found)
        run_in_background(
            Dataset.open,
            folder,
            done=self._offer,
            failed=lambda error: self.said.emit(in_words(error)),
        )

    def _offer(self, dataset: Dataset) -> None:
        for box in (self.annotator, self.suggest):
            box.clear()
            box.addItem(AUTOMATIC, None)
            for name in dataset.annotators:
                box.addItem(name, name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a system without names of users
        return ""


def _line(placeholder: str, tip: str) -> QLineEdit:
    line = QLineEdit()
    line.setPlaceholderText(placeholder)
    line.setToolTip(tip)
    line.setAccessibleName(placeholder)
    return line


def _box(tip: str) -> QComboBox:
    box = QComboBox()
    box.addItem(AUTOMATIC, None)
    box.setToolTip(tip)
    box.setAccessibleName(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def _with_button(line: QLineEdit, parent: QWidget, then: object = None) -> QHBoxLayout:
    """A line with a button that lets the user choose a folder for it."""
    button = QToolButton()
    button.setText("…")
    button.setToolTip(f"Choose: {line.placeholderText().lower()}")
    button.setAccessibleName(button.toolTip())

    def choose() -> None:
        folder = QFileDialog.getExistingDirectory(parent, line.placeholderText(), line.text())
        if folder:
            line.setText(folder)
            line.editingFinished.emit()

    button.clicked.connect(choose)
    row = QHBoxLayout()
    row.addWidget(line)
    row.addWidget(button)
    return row
