"""What `keras-robust view` opens."""

import shutil

import napari

from keras_robust.data import sample_path
from napari_plugin import view
from napari_plugin.review import ReviewWidget


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


def test_the_reviewer_is_told_of_a_missing_audit_and_can_run_one(
    qtbot, make_napari_viewer, monkeypatch, tmp_path
):
    shutil.copytree(sample_path(), tmp_path / "lesions")
    viewer = make_napari_viewer()
    review = ReviewWidget(viewer)
    qtbot.addWidget(review)
    review.open(tmp_path / "lesions", reviewer="anna", output=tmp_path / "reviewed")
    qtbot.waitUntil(lambda: review.desk is not None, timeout=60_000)
    assert "no audit" in review.message.text() and not review.audit_button.isHidden()
    assert review.desk.session.home == tmp_path / "reviewed"
    assert review.desk.session.reviewer == "anna"
    asked = []
    monkeypatch.setattr(
        review.opening, "run_audit", lambda: asked.append(review.opening.dataset.text())
    )
    review.audit_button.click()
    assert asked == [str(tmp_path / "lesions")]
    review.close_down()
