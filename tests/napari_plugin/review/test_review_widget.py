"""The review in the window: the queue, keys, painting, suggestions, undo, problems, the end."""

import errno
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QShortcut
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QSlider

from keras_robust.data import Dataset
from keras_robust.review import QueueFilter, ReviewSession
from napari_plugin.compare import CompareWidget
from napari_plugin.review.keys import KEYS
from napari_plugin.review.layers import BRUSH

from .conftest import ready


def settle(qtbot, widget) -> None:
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)


def press(qtbot, viewer, widget, name: str, where=None) -> None:
    """Press the key of an action, by default where napari listens: on the canvas."""
    qt = {"PageDown": Qt.Key.Key_PageDown, "PageUp": Qt.Key.Key_PageUp}
    key = KEYS[name]
    where = viewer.window._qt_viewer.canvas.native if where is None else where
    where.setFocus()
    QTest.keyClick(where, qt.get(key) or getattr(Qt.Key, f"Key_{key}"))
    settle(qtbot, widget)


def focused(viewer, widget) -> list:
    """What may have the focus when a key is pressed: lists, choices, numbers, of napari too."""
    controls = viewer.window._qt_viewer.controls
    shown = [
        w for kind in (QComboBox, QSlider, QAbstractSpinBox) for w in controls.findChildren(kind)
    ]
    own = (widget.list, widget.filters.kind, widget.filters.lowest, widget.controls.ghost)
    return [None, *own, viewer.window._qt_viewer.layers, *(w for w in shown if w.isVisible())]


def painted(widget) -> np.ndarray:
    return np.asarray(widget.desk.layers.corrected.data)


def stroke(layer, rows, columns, label=None) -> None:
    """A stroke of napari's own brush, during which the window goes on."""
    label = layer.selected_label if label is None else label
    layer.brush_size = 10
    with layer.block_history():
        for row, column in zip(rows, columns, strict=True):
            layer.paint((row, column), label)
            QApplication.processEvents()


def log(dataset, reviewer="anna") -> list[dict]:
    text = (dataset / "reviews" / reviewer / "review.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_ten_cases_by_keyboard_then_close_and_go_on(reviewing_seen, qtbot, lesions):
    viewer, widget = reviewing_seen()
    viewer.window.activate()
    qtbot.waitUntil(viewer.window._qt_window.isActiveWindow)
    ids = [item.id for item in widget.desk.session.items]
    made = ["accept", "repair", "reject", "ask an expert", "accept"] * 2
    for number, name in enumerate(made):
        assert widget.desk.case.id == ids[number], f"{name} was not heard"
        if name == "repair":
            stroke(widget.desk.layers.corrected, [10, 12], [10, 12], label=1)
        places = focused(viewer, widget)
        press(qtbot, viewer, widget, name, places[number % len(places)])
    assert len(places) > 8 and widget.filters.condition() == QueueFilter()
    QTest.mouseClick(widget.controls.ghost, Qt.MouseButton.LeftButton)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Space)
    assert not widget.controls.ghost.isChecked(), "a click leaves no focus for the space bar"
    assert widget.progress.text() == "10 of 115 decided"
    assert [(line["id"], line["decision"]) for line in log(lesions)] == list(
        zip(ids, made, strict=False)
    )
    press(qtbot, viewer, widget, "previous")
    assert widget.desk.case.id == ids[9]
    press(qtbot, viewer, widget, "next")
    assert widget.desk.case.id == ids[10]
    press(qtbot, viewer, widget, "previous")
    press(qtbot, viewer, widget, "next undecided")
    assert widget.desk.case.id == ids[10]
    widget.close_down()
    corrected = Dataset.open(lesions).select(annotator="anna")
    assert set(corrected.ids) == {ids[1], ids[6]}
    original = Dataset.open(lesions).select(annotator="isic_gt", ids=[ids[1]]).cases[0]
    new, old = (corrected.read_mask(case) for case in (corrected.cases[0], original))
    assert new[10, 10] == 1 and old[10, 10] == 0
    _, again = reviewing_seen(show=False)
    assert again.desk.case.id == ids[10]


