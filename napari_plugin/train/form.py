"""The form of the widget "Train and predict": what a person chooses for a run."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from keras_robust.data import Dataset, sample_path
from napari_plugin.train.inputs import MODEL_SIZES, TrainInputs, free_folder
from napari_plugin.train.loss_box import LossBox
from napari_plugin.viewer.dock import button, row
from napari_plugin.viewer.style import preference
from napari_plugin.work.child import in_words

__all__ = ["TrainForm"]


class TrainForm(QGroupBox):
    """The inputs of a training run.

    Args:
        say: Shows a message.

    Attributes:
        run_chosen: Another run folder was chosen.
        rows: Where further rows go.
    """

    run_chosen = Signal()

    def __init__(self, say: Callable[[str], None]):
        super().__init__("Train")
        self._say = say
        self._folders: list[QWidget] = []  # what chooses them
        self._proposed = ("", "")  # dataset, and the run folder that was proposed for it
        self.rows = QFormLayout(self)
        self.rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.dataset = _path_line("Folder of the dataset", str(sample_path()))
        self.dataset.editingFinished.connect(self.fill_annotators)
        self._add("&Dataset", self.dataset, self._choose_dataset)
        self.annotator = QComboBox()
        self.annotator.setToolTip("Whose masks to train on")
        self.rows.addRow("&Annotator", self.annotator)
        self.loss = LossBox()
        self.loss.currentTextChanged.connect(self._explain_loss)
        self.loss_help = QLabel()
        self.loss_help.setWordWrap(True)
        self.rows.addRow("&Loss", self.loss)
        self.rows.addRow(self.loss_help)
        self.epochs = _spin(1, 10_000, 50, "Passes over the images")
        self.pixels = _spin(16, 1024, 128, "Images are resized to so many pixels along each axis")
        numbers = row(self.epochs, _label("&Size", self.pixels), self.pixels, fill=True)
        self.rows.addRow(_label("&Epochs", self.epochs), numbers)
        self.model = QComboBox()
        self.model.addItems(list(MODEL_SIZES))
        self.model.setCurrentText("medium")
        self.model.setToolTip("Size of the U-Net; small is quick on a computer without GPU")
        self.rows.addRow("&Model", self.model)
        self.run = _path_line("Folder that the run is written to", "")
        self.run.editingFinished.connect(self.run_chosen)
        self._add("&Run", self.run, self._choose_run)
        self._explain_loss()

    @property
    def inputs(self) -> TrainInputs:
        """What is chosen."""
        return TrainInputs(
            dataset=Path(self.dataset.text()).expanduser(),
            annotator=self.annotator.currentData() or "",
            loss=self.loss.currentText().strip(),
            epochs=self.epochs.value(),
            size=self.pixels.value(),
            model=self.model.currentText(),
            run=Path(self.run.text()).expanduser(),
        )

    def fill_annotators(self) -> None:
        """Offer the annotators of the dataset, and a folder for its next run."""
        before = self.annotator.currentData()
        self.annotator.clear()
        self.annotator.addItem("the clean one, or the only one", "")
        try:
            dataset = Dataset.open(self.inputs.dataset)
        except (ValueError, OSError) as error:
            self._say(in_words(error))
            return
        for name in dataset.annotators:
            self.annotator.addItem(name, name)
        self.annotator.setCurrentIndex(max(0, self.annotator.findData(before)))
        self._propose_run(dataset)
        self._say(f"{len(dataset.ids)} images, {len(dataset.annotators)} annotator(s).")

    def _propose_run(self, dataset: Dataset) -> None:
        """A run folder of its own for each dataset, unless the user named one."""
        known, proposed = self._proposed
        named = self.run.text()
        if named and (named != proposed or known == str(dataset.root)):
            return
        base = preference("train", "runs", "") or Path.home() / "keras-robust-runs"
        folder = str(free_folder(Path(base).expanduser(), dataset.name))
        self._proposed = (str(dataset.root), folder)
        self.run.setText(folder)
        self.run_chosen.emit()

    def set_busy(self, busy: bool) -> None:
        """Keep the folders that a child process works in."""
        for field in self._folders:
            field.setEnabled(not busy)

    def _choose_dataset(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Dataset folder", self.dataset.text())
        if folder:
            self.dataset.setText(folder)
            self.fill_annotators()

    def _choose_run(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Run folder", self.run.text())
        if folder:
            self.run.setText(folder)
            self.run_chosen.emit()

    def _explain_loss(self, *_) -> None:
        self.loss_help.setText(self.loss.explanation)

    def _add(self, title: str, line: QLineEdit, choose: Callable[[], None]) -> None:
        browse = button("...", f"Choose: {line.toolTip()}", choose)
        browse.setMaximumWidth(36)
        self._folders += [line, browse]
        self.rows.addRow(_label(title, line), row(line, browse, fill=True))


def _path_line(what: str, text: str) -> QLineEdit:
    line = QLineEdit(text)
    line.setToolTip(what)
    line.setAccessibleName(what)
    line.setMinimumWidth(80)
    return line


def _spin(low: int, high: int, value: int, what: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setValue(value)
    spin.setToolTip(what)
    return spin


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    return label
