"""The widget "Train and predict"."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from keras_robust.data import Dataset, sample_path
from keras_robust.training.loss_names import LOSS_NAMES
from keras_robust.training.run import Run
from napari_plugin._child import in_words
from napari_plugin._style import preference, scrolled
from napari_plugin._tasks import ChildProcess
from napari_plugin.train.curves import Curves
from napari_plugin.train.inputs import MODEL_SIZES, TrainInputs, free_folder
from napari_plugin.train.predicted import image_to_predict, images_of, prediction_layer
from napari_plugin.train.work import audit_run, predict_dataset, predict_image, train_run

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["TrainWidget"]

STAGES = {
    "masks": "Reading masks",
    "step": "Training",
    "images": "Predicting",
    "files": "Reading files",
    "predicting": "Reading predictions",
    "scoring": "Scoring masks",
    "error maps": "Drawing error maps",
}


class TrainWidget(QWidget):
    """Train a model on a dataset, watch it, predict with it, and audit masks with it.

    Everything that needs TensorFlow runs in a child process; the window stays alive.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self.child: ChildProcess | None = None
        self._done: Callable[[Any], None] = lambda result: None
        self._result: tuple[Any, ...] = ()
        self._resumes = False
        self.curves = Curves()
        self._build()
        self._fill_annotators()
        self._show_run()
        self.destroyed.connect(lambda *_, tasks=self._tasks: tasks.clear())

    # -- layout -----------------------------------------------------------------------------------

    def _build(self) -> None:
        self._tasks: list[ChildProcess] = []  # dropped with the widget, and their processes too
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self._training_group())
        column.addWidget(self.curves, stretch=1)
        column.addWidget(self._prediction_group())
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.message = QLabel("Choose a dataset, then train.")
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(content), stretch=1)
        outer.addWidget(self.bar)
        outer.addWidget(self.message)
        self.setMinimumWidth(330)

    def _training_group(self) -> QGroupBox:
        group = QGroupBox("Train")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.dataset = _path_line("Folder of the dataset", str(sample_path()))
        self.dataset.editingFinished.connect(self._fill_annotators)
        form.addRow(
            _label("&Dataset", self.dataset), _with_browse(self.dataset, self._choose_dataset)
        )
        self.annotator = QComboBox()
        self.annotator.setToolTip("Whose masks to train on")
        form.addRow("&Annotator", self.annotator)
        self.loss = QComboBox()
        for number, (name, what) in enumerate(LOSS_NAMES.items()):
            self.loss.addItem(name)
            self.loss.setItemData(number, what, Qt.ItemDataRole.ToolTipRole)
        self.loss.setToolTip("What training minimises; robust losses follow bad masks less")
        self.loss.currentTextChanged.connect(self._explain_loss)
        self.loss_help = QLabel()
        self.loss_help.setWordWrap(True)
        form.addRow("&Loss", self.loss)
        form.addRow("", self.loss_help)
        self.epochs = _spin(1, 10_000, 50, "Passes over the images")
        self.pixels = _spin(16, 1024, 128, "Images are resized to so many pixels along each axis")
        numbers = QHBoxLayout()
        numbers.addWidget(self.epochs)
        numbers.addWidget(_label("&Size", self.pixels))
        numbers.addWidget(self.pixels)
        form.addRow(_label("&Epochs", self.epochs), numbers)
        self.model = QComboBox()
        self.model.addItems(list(MODEL_SIZES))
        self.model.setCurrentText("medium")
        self.model.setToolTip("Size of the U-Net; small is quick on a computer without GPU")
        form.addRow("&Model", self.model)
        self.run = _path_line("Folder that the run is written to", "")
        self.run.editingFinished.connect(self._show_run)
        form.addRow(_label("&Run", self.run), _with_browse(self.run, self._choose_run))
        self.train_button = _button("&Train", "Train in the background", self.train)
        self.pause_button = _button("&Pause", "Let training wait", self.pause)
        self.stop_button = _button("St&op", "Stop; the run can be continued", self.stop)
        form.addRow(_row(self.train_button, self.pause_button, self.stop_button))
        self._explain_loss(self.loss.currentText())
        return group

    def _prediction_group(self) -> QGroupBox:
        group = QGroupBox("Predict with this run")
        column = QVBoxLayout(group)
        self.image_button = _button(
            "This &image", "Add the predicted mask of the selected image as a layer", self.predict
        )
        self.dataset_button = _button(
            "Whole data&set", "Write predicted masks of every image", self.predict_all
        )
        self.audit_button = _button(
            "A&udit with this run",
            "Predict the dataset, then rank its masks by how suspicious they are. Images that the "
            "run was trained on look better than they are; `keras-robust audit` trains models that "
            "have not seen them.",
            self.audit,
        )
        column.addLayout(_row(self.image_button, self.dataset_button))
        column.addWidget(self.audit_button)
        return group

    # -- inputs -----------------------------------------------------------------------------------

    @property
    def inputs(self) -> TrainInputs:
        """What is chosen."""
        return TrainInputs(
            dataset=Path(self.dataset.text()).expanduser(),
            annotator=self.annotator.currentData() or "",
            loss=self.loss.currentText(),
            epochs=self.epochs.value(),
            size=self.pixels.value(),
            model=self.model.currentText(),
            run=Path(self.run.text()).expanduser(),
        )

    def _choose_dataset(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Dataset folder", self.dataset.text())
        if folder:
            self.dataset.setText(folder)
            self._fill_annotators()

    def _choose_run(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Run folder", self.run.text())
        if folder:
            self.run.setText(folder)
            self._show_run()

    def _fill_annotators(self) -> None:
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
        if not self.run.text():
            base = preference("train", "runs", "") or Path.home() / "keras-robust-runs"
            self.run.setText(str(free_folder(Path(base).expanduser(), dataset.name)))
        self._say(f"{len(dataset.ids)} images, {len(dataset.annotators)} annotator(s).")

    def _explain_loss(self, name: str) -> None:
        self.loss_help.setText(LOSS_NAMES.get(name, ""))

    def _show_run(self) -> None:
        """Show what is in the run folder, and offer what can be done with it."""
        run = Run(self.inputs.run)
        try:
            status, rows = run.status, run.history
        except (ValueError, OSError) as error:
            self._say(f"This run cannot be read: {in_words(error)}")
            status, rows = "absent", []
        self.curves.show_rows(rows)
        self._resumes = status in ("running", "interrupted", "failed") and bool(rows)
        busy = self.child is not None
        self.train_button.setText("Con&tinue" if self._resumes else "&Train")
        self.train_button.setEnabled(not busy)
        for button in (self.pause_button, self.stop_button):
            button.setEnabled(busy)
        for button in (self.image_button, self.dataset_button, self.audit_button):
            button.setEnabled(not busy and bool(rows))
        for field in (self.dataset, self.run):
            field.setEnabled(not busy)

    # -- what the buttons do ----------------------------------------------------------------------

    def train(self) -> None:
        """Begin the run, or continue it where it stopped."""
        inputs = self.inputs
        try:
            fields = None if self._resumes else inputs.as_core_arguments()
        except (ValueError, OSError) as error:
            self._say(in_words(error))
            return
        self._start(train_run, (fields, inputs.run, self._resumes), self._trained)

    def pause(self) -> None:
        """Let the child wait, or go on."""
        if self.child is not None:
            (self.child.resume if self.pause_button.text() == "&Go on" else self.child.pause)()

    def stop(self) -> None:
        """Stop the child; what it had written is kept."""
        if self.child is not None:
            self._say("Stopping ...")
            self.child.cancel()

    def predict(self) -> None:
        """Add the predicted mask of the selected image as a layer."""
        layer = image_to_predict(self.viewer)
        if layer is None:
            self._say("Open an image first, or select one in the list of layers.")
            return
        name = self.inputs.run.name

        def show(labels: list[Any]) -> None:
            data, options, _ = prediction_layer(layer, labels, name)
            self.viewer.add_labels(data, **options)
            self._say(f"Predicted {layer.name}.")

        self._start(predict_image, (self.inputs.run, images_of(layer)), show)

    def predict_all(self) -> None:
        """Write predicted masks of the whole dataset beside the run."""
        inputs = self.inputs
        self._start(
            predict_dataset,
            (inputs.run, inputs.dataset, self._beside("predictions")),
            lambda folder: self._say(f"Predicted masks are in {folder}"),
        )

    def audit(self) -> None:
        """Predict the dataset, then judge its masks by the predictions."""
        inputs, output = self.inputs, self._beside("audit")
        annotator = inputs.annotator or None

        def judge(folder: Path) -> None:
            self._start(
                audit_run,
                (inputs.dataset, output, annotator, folder / "probabilities"),
                self._audited,
            )

        self._start(
            predict_dataset, (inputs.run, inputs.dataset, self._beside("predictions")), judge
        )

    def _beside(self, what: str) -> Path:
        run = self.inputs.run
        return run.with_name(f"{run.name}-{what}")

    # -- the child --------------------------------------------------------------------------------

    def _start(
        self, function: Callable[..., Any], args: tuple[Any, ...], done: Callable[[Any], None]
    ) -> None:
        if self.child is not None:
            return
        child = ChildProcess(function, *args)
        child.message.connect(self._receive)
        child.paused.connect(self._show_paused)
        child.failed.connect(self._say)
        child.ended.connect(self._end)
        child.done.connect(self._note_result)
        self._done, self._result = done, ()
        self.child = child
        self._tasks.append(child)
        self._say("Starting ...")
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self._show_run()
        child.start()

    def _receive(self, message: tuple[Any, ...]) -> None:
        stage, *content = message
        if stage == "epoch":
            self.curves.add_row(content[0])
            return
        done, total = content
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(f"{STAGES.get(stage, stage)}: %v of %m")
        self._say("")

    def _show_paused(self, paused: bool) -> None:
        self.pause_button.setText("&Go on" if paused else "&Pause")
        self._say("Paused." if paused else "Going on ...")

    def _note_result(self, result: Any) -> None:
        self._result = (result,)

    def _end(self) -> None:
        """The child has ended, however: the next step of what it was for, if it succeeded."""
        child, self.child = self.child, None
        self._tasks.clear()
        self.bar.setVisible(False)
        self.pause_button.setText("&Pause")
        self._show_run()
        if self._result:
            self._done(self._result[0])
        elif child is not None and child.cancelled:
            go_on = " Continue it whenever you like." if self._resumes else ""
            self._say(f"Stopped.{go_on}")

    def _trained(self, results: dict[str, float]) -> None:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in results.items()
        )
        self._say(f"Finished{': ' + figures if figures else ''}. Now predict with this run.")

    def _audited(self, folder: Path) -> None:
        self._say(f"The audit is in {folder}. Open it with the widget Review.")

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))


def _path_line(what: str, text: str) -> QLineEdit:
    line = QLineEdit(text)
    line.setToolTip(what)
    line.setAccessibleName(what)
    line.setMinimumWidth(80)
    return line


def _with_browse(line: QLineEdit, choose: Callable[[], None]) -> QHBoxLayout:
    button = _button("...", f"Choose: {line.toolTip()}", choose)
    button.setMaximumWidth(36)
    return _row(line, button)


def _spin(low: int, high: int, value: int, what: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setValue(value)
    spin.setToolTip(what)
    return spin


def _button(text: str, what: str, action: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(what)
    button.clicked.connect(lambda *_: action())
    return button


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    return label


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
