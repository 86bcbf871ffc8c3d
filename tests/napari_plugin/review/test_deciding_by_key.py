"""Decisions by real keys: one press, one case that was seen, and a way back."""

import json

import numpy as np
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from keras_robust.data import Dataset
from keras_robust.review import ReviewSession

from .conftest import ready


def settle(qtbot, widget) -> None:
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)


def key(target, key, repeats=False, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    """What a keyboard sends; held down, it sends presses that say that they repeat."""
    letter = chr(key.value).lower()
    for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
        event = QKeyEvent(kind, key, modifiers, letter, repeats)
        QApplication.sendEvent(target, event)


def canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def log(dataset) -> list[tuple[str, str]]:
    lines = (dataset / "reviews/anna/review.jsonl").read_text().splitlines()
    return [(line["id"], line["decision"]) for line in map(json.loads, lines)]


def test_a_held_key_decides_one_case(reviewing, qtbot, lesions):
    viewer, widget = reviewing()
    first, second = (item.id for item in widget.desk.session.items[:2])
    key(canvas(viewer), Qt.Key.Key_D)
    for _ in range(25):  # every 40 ms
        key(canvas(viewer), Qt.Key.Key_D, repeats=True)
        QTest.qWait(40)
    settle(qtbot, widget)
    assert log(lesions) == [(first, "reject")] and widget.desk.case.id == second
    assert not any(shortcut.autoRepeat() for shortcut in widget._keys._bound.values())


def test_a_case_that_was_not_seen_is_not_decided(reviewing, qtbot, lesions):
    viewer, widget = reviewing()
    first, second = (item.id for item in widget.desk.session.items[:2])
    for _ in range(3):  # as typed while the window was busy
        QTest.keyClick(canvas(viewer), Qt.Key.Key_A)
    qtbot.waitUntil(lambda: widget.desk.case is not None and widget.desk.case.id == second)
    QTest.keyClick(canvas(viewer), Qt.Key.Key_A)
    assert "Nothing was decided" in widget.message.text()
    widget.controls.buttons["accept"].click()
    settle(qtbot, widget)
    assert log(lesions) == [(first, "accept")]
    QTest.keyClick(canvas(viewer), Qt.Key.Key_A)
    settle(qtbot, widget)
    assert log(lesions)[1:] == [(second, "accept")]


def test_undo_after_a_decision_withdraws_it(reviewing, qtbot, lesions, audit):
    viewer, widget = reviewing()
    layer, id = widget.desk.layers.corrected, widget.desk.case.id
    with layer.block_history():
        layer.paint((10, 10), 1)
    QTest.keyClick(canvas(viewer), Qt.Key.Key_R)
    settle(qtbot, widget)
    assert Dataset.open(lesions).select(annotator="anna").ids == (id,)
    with layer.block_history():
        layer.paint((10, 10), 1)
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert widget.desk.session.progress[0] == 1, "first the painting is undone"
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, widget)
    assert widget.desk.case.id == id and widget.desk.session.status(id) == "undecided"
    assert np.asarray(widget.desk.layers.corrected.data)[10, 10] == 1, "the painting is kept"
    assert log(lesions) == [(id, "repair"), (id, "undecided")]
    assert "anna" not in Dataset.open(lesions).annotators
    widget.close_down()
    with ReviewSession(lesions, "anna", audit) as session:
        assert session.current == id and session.load(id).corrected[10, 10] == 1


def test_any_decision_can_be_undecided_again(reviewing, qtbot, lesions):
    viewer, widget = reviewing()
    first, second = (item.id for item in widget.desk.session.items[:2])
    assert widget.controls.back.isHidden()
    for _ in range(2):
        QTest.keyClick(canvas(viewer), Qt.Key.Key_D)
        settle(qtbot, widget)
    widget.desk.go(first)
    settle(qtbot, widget)
    widget.controls.back.click()
    settle(qtbot, widget)
    assert log(lesions)[-1] == (first, "undecided") and widget.controls.back.isHidden()
    assert set(widget.desk.session.decisions) == {second}
    assert widget.progress.text() == "1 of 115 decided"
    QTest.keyClick(canvas(viewer), Qt.Key.Key_U)
    assert "no decision to take back" in widget.message.text()


def test_repair_of_an_untouched_mask_is_an_accept(reviewing, qtbot, lesions):
    viewer, widget = reviewing()
    id = widget.desk.case.id
    QTest.keyClick(canvas(viewer), Qt.Key.Key_R)
    settle(qtbot, widget)
    assert log(lesions) == [(id, "accept")]
