"""What is simulated on a whole dataset: its Dice as a histogram, and a new annotator on disk."""

import os
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from keras_robust.annotators import (
    annotator_name,
    clean_annotator,
    simulate_dataset,
    simulated_annotators,
)
from keras_robust.data import Dataset
from keras_robust.noise import Corruption, LabelNoise
from napari_plugin.noise_lab.histogram import DiceHistogram
from napari_plugin.noise_lab.preview import dataset_log
from napari_plugin.viewer.dock import button, text
from napari_plugin.viewer.style import fill_legend, legend
from napari_plugin.work.child import in_words
from napari_plugin.work.latest import Latest
from napari_plugin.work.tasks import Task, run_in_background

__all__ = ["DatasetBox"]


class DatasetBox(QWidget):
    """Choose a dataset, see the distribution of Dice over it, write a simulated annotator.

    Args:
        noise: Gives what is set now; may raise ValueError.
        say: Shows a message.

    Attributes:
        opened: Another dataset was opened.
    """

    opened = Signal()

    def __init__(self, noise: Callable[[], LabelNoise], say: Callable[[str], None]):
        super().__init__()
        self._noise, self._say = noise, say
        self.path: Path | None = None  # of the dataset that is open, or is being opened
        self.dataset: Dataset | None = None
        self._opening = Latest()
        self.task: Task | None = None
        self.written: Path | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        self.name = QLabel("none")
        self.name.setWordWrap(True)
        self.open = button("Open…", "Choose the folder of a dataset", self._ask_dataset)
        row = QHBoxLayout()
        row.addWidget(self.name, 1)
        row.addWidget(self.open)
        form.addRow("Dataset", row)
        self.source = _box("The annotator whose masks are corrupted")
        self.split = _box("The split that is corrupted; others stay as they are")
        form.addRow("Masks of", self.source)
        form.addRow("Split", self.split)
        column.addLayout(form)
        self.measure = button(
            "Histogram", "Corrupt all masks in memory and show their Dice", self.start_histogram
        )
        self.apply = button(
            "Apply to dataset…", "Write the noisy masks as a new annotator", self.start_apply
        )
        self.cancel = button("Cancel", "Stop; what was written is kept", self.stop)
        row = QHBoxLayout()
        for one in (self.measure, self.apply, self.cancel):
            row.addWidget(one)
        column.addLayout(row)
        self.bar = QProgressBar()
        self.bar.setToolTip("Masks done")
        column.addWidget(self.bar)
        self.histogram = DiceHistogram()
        self.key = legend({})
        self.summary = text("Summary")
        for widget in (self.histogram, self.key, self.summary):
            column.addWidget(widget)
        for box in (self.source, self.split):
            box.currentIndexChanged.connect(self.forget)
        self.forget()
        self._set_busy(False)

    def open_dataset(self, path: str | os.PathLike[str]) -> None:
        """Open a dataset in the background; what goes wrong is said."""
        self.path = Path(path)
        self.name.setText("opening…")
        self._opening.ask(Dataset.open, path, done=self._show_dataset, failed=self._no_dataset)

    def _no_dataset(self, error: Exception) -> None:
        self.name.setText("none" if self.dataset is None else self.dataset.name)
        self._say(in_words(error))

    def _show_dataset(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.name.setText(dataset.name)
        self.name.setToolTip(str(dataset.root))
        simulated = simulated_annotators(dataset)
        _fill(self.source, [name for name in dataset.annotators if name not in simulated])
        clean = clean_annotator(dataset)
        if clean is not None:
            self.source.setCurrentText(clean)
        _fill(self.split, list(dataset.splits) or ["all"])
        if "train" in dataset.splits:
            self.split.setCurrentText("train")
        self.forget()
        self._set_busy(self.task is not None)
        self.opened.emit()

    def chosen(self) -> Dataset:
        """The cases that are corrupted.

        Raises:
            ValueError: No dataset is open, or the annotator has no masks in the split.
        """
        if self.dataset is None:
            raise ValueError("Open a dataset first.")
        dataset = self.dataset.select(annotator=self.source.currentText())
        if self.dataset.splits:
            dataset = dataset.select(split=self.split.currentText())
        return dataset

    def forget(self, *_) -> None:
        """The histogram is of settings that no longer hold."""
        for widget in (self.histogram, self.key, self.summary):
            widget.setVisible(False)

    def start_histogram(self) -> None:
        """Corrupt the masks in memory, in the background."""
        try:
            noise, dataset = self._noise(), self.chosen()
        except ValueError as error:
            self._say(str(error))
            return
        self._start(dataset_log, dataset, noise, done=self._show_log)

    def start_apply(self) -> None:
        """Write the new annotator in the background; asks for a folder where one is needed."""
        try:
            noise, dataset = self._noise(), self.chosen()
        except ValueError as error:
            self._say(str(error))
            return
        output = None
        if dataset.layout != "manifest" or not os.access(dataset.root, os.W_OK):
            self._say(
                "This folder cannot hold the new masks. Choose another one for them; it will "
                "refer to the images where they are."
            )
            output = self.ask_output()
            if not output:
                return
        self._start(
            simulate_dataset,
            dataset.root,
            noise,
            done=self._show_written,
            source=self.source.currentText(),
            split=self.split.currentText(),
            output=output,
        )
        self._say(f"Writing the annotator {annotator_name(noise)}…")

    def ask_output(self) -> str:
        """Folder for the new dataset; empty if the user cancels."""
        return QFileDialog.getExistingDirectory(self, "Folder for the noisy masks")

    def stop(self) -> None:
        """Cancel what runs."""
        self._opening.drop()
        if self.task is not None:
            self.task.cancel()
            self._say("Cancelled. Masks already written are kept; apply again to go on.")

    def _ask_dataset(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a dataset")
        if path:
            self.open_dataset(path)

    def _start(self, function: Callable, *args, done: Callable, **kwargs) -> None:
        if self.task is not None:
            return
        self._say("")
        self.bar.setRange(0, 0)
        self.task = run_in_background(
            function, *args, progress=self._progress, done=done, failed=self._fail, **kwargs
        )
        self.task.ended.connect(self._end)
        self._set_busy(True)

    def _progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _end(self) -> None:
        self.task = None
        self._set_busy(False)

    def _fail(self, error: Exception) -> None:
        self._say(in_words(error))

    def _set_busy(self, busy: bool) -> None:
        self.bar.setVisible(busy)
        self.cancel.setVisible(busy)
        for one in (self.measure, self.apply):
            one.setEnabled(self.dataset is not None and not busy)

    def _show_log(self, log: list[Corruption]) -> None:
        noisy = [done.dice for done in log if done.kind != "clean"]
        self.histogram.show_log(log)
        fill_legend(self.key, self.histogram.colours)
        self.key.setVisible(True)
        mean = f", mean Dice {sum(noisy) / len(noisy):.3f}" if noisy else ""
        self.summary.setText(f"{len(noisy)} of {len(log)} masks noisy{mean}")
        self.summary.setVisible(True)

    def _show_written(self, folder: Path) -> None:
        self.written = folder
        self._say(f"Wrote the annotator {folder.name} to {folder.parent.parent}.")


def _box(tip: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def _fill(box: QComboBox, names: list[str]) -> None:
    box.clear()
    box.addItems(names)
