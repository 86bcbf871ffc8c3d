"""From mistake to mistake, the map of errors, the sheet of keys, the time and the report."""

import json

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from keras_robust.review import ReviewCase, differing
from napari_plugin.review.dialogs import show_sheet
from napari_plugin.review.keys import KEYS
from napari_plugin.review.layers import CaseLayers
from napari_plugin.review.places import Places
from napari_plugin.viewer.anatomy import camera

from .conftest import ready

NOTES = {"dataset": "", "id": "x", "spacing_mm": [5.0, 1.0, 1.0]}


def volume() -> ReviewCase:
    """Of the suggestion a block in slices 2-6 is missing, and one in slice 10 is too much."""
    mask, model = np.zeros((2, 14, 60, 60), np.uint8)
    model[1:13, 20:40, 20:40] = 1
    mask[:] = model
    mask[2:7, 20:30, 20:30], mask[9:12, 44:50, 44:50] = 0, 1
    return ReviewCase("v", "a", np.zeros((14, 60, 60, 1), np.uint8), mask, model)


def test_a_volume_opens_at_its_worst_slice_and_goes_from_place_to_place(viewer_model):
    layers, case = CaseLayers(viewer_model, "anna", 2), volume()
    places, told = Places(viewer_model, layers), []
    places.told.connect(told.append)
    layers.show(case, NOTES)
    found = differing(case.labels, case.suggestion, NOTES["spacing_mm"])
    places.show(case, found)
    assert 2 <= viewer_model.dims.current_step[0] <= 6
    assert told == ["Place 1 of 2: missing, 2.5 ml"]  # 5 x 10 x 10 voxels of 5 mm³
    assert places.step(1) and 9 <= viewer_model.dims.current_step[0] <= 11
    assert "2 of 2: too much" in told[-1]
    shown = np.array(camera(viewer_model).center)[-2:]
    assert np.abs(shown - 46.5).max() < 2, "the place is in the middle of the view"
    assert not places.step(1) and places.step(-1) and not places.step(-1)
    places.show(case, found)
    assert "2 of 2" in told[-1], "whoever comes back from behind sees the last place first"
    places.show(case, ())
    assert told[-1] == "" and viewer_model.dims.current_step[0] in range(1, 13)


def test_the_map_shows_what_is_missing_or_too_much(viewer_model, qtbot):
    layers, case = CaseLayers(viewer_model, "anna", 2), volume()
    places = Places(viewer_model, layers)
    layers.show(case, NOTES)
    places.show(case, ())
    assert "error map" not in viewer_model.layers
    assert places.toggle_map()
    shown = viewer_model.layers["error map"].data
    assert (shown[4, 25, 25], shown[10, 46, 46], shown[4, 35, 35]) == (1, 2, 0)
    assert viewer_model.layers.selection.active is layers.corrected
    layers.put(case.suggestion)
    qtbot.waitUntil(lambda: not viewer_model.layers["error map"].data.any())
    assert not places.toggle_map() and "error map" not in viewer_model.layers


def test_keys_go_to_places_and_cases_and_the_log_has_the_time(reviewing, qtbot, lesions):
    viewer, widget = reviewing()
    first, second = (item.id for item in widget.desk.session.items[:2])
    canvas = viewer.window._qt_viewer.canvas.native
    assert widget.controls.place.text().startswith("Place 1 of")
    while widget.desk.case is not None and widget.desk.case.id == first:
        QTest.keyClick(canvas, Qt.Key.Key_K)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    assert widget.desk.case.id == second
    QTest.keyClick(canvas, Qt.Key.Key_I)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    assert widget.desk.case.id == first
    QTest.keyClick(canvas, Qt.Key.Key_D)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    line = json.loads((lesions / "reviews/anna/review.jsonl").read_text().splitlines()[0])
    assert 0.3 <= line["seconds"] < 60
    widget.head.report_button.click()
    page = lesions.with_name("lesions-review") / "report.html"
    qtbot.waitUntil(lambda: str(page) in widget.message.text(), timeout=20_000)
    assert "anna" in page.read_text()


def test_a_click_into_the_list_goes_to_a_place_of_any_case(reviewing, qtbot):
    viewer, widget = reviewing()
    places, canvas = widget.controls.places, viewer.window._qt_viewer.canvas.native
    first, second = (item.id for item in widget.desk.session.items[:2])
    widget.desk.go(second)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    QTest.keyClick(canvas, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    model = places.model
    assert model.rows[0] == (first, 0) and (second, 0) in model.rows
    assert places.table.selectionModel().currentIndex().row() == model.row(second, 0)
    last = max(number for id, number in model.rows if id == first)
    row = model.row(first, last)
    assert [model.data(model.index(row, column)) for column in (0, 4)] == [first, ""]
    places.table.scrollTo(model.index(row, 0))
    spot = places.table.visualRect(model.index(row, 1)).center()
    QTest.mouseClick(places.table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    assert widget.desk.case.id == first and widget.desk.places.at == last


def test_the_sheet_has_every_key(qtbot):
    from qtpy.QtWidgets import QLabel, QWidget

    from napari_plugin.review.controls import TIPS
    from napari_plugin.review.tools.panel import TOOL_TIPS

    parent = QWidget()
    qtbot.addWidget(parent)
    text = show_sheet(parent, TIPS | TOOL_TIPS).findChild(QLabel).text()
    assert all(f"<b>{key}</b>" in text for name, key in KEYS.items() if "class" not in name)
