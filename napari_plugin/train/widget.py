"""The widget "Train and predict"."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QGroupBox, QVBoxLayout, QWidget

from keras_robust.training.run import Run
from napari_plugin.train.curves import Curves
from napari_plugin.train.form import TrainForm
from napari_plugin.train.inputs import TrainInputs
from napari_plugin.train.predicted import image_to_predict, images_of, prediction_layer
from napari_plugin.train.progress import Progress
from napari_plugin.train.work import audit_run, predict_dataset, predict_image, train_run
from napari_plugin.viewer.dock import button, row
from napari_plugin.viewer.style import scrolled
from napari_plugin.work.child import in_words

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["TrainWidget"]


class TrainWidget(QWidget):
    """Train a model on a dataset, watch it, predict with it, and audit masks with it.

    Everything that needs TensorFlow runs in a child process; the window stays alive.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self._resumes = False
        self.progress = Progress()
        self.form = TrainForm(self.progress.say)
        self.curves = Curves()
        self._build()
        self.form.run_chosen.connect(self.show_run)
        self.progress.changed.connect(self.show_run)
        self.progress.epoch_ended.connect(self.curves.add_row)
        self.progress.paused.connect(self._show_paused)
        self.progress.stopped.connect(self._say_stopped)
        self.form.fill_annotators()
        self.show_run()

    def _build(self) -> None:
        self.train_button = button("&Train", "Train in the background", self.train)
        self.pause_button = button("&Pause", "Let training wait", self.pause)
        self.stop_button = button("St&op", "Stop; the run can be continued", self.progress.stop)
        self.form.rows.addRow(
            row(self.train_button, self.pause_button, self.stop_button, fill=True)
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 6, 6, 6)
        column.addWidget(self.form)
        column.addWidget(self.curves, stretch=1)
        column.addWidget(self._prediction_group())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(content), stretch=1)
        outer.addWidget(self.progress)
        self.setMinimumWidth(330)

    def _prediction_group(self) -> QGroupBox:
        group = QGroupBox("Predict with this run")
        column = QVBoxLayout(group)
        self.image_button = button(
            "This &image", "Add the predicted mask of the selected image as a layer", self.predict
        )
        self.dataset_button = button(
            "Whole data&set", "Write predicted masks of every image", self.predict_all
        )
        self.audit_button = button(
            "A&udit with this run",
            "Predict the dataset, then rank its masks by how suspicious they are. Images that the "
            "run was trained on look better than they are; `keras-robust audit` trains models that "
            "have not seen them.",
            self.audit,
        )
        column.addLayout(row(self.image_button, self.dataset_button, fill=True))
        column.addWidget(self.audit_button)
        return group

    def show_run(self) -> None:
        """Show what is in the run folder, and offer what can be done with it."""
        run, named = Run(self.form.inputs.run), bool(self.form.run.text().strip())
        try:
            status, rows = (run.status, run.history) if named else ("absent", [])
        except (ValueError, OSError) as error:
            self.progress.say(f"This run cannot be read: {in_words(error)}")
            status, rows = "absent", []
        self.curves.show_rows(rows)
        self._resumes = status in ("running", "interrupted", "failed") and bool(rows)
        busy = self.progress.child is not None
        self.train_button.setText("Con&tinue" if self._resumes else "&Train")
        self.train_button.setToolTip(
            "Continue this run, with the loss and all else that it began with"
            if self._resumes
            else "Train in the background"
        )
        self.train_button.setEnabled(not busy and named)
        if not busy:
            self.pause_button.setText("&Pause")
        for each in (self.pause_button, self.stop_button):
            each.setEnabled(busy)
        for each in (self.image_button, self.dataset_button, self.audit_button):
            each.setEnabled(not busy and bool(rows))
        self.form.set_busy(busy)

    def train(self) -> None:
        """Begin the run, or continue it where it stopped."""
        inputs = self.form.inputs
        try:
            fields = _to_continue(inputs) if self._resumes else inputs.as_core_arguments()
        except (ValueError, OSError) as error:
            self.progress.say(in_words(error))
            return
        self.progress.start(train_run, (fields, inputs.run, self._resumes), self._say_trained)

    def pause(self) -> None:
        """Let the child wait, or go on."""
        child = self.progress.child
        if child is not None:
            (child.resume if self.pause_button.text() == "&Go on" else child.pause)()

    def predict(self) -> None:
        """Add the predicted mask of the selected image as a layer."""
        layer = image_to_predict(self.viewer)
        if layer is None:
            self.progress.say("Open an image first, or select one in the list of layers.")
            return
        run = self.form.inputs.run

        def show(labels: list[Any]) -> None:
            data, options, _ = prediction_layer(layer, labels, run.name)
            self.viewer.add_labels(data, **options)
            self.progress.say(f"Predicted {layer.name}.")

        self.progress.start(predict_image, (run, images_of(layer)), show)

    def predict_all(self) -> None:
        """Write predicted masks of the whole dataset beside the run."""
        inputs = self.form.inputs
        self.progress.start(
            predict_dataset,
            (inputs.run, inputs.dataset, _beside(inputs.run, "predictions")),
            lambda folder: self.progress.say(f"Predicted masks are in {folder}"),
        )

    def audit(self) -> None:
        """Predict the dataset, then judge its masks by the predictions."""
        inputs = self.form.inputs
        output, annotator = _beside(inputs.run, "audit"), inputs.annotator or None

        def judge(folder: Path) -> None:
            self.progress.start(
                audit_run,
                (inputs.dataset, output, annotator, folder / "probabilities"),
                self._say_audited,
            )

        predictions = _beside(inputs.run, "predictions")
        self.progress.start(predict_dataset, (inputs.run, inputs.dataset, predictions), judge)

    def _show_paused(self, paused: bool) -> None:
        self.pause_button.setText("&Go on" if paused else "&Pause")

    def _say_trained(self, results: dict[str, float]) -> None:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in results.items()
        )
        self.progress.say(
            f"Finished{': ' + figures if figures else ''}. Now predict with this run."
        )

    def _say_stopped(self) -> None:
        go_on = " Continue it whenever you like." if self._resumes else ""
        self.progress.say(f"Stopped.{go_on}")

    def _say_audited(self, folder: Path) -> None:
        self.progress.say(f"The audit is in {folder}. Open it with the widget Review.")


def _to_continue(inputs: TrainInputs) -> dict[str, Any] | None:
    """Fields of a run that goes on; `None` for its own, where its dataset did not move.

    Where it did, training compares the images and masks with those that the run began with.

    Raises:
        ValueError: The dataset that is shown is not the one that the run began with.
    """
    config = Run(inputs.run).config
    began = config.data.path
    if began.resolve() == inputs.dataset.resolve():
        return None
    if began.exists():
        raise ValueError(
            f"This run was begun on {began}. Choose that dataset to continue it, or name another "
            "run folder for this one."
        )
    fields = config.model_dump(mode="json")
    return fields | {"data": fields["data"] | {"path": str(inputs.dataset)}}


def _beside(run: Path, what: str) -> Path:
    return run.with_name(f"{run.name}-{what}")
