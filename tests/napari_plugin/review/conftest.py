"""A window with the packaged lesions, and an audit of them, under review."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_robust.audit.folder import AuditCase, write_cases
from keras_robust.data import Dataset, sample_path
from keras_robust.data.files.maps import write_map

KINDS = ("too large", "too small", "none")


@pytest.fixture
def lesions(tmp_path) -> Path:
    """A copy of the packaged sample."""
    folder = tmp_path / "lesions"
    shutil.copytree(sample_path(), folder)
    return folder


@pytest.fixture
def audit(lesions) -> Path:
    """An audit of the copy: the first ids are the worst; suggests the mask moved by 20 pixels."""
    return make_audit(lesions)


def make_audit(dataset: Path, predicted: int = 14) -> Path:
    folder = dataset.with_name("lesions-audit")
    opened = Dataset.open(dataset)
    cases = []
    for number, case in enumerate(opened.cases):
        score = 1 - number / len(opened.cases)
        kind = KINDS[number % len(KINDS)]
        cases.append(
            AuditCase(number + 1, case.id, case.annotator, score, kind, {"default": score})
        )
        if number < predicted:
            moved = np.roll(opened.read_mask(case), 20, axis=0)
            write_map(folder / "predictions", case.id, (moved * 255)[..., None])
    write_cases(folder, cases, ranked_by="default")
    info = {
        "status": "finished",
        "classes": 2,
        "annotators": list(opened.annotators),
        "ranked_by": "default",
        "scores": {"default": None},
        "dataset": str(dataset),
    }
    (folder / "audit.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="session")
def window(qapp):
    """A window that tests share: to make and clear one takes napari seconds."""
    import napari
    from napari._qt.qt_viewer import QtViewer

    viewer = napari.Viewer(show=False)
    QtViewer._instances.clear()  # those that napari's own fixture takes for left over by a test
    yield viewer
    viewer.close()


@pytest.fixture
def shared(window):
    """The shared window, empty and as it was at first after the test."""
    yield window
    for dock in [*window.window._wrapped_dock_widgets.values()]:
        window.window.remove_dock_widget(dock)
    window.layers.clear()
    window.dims.reset()


@pytest.fixture
def reviewing(shared, qtbot, lesions, audit):
    """Opens the dataset in a real window, which is not seen; closed at the end of the test."""
    yield from opener(lambda show: shared, qtbot, lesions, audit)


@pytest.fixture
def reviewing_seen(make_napari_viewer, qtbot, lesions, audit):
    """The same in a window of its own that is seen, unless `show` is false."""
    yield from opener(lambda show: make_napari_viewer(show=show), qtbot, lesions, audit)


def opener(window, qtbot, lesions, audit):
    from napari_plugin.review import ReviewWidget

    widgets = []

    def open_(reviewer="anna", dataset=lesions, audit=audit, show=True):
        viewer = window(show)
        widget = ReviewWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Review")
        widgets.append(widget)
        widget.open(dataset, audit, reviewer)
        qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
        return viewer, widget

    yield open_
    while widgets:  # and none is held, for napari looks what is left of its windows
        widgets.pop().close_down()


def ready(widget) -> bool:
    """Whether a case is in view long enough to be decided on, and nothing waits to be written."""
    desk = widget.desk
    if desk is None or desk.case is None:
        return False
    return desk.seen and not desk._writer.waiting
