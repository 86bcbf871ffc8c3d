"""What `keras-robust view` opens."""

import shutil

import napari

from keras_robust.data import sample_path
from napari_plugin import view


def test_the_command_opens_the_dataset_in_the_queue(
    qtbot, make_napari_viewer, monkeypatch, tmp_path
):
    shutil.copytree(sample_path(), tmp_path / "lesions")
    monkeypatch.setattr(napari, "Viewer", lambda title: make_napari_viewer(title=title))
    ran = []
    monkeypatch.setattr(napari, "run", lambda: ran.append(napari.current_viewer()))
    view.view(tmp_path / "lesions")
    (viewer,) = ran
    assert viewer.title == "keras-robust: lesions"
    qtbot.waitUntil(lambda: len(viewer.layers) >= 2, timeout=60_000)
    assert viewer.layers[0].metadata["keras_robust"]["dataset"].endswith("lesions")
