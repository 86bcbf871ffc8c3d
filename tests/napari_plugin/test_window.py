"""Two windows as two reviewers have them: a folder is dropped, and the palette opens the review."""

import json
import shutil

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QRadioButton

from keras_robust.data import sample_path
from napari_plugin.review import ReviewWidget

from .review.conftest import ready


@pytest.fixture
def lesions(tmp_path):
    """A copy of the packaged sample."""
    folder = tmp_path / "lesions"
    shutil.copytree(sample_path(), folder)
    return folder


def drop(viewer, folder) -> None:
    """What a file manager sends when a folder is dropped on the canvas."""
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(folder))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        content,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QTimer.singleShot(200, choose_reader)
    viewer.window._qt_viewer.dropEvent(event)


def choose_reader() -> None:
    """Answer napari, which asks who is to read a folder."""
    dialog = QApplication.activeModalWidget()
    ours = [b for b in dialog.findChildren(QRadioButton) if b.text() == "keras-robust"]
    ours[0].click()
    buttons = dialog.findChild(QDialogButtonBox)
    buttons.button(QDialogButtonBox.StandardButton.Ok).click()


def from_palette(viewer, words) -> None:
    """Ctrl+Shift+P, words, Return."""
    viewer.window._toggle_command_palette()
    palette = viewer.window._qt_window._command_palette
    QTest.keyClicks(palette._line, words)
    QTest.keyClick(palette._line, Qt.Key.Key_Return)


def canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def decisions(dataset, reviewer) -> list[str]:
    lines = (dataset / "reviews" / reviewer / "review.jsonl").read_text().splitlines()
    return [json.loads(line)["decision"] for line in lines]


def opened(qtbot, widget, dataset, reviewer) -> ReviewWidget:
    widget.open(dataset, None, reviewer)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    return widget


def test_two_reviewers_in_two_windows(make_napari_viewer, qtbot, lesions):
    first = make_napari_viewer()
    drop(first, lesions)
    assert [layer.name for layer in first.layers][-1] == "isic_gt"
    first.layers.clear()
    from_palette(first, "Review")
    (found,) = first.window._qt_window.findChildren(ReviewWidget)
    anna = opened(qtbot, found, lesions, "anna")
    second = make_napari_viewer()
    ben = ReviewWidget(second)
    second.window.add_dock_widget(ben)
    opened(qtbot, ben, lesions, "ben")
    QTest.keyClick(canvas(first), Qt.Key.Key_D)
    QTest.keyClick(canvas(second), Qt.Key.Key_A)
    for widget in (anna, ben):
        qtbot.waitUntil(lambda w=widget: ready(w), timeout=20_000)
    assert decisions(lesions, "anna") == ["reject"] and decisions(lesions, "ben") == ["accept"]
    ben.close_down()
    QTest.keyClick(canvas(first), Qt.Key.Key_H)
    qtbot.waitUntil(lambda: ready(anna), timeout=20_000)
    assert decisions(lesions, "anna") == ["reject", "ask an expert"]
    anna.close_down()
    assert not first.layers and not second.layers
