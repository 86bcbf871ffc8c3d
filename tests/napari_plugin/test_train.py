"""Training, prediction and audit from the real window, in real child processes."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from keras_robust.audit.folder import read_audit
from keras_robust.data import Dataset, sample_path
from keras_robust.training import Run, TrainConfig
from napari_plugin.train.curves import Curves
from napari_plugin.train.inputs import TrainInputs, free_folder
from napari_plugin.train.predicted import image_to_predict, images_of, prediction_layer
from napari_plugin.viewer.case_layers import image_layer
from tests.napari_plugin.work.test_tasks import wait_until_dead

WAIT = 480_000  # ms; TensorFlow takes its time to load on a busy machine


@pytest.fixture
def lesions(tmp_path):
    """A few images of the packaged sample as a dataset of their own."""
    folder = tmp_path / "lesions"
    folder.mkdir()
    with open(sample_path() / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [r for r in rows if r["split"] == "train"][:12]
    chosen += [r for r in rows if r["split"] == "test"][:4]
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    for row in chosen:
        for path in (row["image"], row["mask"]):
            (folder / path).parent.mkdir(exist_ok=True)
            shutil.copy(sample_path() / path, folder / path)
    return folder


@pytest.fixture
def widget(make_napari_viewer, tmp_path, lesions):
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("keras-robust", "Train and predict")
    widget.form.dataset.setText(str(lesions))
    widget.form.dataset.editingFinished.emit()
    widget.form.run.setText(str(tmp_path / "run"))
    widget.form.epochs.setValue(2)
    widget.form.pixels.setValue(16)
    widget.form.model.setCurrentText("small")
    yield widget
    if widget.progress.child is not None:
        pid = widget.progress.child.pid
        os.kill(pid, 9)
        assert wait_until_dead(pid)


def type_loss(qtbot, widget, name):
    line = widget.form.loss.lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, name)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def wait_for_the_child(qtbot, widget):
    qtbot.waitUntil(lambda: widget.progress.child is None, timeout=WAIT)


def test_inputs_become_a_configuration():
    inputs = TrainInputs(sample_path(), "isic_gt", "ce+dice", 7, 48, "large", Path("run"))
    config = TrainConfig(**inputs.as_core_arguments())
    assert (config.loss, config.epochs, config.data.size) == ("ce+dice", 7, (48, 48))
    assert (config.data.annotator, config.model.features) == ("isic_gt", 32)
    assert (config.data.train_split, config.data.test_split) == ("train", "test")


def test_what_is_chosen_in_the_window_arrives(widget, lesions, tmp_path):
    widget.form.loss.setCurrentText("apl1")
    widget.form.annotator.setCurrentIndex(1)
    inputs = widget.form.inputs
    assert inputs == TrainInputs(lesions, "isic_gt", "apl1", 2, 16, "small", tmp_path / "run")
    assert "active and passive" in widget.form.loss_help.text()


def test_a_method_with_two_peers_becomes_a_loss_and_a_selection():
    config = TrainConfig(**TrainInputs(sample_path(), loss="HRL").as_core_arguments())
    assert config.loss == "svls-apl2"
    assert config.selection is not None and config.selection.name == "stocot"


def test_names_are_chosen_completed_or_typed(qtbot, widget):
    box = widget.form.loss
    assert box.currentText() == "t+dice" and box.itemData(0, Qt.ItemDataRole.ToolTipRole)
    qtbot.keyClick(box, Qt.Key.Key_Down)
    assert widget.form.inputs.loss == "ce+dice"
    type_loss(qtbot, widget, "coT")
    found = box.completer().completionModel()
    names = [found.index(row, 0).data() for row in range(found.rowCount())]
    assert names == ["t+dice-stocot", "stocot", "cot", "cot+"]
    assert "two networks" in widget.form.loss_help.text()
    type_loss(qtbot, widget, "t")  # as it is, whatever else begins so
    assert widget.form.inputs.loss == "t"
    type_loss(qtbot, widget, " mae+dice ")
    assert widget.form.inputs.loss == "mae+dice" and "sum" in widget.form.loss_help.text()
    assert box.findText("mae+dice") == -1  # the menu keeps to what it has a word on


def test_a_free_folder_gets_a_number(tmp_path):
    (tmp_path / "t").mkdir()
    assert free_folder(tmp_path, "t") == tmp_path / "t-2"


def test_curves_take_one_point_per_epoch(qapp):
    curves = Curves()
    curves.show_rows([{"epoch": 1.0, "loss": 0.5, "nu": None}])
    curves.add_row({"epoch": 2.0, "loss": 0.4, "nu": 1.0})
    curves.add_row({"epoch": 2.0, "loss": 0.3, "nu": 0.9})  # done again after a stop
    assert curves.points("loss") == ([1.0, 2.0], [0.5, 0.3])
    assert curves.points("nu") == ([2.0], [0.9])
    assert [axis.get_ylabel() for axis in curves.figure.axes] == ["Loss", "ν"]


def test_train_stop_continue_predict_and_audit(qtbot, widget, lesions, tmp_path):
    """The whole way of a person, with two peers: train, pause, stop, continue, predict, audit."""
    type_loss(qtbot, widget, "stocot")
    widget.form.epochs.setValue(4)
    widget.train_button.click()
    assert not widget.train_button.isEnabled() and widget.stop_button.isEnabled()
    qtbot.waitUntil(lambda: len(widget.curves.points("loss")[0]) >= 1, timeout=WAIT)
    pid = widget.progress.child.pid
    with qtbot.waitSignal(widget.progress.child.paused, timeout=WAIT):
        widget.pause_button.click()
    assert widget.pause_button.text() == "&Go on" and "Paused" in widget.progress.message.text()
    widget.stop_button.click()
    wait_for_the_child(qtbot, widget)
    assert wait_until_dead(pid)
    run = Run(tmp_path / "run")
    assert run.status == "interrupted" and "Continue it" in widget.progress.message.text()
    assert widget.train_button.text() == "Con&tinue"

    widget.train_button.click()
    wait_for_the_child(qtbot, widget)
    assert run.status == "finished" and "Finished" in widget.progress.message.text()
    assert run.config.selection.name == "stocot"
    assert widget.curves.points("loss")[0] == [1, 2, 3, 4]
    assert len(widget.curves.points("dice_test")[0]) >= 1

    widget.viewer.open_sample("keras-robust", "lesions")
    widget.viewer.layers.selection.active = widget.viewer.layers["skin lesions"]
    widget.image_button.click()
    wait_for_the_child(qtbot, widget)
    layer = widget.viewer.layers["prediction (run)"]
    assert layer.data.shape == (6, 256, 256) and layer.data.dtype == np.uint8
    assert layer.metadata["keras_robust"]["role"] == "prediction"

    widget.dataset_button.click()
    wait_for_the_child(qtbot, widget)
    written = {path.stem for path in (tmp_path / "run-predictions").rglob("*.png")}
    assert written >= set(Dataset.open(lesions).ids)

    widget.audit_button.click()
    qtbot.waitUntil(lambda: "audit is in" in widget.progress.message.text(), timeout=WAIT)
    audit = read_audit(tmp_path / "run-audit")
    assert len(audit.cases) == 16 and audit.dataset == lesions


def test_an_error_of_the_child_is_said_in_words(qtbot, widget, tmp_path):
    (tmp_path / "run").write_text("a file where the folder of the run should be")
    widget.train_button.click()
    wait_for_the_child(qtbot, widget)
    assert (
        "run" in widget.progress.message.text()
        and "Traceback" not in widget.progress.message.text()
    )
    assert widget.train_button.isEnabled()


OWN = """
from keras import ops
from keras_robust import losses