def test_painting_has_napari_undo_and_none_of_the_case_before(reviewing, qtbot):
    _, widget = reviewing()
    layer = widget.desk.layers.corrected
    start = painted(widget).copy()
    stroke(layer, [10, 11], [10, 11], label=1)
    assert painted(widget)[10, 10] == 1
    layer.undo()
    assert np.array_equal(painted(widget), start)
    layer.redo()
    widget.act("next")
    settle(qtbot, widget)
    now = painted(widget).copy()
    widget.desk.layers.corrected.undo()
    widget.desk.layers.corrected.redo()
    assert np.array_equal(painted(widget), now)
    widget.act("previous")
    settle(qtbot, widget)
    assert painted(widget)[10, 10] == 1, "what was painted is a draft"
    assert widget.desk.case.draft
    widget.desk.layers.corrected.undo()
    assert painted(widget)[10, 10] == 1


def test_the_suggestion_is_taken_whole_and_undone(reviewing):
    _, widget = reviewing()
    layer, start = widget.desk.layers.corrected, painted(widget).copy()
    suggestion = widget.desk.case.suggestion
    assert not np.array_equal(start, suggestion)
    widget.act("take whole")
    assert np.array_equal(painted(widget), suggestion)
    layer.undo()
    assert np.array_equal(painted(widget), start)
    layer.redo()
    widget.act("start over")
    assert np.array_equal(painted(widget), start)
    layer.undo()
    assert np.array_equal(painted(widget), suggestion)