@losses.register("squares")
class Squares(losses.VoxelLoss):
    def values(self, targets, predictions):
        return ops.mean(ops.square(targets - predictions), axis=-1)
"""


def test_a_wrong_name_is_said_and_one_of_ones_own_trains(qtbot, widget, tmp_path, monkeypatch):
    widget.form.epochs.setValue(1)
    type_loss(qtbot, widget, "squares+dice")
    inputs = widget.form.inputs
    widget.train_button.click()
    wait_for_the_child(qtbot, widget)
    said = widget.progress.message.text()
    assert "'squares+dice'" in said and "KERAS_ROBUST_IMPORT" in said
    assert widget.form.inputs == inputs and not inputs.run.exists()

    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)  # as PYTHONPATH does for the window and its children
    monkeypatch.setenv("KERAS_ROBUST_IMPORT", "own_losses")
    widget.train_button.click()
    wait_for_the_child(qtbot, widget)
    assert "Finished" in widget.progress.message.text()
    assert Run(inputs.run).config.loss == "squares+dice"


def test_the_death_of_the_child_is_said_and_the_run_continues(qtbot, widget, tmp_path):
    widget.form.epochs.setValue(500)
    widget.train_button.click()
    qtbot.waitUntil(lambda: len(widget.curves.points("loss")[0]) >= 2, timeout=WAIT)
    nu = widget.curves.points("nu")[1]
    assert len(set(nu)) == len(nu) >= 2  # ν is trained
    os.kill(widget.progress.child.pid, 9)
    wait_for_the_child(qtbot, widget)
    assert "died" in widget.progress.message.text()
    assert widget.train_button.text() == "Con&tinue" and widget.train_button.isEnabled()


def test_what_is_no_dataset_is_said(widget, tmp_path):
    widget.form.dataset.setText(str(tmp_path))
    widget.form.dataset.editingFinished.emit()
    assert "manifest.csv" in widget.progress.message.text()
    widget.train_button.click()
    assert widget.progress.child is None and "manifest.csv" in widget.progress.message.text()


def choose(line, text):
    line.setText(str(text))
    line.editingFinished.emit()


def test_each_dataset_has_a_run_of_its_own(widget, lesions, tmp_path):
    form = widget.form
    choose(form.run, "")
    assert not widget.train_button.isEnabled()
    choose(form.dataset, lesions)
    assert Path(form.run.text()).name.startswith("lesions") and widget.train_button.isEnabled()
    choose(form.dataset, shutil.copytree(lesions, tmp_path / "other"))
    assert Path(form.run.text()).name.startswith("other")
    # A run that was begun on the one is not continued where the other is chosen.
    run = tmp_path / "interrupted"
    run.mkdir()
    fields = {"data": {"path": str(lesions)}, "loss": "ce", "epochs": 2}
    (run / "config.yaml").write_text(json.dumps(fields))
    (run / "run.json").write_text(json.dumps({"status": "interrupted"}))
    (run / "history.csv").write_text("epoch,step,loss\n1,2,0.5\n")
    choose(form.run, run)
    assert widget.train_button.text() == "Con&tinue"
    widget.train()
    assert f"was begun on {lesions}" in widget.progress.message.text()
    assert widget.progress.child is None
    choose(form.dataset, lesions)
    assert form.inputs.run == run


def test_a_run_goes_on_where_its_dataset_lies_now(widget, lesions, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    fields = {"data": {"path": str(tmp_path / "gone")}, "loss": "ce", "epochs": 2}
    (run / "config.yaml").write_text(json.dumps(fields))
    (run / "run.json").write_text(json.dumps({"status": "interrupted"}))
    (run / "history.csv").write_text("epoch,step,loss\n1,2,0.5\n")
    started = []
    monkeypatch.setattr(widget.progress, "start", lambda *given: started.append(given[1]))
    choose(widget.form.dataset, lesions)
    choose(widget.form.run, run)
    widget.train()
    ((given, folder, resume),) = started
    assert given["data"]["path"] == str(lesions) and given["loss"] == "ce"
    assert (folder, resume) == (run, True)


def test_prediction_needs_an_image(widget):
    widget.predict()
    assert "Open an image" in widget.progress.message.text() and widget.progress.child is None


def test_images_of_layers(viewer_model):
    photo = viewer_model.add_image(np.zeros((8, 9, 3), np.uint8), rgb=True)
    photos = viewer_model.add_image(np.zeros((2, 8, 9, 3), np.uint8), rgb=True)
    volume = viewer_model.add_image(np.zeros((4, 8, 9)), scale=(2, 1, 1))
    assert [image.shape for image in images_of(photo)] == [(8, 9, 3)]
    assert [image.shape for image in images_of(photos)] == [(8, 9, 3)] * 2
    assert [image.shape for image in images_of(volume)] == [(4, 8, 9, 1)]
    viewer_model.layers.selection.active = photo
    assert image_to_predict(viewer_model) is photo
    viewer_model.layers.selection.clear()
    assert image_to_predict(viewer_model) is volume
    _, options, _ = prediction_layer(volume, [np.ones((4, 8, 9), np.uint8)], "run")
    assert tuple(options["scale"]) == (2, 1, 1)
    # Of several channels the layer has them first.
    data, options, _ = image_layer(np.zeros((8, 9, 4), np.float32), "channels", {})
    channels = viewer_model.add_image(data, translate=(0, 5, 6), **options)
    assert [image.shape for image in images_of(channels)] == [(8, 9, 4)]
    labels, options, _ = prediction_layer(channels, [np.ones((8, 9), np.uint8)], "run")
    predicted = viewer_model.add_labels(labels, **options)
    np.testing.assert_allclose(predicted.data_to_world((1, 2)), (6, 8))


def test_it_fits_beside_the_canvas(widget):
    assert widget.minimumSizeHint().width() <= 400
    assert widget.sizeHint().width() <= 480