def test_the_suggestion_is_taken_where_the_brush_goes(reviewing, qtbot):
    _, widget = reviewing()
    layer, original = widget.desk.layers.corrected, painted(widget).copy()
    stroke(layer, [10, 12], [10, 12], label=1)
    start = painted(widget).copy()
    suggestion = widget.desk.case.suggestion
    added = np.argwhere((suggestion == 1) & (start == 0))
    gone = np.argwhere((suggestion == 0) & (start == 1))
    widget.act("take in brush")
    assert layer.mode == "paint" and layer.selected_label == BRUSH
    rows, columns = np.stack([added[len(added) // 2], gone[len(gone) // 2]]).T
    stroke(layer, rows, columns)
    footprint = painted(widget) == BRUSH
    expected = np.where(footprint, suggestion, start)
    assert np.array_equal(widget.desk.layers.labels, expected), "before the window turns to it"
    qtbot.waitUntil(lambda: not (painted(widget) == BRUSH).any())
    assert np.array_equal(painted(widget), expected) and (expected != start).sum() > 20
    layer.undo()
    assert np.array_equal(painted(widget), start), "one step of undo"
    layer.undo()
    assert np.array_equal(painted(widget), original), "and the stroke before is another"
    layer.redo()
    layer.redo()
    assert np.array_equal(painted(widget), expected)
    with layer.block_history():  # a key in the middle of a stroke
        layer.paint((rows[0], columns[0]), layer.selected_label)
        widget.act("take in brush")
        assert not (widget.desk.layers.labels == BRUSH).any()
    qtbot.waitUntil(lambda: not (painted(widget) == BRUSH).any())
    assert np.array_equal(painted(widget), expected)
    layer.redo()
    assert np.array_equal(painted(widget), expected), "a stroke that changed nothing is no step"
    widget.act("take in brush")
    stroke(layer, rows, columns)
    widget.act("repair")  # at once, before the window could turn to the stroke
    settle(qtbot, widget)
    id = widget.desk.session.log.history[0].id
    assert np.array_equal(widget.desk.session.load(id).corrected, expected)
    assert widget.desk.layers.corrected.selected_label == 1


def test_accepting_what_was_painted_is_refused_and_nothing_is_lost(reviewing, qtbot):
    _, widget = reviewing()
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    widget.act("accept")
    assert "Choose Repair" in widget.message.text()
    assert widget.desk.session.progress[0] == 0 and painted(widget)[10, 10] == 1
    widget.act("start over")
    widget.act("accept")
    settle(qtbot, widget)
    assert widget.desk.session.progress[0] == 1


def test_comments_and_drafts_are_kept_while_painting_goes_on(reviewing, qtbot):
    _, widget = reviewing()
    id = widget.desk.case.id
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    QTest.keyClicks(widget.controls.comment, "rim")
    files = widget.desk.session.log.files
    qtbot.waitUntil(lambda: files.read_draft(id) is not None, timeout=5000)
    labels, comment, _ = files.read_draft(id)
    assert labels[10, 10] == 1 and comment == "rim"
    widget.act("ask an expert")
    settle(qtbot, widget)
    assert widget.desk.session.decisions[id].comment == "rim"
    assert widget.controls.comment.text() == ""


PROGRAM = """
import sys
sys.argv[1:], folders = [], sys.argv[1:]
import napari
from napari_plugin.review import ReviewWidget
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QSlider
viewer = napari.Viewer(show=False)
widget = ReviewWidget(viewer)
viewer.window.add_dock_widget(widget)
widget.open(folders[0], folders[1], "anna")
application = QApplication.instance()
def wait(condition):
    while not condition():
        application.processEvents()
number = 0
while True:
    wait(lambda: widget.desk is not None and widget.desk.case is not None)
    id = widget.desk.case.id
    layer = widget.desk.layers.corrected
    layer.paint((3 + number, 5), 1)
    widget.act("repair")
    wait(lambda: id in widget.desk.session.decisions and not widget.desk._writer.waiting)
    print(id, flush=True)
    number += 1
    if number == 3:
        wait(lambda: widget.desk.case is not None)
        widget.desk.layers.corrected.paint((40, 5), 1)
        id = widget.desk.case.id
        wait(lambda: widget.desk.session.log.files.draft(id).exists())
        print("draft", id, flush=True)
"""


def test_killed_in_the_middle_it_goes_on(reviewing, lesions, audit):
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(lesions), str(audit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    told = []
    while not told or not told[-1].startswith("draft"):
        line = child.stdout.readline()
        assert line, "the child ended by itself"
        told.append(line.strip())
    time.sleep(0.05)
    child.kill()
    child.communicate()
    _, widget = reviewing()
    decided = set(told[:-1])
    assert decided <= set(widget.desk.session.decisions)
    assert set(Dataset.open(lesions).select(annotator="anna").ids) >= decided
    draft = told[-1].split()[1]
    if draft not in widget.desk.session.decisions:
        assert widget.desk.case.id == draft and painted(widget)[40, 5] == 1


def test_nothing_of_the_open_queue_is_cut(reviewing):
    from qtpy.QtWidgets import QScrollArea

    _, widget = reviewing()
    widget.controls.tools.head.setChecked(True)
    widget.controls.back.setVisible(True)
    content = widget.findChild(QScrollArea).widget()
    assert content.minimumSizeHint().width() <= 345, "what a dock has on a screen of 1280"
    for part in (widget.message, widget.controls.decisions):
        assert not content.isAncestorOf(part), "what is said and what decides never scrolls away"


def test_filters_change_the_list_and_keep_the_case(reviewing, qtbot):
    _, widget = reviewing()
    current = widget.desk.case.id
    widget.filters.kind.setCurrentText("too small")
    qtbot.waitUntil(lambda: widget.model.rowCount() < 115)
    assert {item.kind for item in widget.desk.session.queue} == {"too small"}
    assert widget.desk.case.id == current
    widget.act("next")
    settle(qtbot, widget)
    assert widget.desk.session.item(widget.desk.case.id).kind == "too small"
    widget.act("accept")
    settle(qtbot, widget)
    widget.filters.kind.setCurrentIndex(0)
    widget.filters.status.setCurrentText("decided")
    qtbot.waitUntil(lambda: widget.model.rowCount() == 1)
    widget.filters.status.setCurrentIndex(0)
    widget.filters.text.setText("0000013")
    qtbot.waitUntil(lambda: widget.model.rowCount() == 1)
    widget.filters.text.clear()
    widget.filters.lowest.setValue(0.95)
    qtbot.waitUntil(lambda: 1 < widget.model.rowCount() < 10)


def spoil(lesions, kinds) -> dict[str, str]:
    """Spoil the worst masks, each in another way."""
    cases = Dataset.open(lesions).cases
    for case, kind in zip(cases, kinds, strict=False):
        if kind == "missing":
            case.mask.unlink()
        elif kind == "truncated":
            os.truncate(case.mask, case.mask.stat().st_size // 2)
        elif kind == "size":
            from PIL import Image

            Image.new("L", (20, 30)).save(case.mask)
        elif kind == "no image":
            case.image.unlink()
    return {case.id: kind for case, kind in zip(cases, kinds, strict=False)}


def test_bad_files_are_shown_with_their_problem_and_the_queue_goes_on(reviewing, qtbot, lesions):
    spoilt = spoil(lesions, ("missing", "truncated", "size", "no image"))
    _, widget = reviewing()
    for id, kind in spoilt.items():
        assert widget.desk.case.id == id
        told = widget.controls.problems.text()
        assert not widget.controls.problems.isHidden() and told and "argument" not in told
        if kind == "no image":
            widget.act("repair")
            assert "Without its image" in widget.message.text()
            widget.act("reject")
        else:
            widget.act("accept")
            assert "no mask to accept" in widget.message.text()
            widget.act("take whole")
            assert painted(widget).any()
            widget.act("repair")
        settle(qtbot, widget)
    assert widget.controls.problems.isHidden()
    assert len(log(lesions)) == 4


def test_painting_that_the_data_set_cannot_take_is_kept_at_once(reviewing, qtbot, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    _, widget = reviewing()
    id, files = widget.desk.case.id, widget.desk.session.log.files
    with monkeypatch.context() as patched:
        patched.setattr(type(files), "write_draft", full)
        stroke(widget.desk.layers.corrected, [10], [10], label=1)
        qtbot.waitUntil(lambda: files.rescued() == (id,), timeout=20_000)
        assert files.read_draft(id)[0][10, 10] == 1, "should the power fail now"
        qtbot.waitUntil(lambda: widget.message.text() != "")
    stroke(widget.desk.layers.corrected, [20], [20], label=1)
    qtbot.waitUntil(lambda: files.draft(id).is_file() and not files.rescued(), timeout=20_000)


def test_a_full_disk_is_told_and_the_painting_comes_back(reviewing, qtbot, monkeypatch):

    _, widget = reviewing()
    id = widget.desk.case.id
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    real = os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    widget.act("repair")
    qtbot.waitUntil(lambda: "disk is full" in widget.message.text(), timeout=10_000)
    settle(qtbot, widget)
    assert widget.desk.case.id == id and painted(widget)[10, 10] == 1
    assert (
        "Free some space" in widget.message.text() and "left on device" not in widget.message.text()
    )
    widget.desk.changed.emit(widget.desk.session.items[5].id)
    assert widget.model.unsaved == {id}, "whatever becomes of other cases"
    monkeypatch.setattr(os, "fsync", real)
    widget.act("repair")
    settle(qtbot, widget)
    assert widget.desk.session.load(id).corrected[10, 10] == 1
    assert not widget.model.unsaved


def test_a_mask_changed_by_someone_else_blocks_and_explains(reviewing, qtbot, lesions):
    _, widget = reviewing()
    id = widget.desk.case.id
    case = widget.desk.session.item(id).case
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    other = widget.desk.session.items[3].case.mask
    case.mask.write_bytes(other.read_bytes())
    widget.act("repair")
    qtbot.waitUntil(lambda: "changed by someone else" in widget.message.text(), timeout=10_000)
    settle(qtbot, widget)
    assert widget.desk.case.id == id and painted(widget)[10, 10] == 1
    assert "has changed since you painted" in widget.controls.problems.text()
    widget.act("repair")
    settle(qtbot, widget)
    assert id in widget.desk.session.decisions
    second = widget.desk.session.item(widget.desk.case.id).case
    second.mask.write_bytes(case.mask.read_bytes())
    widget.act("accept")
    widget.finish()
    assert "changed by someone else" in widget.message.text() and len(log(lesions)) == 1


def test_what_is_just_being_decided_is_shown_as_it_then_is(reviewing, qtbot, monkeypatch):
    _, widget = reviewing()
    session, id = widget.desk.session, widget.desk.case.id
    session.filter(QueueFilter(ids=(id,)))
    decide = session.decide

    def slowly(*args, **options):
        time.sleep(0.2)
        return decide(*args, **options)

    monkeypatch.setattr(session, "decide", slowly)
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    widget.desk.keep()
    widget.act("start over")
    widget.desk.write_comment("small")
    widget.act("accept")
    settle(qtbot, widget)
    assert widget.desk.case.id == id and not widget.desk.case.draft
    assert painted(widget)[10, 10] == 0 and widget.controls.comment.text() == "small"
    widget.desk.layers.put(np.zeros_like(painted(widget)))
    widget.act("ask an expert")
    settle(qtbot, widget)
    assert widget.desk.case.draft and not painted(widget).any(), "also a mask wholly erased"


def test_a_second_reviewers_agreement_is_one_click_away(reviewing, qtbot, lesions, audit):
    with ReviewSession(lesions, "ben", audit) as ben:
        first, second = ben.items[0].id, ben.items[1].id
        ben.decide(first, "accept")
        ben.decide(second, "reject")
    _, widget = reviewing()
    for _ in range(2):
        widget.act("accept")
        settle(qtbot, widget)
    widget.filters.status.setCurrentText("not decided")
    qtbot.waitUntil(lambda: widget.model.rowCount() == 113)
    widget.head.list_reviewers()
    (action,) = widget.head.agree_menu.actions()
    assert action.text() == "with ben"
    action.trigger()
    qtbot.waitUntil(lambda: "both decided on 2" in widget.message.text())
    assert "50%" in widget.message.text() and second in widget.message.text()
    qtbot.waitUntil(lambda: widget.model.rowCount() == 1)
    widget.filters.everything.click()
    qtbot.waitUntil(lambda: widget.model.rowCount() == 115)


def test_a_name_in_use_is_told_in_the_window(reviewing, qtbot, lesions, audit):
    from napari_plugin.review import ReviewWidget

    viewer, widget = reviewing()
    second = ReviewWidget(viewer)
    qtbot.addWidget(second)
    second.open(lesions, audit, "anna")
    qtbot.waitUntil(lambda: "another window" in second.message.text())
    assert second.desk is None
    second.open(lesions, audit, "../anna")
    qtbot.waitUntil(lambda: "can be a folder" in second.message.text())


def test_another_layout_asks_where_to_write(reviewing, make_napari_viewer, qtbot, tmp_path):
    from PIL import Image

    from napari_plugin.review import ReviewWidget

    root = tmp_path / "Dataset001"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(root / "imagesTr/a_0000.png")
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(root / "labelsTr/a.png")
    meta = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "disc": 1}}
    (root / "dataset.json").write_text(
        json.dumps({**meta, "numTraining": 1, "file_ending": ".png"})
    )
    widget = ReviewWidget(make_napari_viewer())
    qtbot.addWidget(widget)
    widget.open(root, None, "anna")
    qtbot.waitUntil(lambda: "Write to" in widget.message.text())
    assert not (tmp_path / "Dataset001-reviewed").exists(), "never silently elsewhere"
    widget.opening.open()
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    widget.act("accept")
    settle(qtbot, widget)
    widget.close_down()
    assert len(log(tmp_path / "Dataset001-reviewed")) == 1


def test_closing_gives_keys_layers_and_lock_back(reviewing, lesions, audit):
    viewer, widget = reviewing()
    viewer.add_points([[1, 1]])
    assert "A" in {str(key) for key in viewer.keymap}
    viewer.window.remove_dock_widget(widget)
    window = viewer.window._qt_window
    ours = [s for top in (window, widget) for s in top.findChildren(QShortcut) if s.isEnabled()]
    assert not {s.key().toString() for s in ours} & set(KEYS.values())
    assert [layer.name for layer in viewer.layers] == ["Points"]
    assert not {str(key) for key in viewer.keymap}
    with ReviewSession(lesions, "anna", audit):
        pass


def test_a_closed_window_keeps_the_painting_and_gives_the_lock_back(
    reviewing_seen, qtbot, lesions, audit
):
    viewer, widget = reviewing_seen()
    id = widget.desk.case.id
    stroke(widget.desk.layers.corrected, [10], [10], label=1)
    viewer.close()  # which takes the layers out first, and lets go of its window
    qtbot.waitUntil(lambda: widget._closed)
    with ReviewSession(lesions, "anna", audit) as session:
        assert session.current == id and session.load(id).corrected[10, 10] == 1


@pytest.mark.parametrize("name", KEYS)
def test_no_key_is_one_of_naparis_where_labels_are_painted(name):
    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from napari.settings import get_settings

    used = {
        str(key)
        for action, keys in get_settings().shortcuts.shortcuts.items()
        if not any(
            word in action for word in ("points", "shape", "vert", "add_", "select_", "plane")
        )
        for key in keys
    } - {"D", "A"}  # of layers of points and shapes, which keep them
    for kind in (Image, Labels, ViewerModel):
        used |= {str(key) for key in kind.class_keymap}
    assert KEYS[name] not in used
    assert len(set(KEYS.values())) == len(KEYS)


def test_decisions_are_in_view_beside_another_widget(reviewing_seen, qtbot):
    viewer, widget = reviewing_seen()
    viewer.window._qt_window.resize(1280, 800)
    compare = CompareWidget(viewer)
    other = viewer.window.add_dock_widget(compare)
    accept = widget.controls.buttons["accept"]
    qtbot.waitUntil(lambda: accept.visibleRegion().isEmpty(), timeout=5_000)  # behind the other
    (own,) = viewer.window._qt_window.tabifiedDockWidgets(other)
    own.raise_()
    qtbot.waitUntil(lambda: accept.visibleRegion().boundingRect() == accept.rect(), timeout=5_000)
    viewer.close()
    qtbot.waitUntil(lambda: compare.closed and widget.closed)
