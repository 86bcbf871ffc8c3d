"""The compare widget in a real window: painting, blinking, views, difference, export, its end."""

import csv

import numpy as np
import pytest

from keras_robust.metrics import dice
from napari_plugin.compare import CompareWidget
from napari_plugin.compare.side_by_side import grid_of
from tests.napari_plugin.masks import paint, squares


def add(viewer, *masks, **options):
    for name, mask in zip(("clean", "noisy", "prediction"), masks, strict=False):
        viewer.add_labels(mask, name=name, **options)


@pytest.fixture
def opened(viewer, qtbot):
    """An image, two masks, and the widget docked."""
    a, b = squares()
    viewer.add_image(np.random.default_rng(0).random(a.shape), name="image")
    add(viewer, a, b)
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    qtbot.waitUntil(lambda: widget.found is not None)
    return viewer, widget


def shown_dice(widget):
    return float(widget.table.item(0, 1).text())


def test_layers_are_chosen_and_measured_without_a_click(opened):
    _, widget = opened
    chosen = {name: box.layer and box.layer.name for name, box in widget.boxes.items()}
    assert chosen == {"image": "image", "reference": "clean", "noisy": "noisy", "prediction": None}
    # 2 * 8 / (16 + 20)
    assert shown_dice(widget) == pytest.approx(16 / 36, abs=5e-4)
    assert widget.table.item(0, 6).text() == "16" and widget.table.item(0, 7).text() == "20"
    assert "8 px" in widget.legend.text() and "12 px" in widget.legend.text()


def test_the_table_follows_the_brush_within_a_stroke(opened, qtbot):
    viewer, widget = opened
    layer = viewer.layers["clean"]
    seen = []
    for step in paint(viewer, layer, (2, 6), (2, 7), (3, 8)):
        expected = dice(layer.data, viewer.layers["noisy"].data)
        qtbot.waitUntil(lambda e=expected: abs(shown_dice(widget) - e) < 6e-4)
        seen.append((step, shown_dice(widget)))
    assert seen[0][1] < seen[1][1] < seen[2][1]


def test_undo_and_redo_are_followed_and_intact(opened, qtbot):
    viewer, widget = opened
    layer = viewer.layers["clean"]
    before = layer.data.copy()
    layer.data_setitem((np.array([2, 3]), np.array([6, 6])), 1)
    after = layer.data.copy()
    widget.difference.setChecked(True)
    qtbot.waitUntil(lambda: "difference" in viewer.layers)
    for undo, expected in ((layer.undo, before), (layer.redo, after), (layer.undo, before)):
        undo()
        np.testing.assert_array_equal(layer.data, expected)
        wanted = dice(expected, viewer.layers["noisy"].data)
        qtbot.waitUntil(lambda e=wanted: abs(shown_dice(widget) - e) < 6e-4)


def test_the_difference_is_a_layer_that_follows(opened, qtbot):
    viewer, widget = opened
    names = [layer.name for layer in viewer.layers]
    widget.difference.setChecked(True)
    qtbot.waitUntil(lambda: "difference" in viewer.layers)
    layer = viewer.layers["difference"]
    assert np.bincount(layer.data.ravel()).tolist() == [144 - 28, 8, 8, 12]
    assert not layer.editable
    viewer.layers["noisy"].data_setitem((np.array([0]), np.array([0])), 1)
    qtbot.waitUntil(lambda: layer.data[0, 0] == 3)
    assert viewer.layers["difference"] is layer
    widget.difference.setChecked(False)
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == names)


def test_a_difference_that_the_user_removes_stays_away(opened, qtbot):
    viewer, widget = opened
    widget.difference.setChecked(True)
    qtbot.waitUntil(lambda: "difference" in viewer.layers)
    viewer.layers.remove("difference")
    qtbot.waitUntil(lambda: not widget.difference.isChecked())
    viewer.layers["noisy"].data_setitem((np.array([0]), np.array([0])), 1)
    qtbot.waitUntil(lambda: widget.table.item(0, 7).text() == "21")
    assert "difference" not in viewer.layers


def test_contours_come_and_go_with_the_look_of_before(opened):
    viewer, widget = opened
    layer = viewer.layers["clean"]
    assert layer.contour > 0
    np.testing.assert_allclose(layer.colormap.map(1)[:3], (0, 0.447, 0.698), atol=0.01)
    widget.contours.setChecked(False)
    assert layer.contour == 0 and layer.opacity == pytest.approx(0.7)
    assert layer.colormap.name == "label_colormap"


def settle(widget, qtbot):
    """Wait until nothing is to be measured any more."""
    qtbot.wait(100)
    qtbot.waitUntil(lambda: not widget._follow.isActive() and not widget._latest.busy)


def visible(viewer):
    return {layer.name for layer in viewer.layers if layer.visible}


def test_blink_with_the_key_the_button_and_back(opened, qtbot):
    viewer, widget = opened
    everything = visible(viewer)
    assert widget.key in widget.blink.toolTip()
    press = viewer.keymap[next(key for key in viewer.keymap if str(key) == widget.key)]
    press(viewer)
    assert visible(viewer) == {"image", "clean"}
    press(viewer)
    assert visible(viewer) == {"image", "noisy"}
    widget.blink.click()
    assert visible(viewer) == {"image", "clean"}
    qtbot.waitUntil(lambda: visible(viewer) == {"image", "noisy"})
    widget.blink.click()
    widget.which.buttons()[0].click()
    assert visible(viewer) == everything


def test_the_key_is_none_of_napari_nor_of_another_plugin(opened):
    from napari.settings import get_settings

    from napari_plugin.compare.blink import free_key
    from napari_plugin.review.keys import KEYS

    viewer, widget = opened
    taken = [str(k) for keys in get_settings().shortcuts.shortcuts.values() for k in keys]
    assert widget.key not in {*taken, *KEYS.values()}
    assert free_key(viewer) not in (None, widget.key)


def test_side_by_side_and_back(opened, qtbot):
    viewer, widget = opened
    before = list(viewer.layers)
    viewer.layers.selection = {before[1]}
    widget.difference.setChecked(True)
    widget.side_by_side.setChecked(True)
    grid = grid_of(viewer)
    qtbot.waitUntil(lambda: grid.enabled and len(viewer.layers) == 6)
    names = [layer.name for layer in viewer.layers]
    assert names == ["image", "clean", "image (2)", "noisy", "image (3)", "difference"]
    assert grid.stride == 2 and viewer.layers.selection == {before[1]}
    assert np.shares_memory(viewer.layers["image (2)"].data, before[0].data)
    assert widget.boxes["image"].count() == 2  # "none" and the image; its copies are no choice
    widget.difference.setChecked(False)
    widget.side_by_side.setChecked(False)
    qtbot.waitUntil(lambda: list(viewer.layers) == before and not grid.enabled)
    assert all(layer.visible for layer in before)


def test_leaving_the_grid_by_naparis_own_button_cleans_up(opened, qtbot):
    viewer, widget = opened
    before = list(viewer.layers)
    widget.side_by_side.setChecked(True)
    qtbot.waitUntil(lambda: grid_of(viewer).enabled)
    grid_of(viewer).enabled = False
    qtbot.waitUntil(lambda: not widget.side_by_side.isChecked() and list(viewer.layers) == before)


def test_an_empty_window_has_named_columns_and_says_what_to_do(viewer, qtbot):
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    qtbot.waitUntil(lambda: "Choose two masks" in widget.message.text())
    titles = [widget.table.horizontalHeaderItem(n).text() for n in range(8)]
    assert titles == ["Class", "Dice", "IoU", "ASD", "HD95", "sDice", "A", "B"]


def test_masks_stored_in_different_orders_are_not_compared(viewer, qtbot):
    for letters in ("RAS", "LAS"):
        notes = {"keras_robust": {"towards": letters}}
        viewer.add_labels(np.ones((4, 4, 4), np.uint8), name=letters, metadata=notes)
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    qtbot.waitUntil(lambda: "mirrored or turned" in widget.message.text())


def test_what_cannot_be_compared_is_said(opened, qtbot):
    viewer, widget = opened
    widget.boxes["noisy"].choose(viewer.layers["clean"])
    qtbot.waitUntil(lambda: "Both masks are the layer" in widget.message.text())
    assert widget.table.rowCount() == 0 and not widget.export.isEnabled()
    widget.which.buttons()[1].click()  # A alone
    assert visible(viewer) == {"image", "clean", "noisy"}
    viewer.add_labels(np.zeros((5, 5), np.uint8), name="small")
    viewer.add_labels(np.full((12, 12), 70000, np.int32), name="many")
    qtbot.waitUntil(lambda: widget.boxes["noisy"].findText("many") > 0)
    for name, expected in (("small", "has the shape 12 × 12"), ("many", "to 70000")):
        widget.boxes["noisy"].choose(viewer.layers[name])
        qtbot.waitUntil(lambda e=expected: e in widget.message.text())
    widget.boxes["noisy"].choose(viewer.layers["noisy"])
    qtbot.waitUntil(lambda: widget.message.text() == "" and widget.table.rowCount() == 1)


def test_layers_that_are_removed_meanwhile(opened, qtbot):
    viewer, widget = opened
    widget.difference.setChecked(True)
    widget.side_by_side.setChecked(True)
    qtbot.waitUntil(lambda: grid_of(viewer).enabled and "difference" in viewer.layers)
    viewer.layers.remove("noisy")
    qtbot.waitUntil(lambda: "Choose two masks" in widget.message.text())
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["image", "clean"])
    viewer.layers.clear()
    qtbot.waitUntil(lambda: widget.boxes["reference"].count() == 1)
    assert widget.layers == (None, None)
    add(viewer, *squares())
    qtbot.waitUntil(lambda: widget.table.rowCount() == 1)


def test_renamed_layers_are_renamed_in_the_boxes(opened, qtbot):
    viewer, widget = opened
    viewer.layers["noisy"].name = "another name"
    qtbot.waitUntil(lambda: widget.boxes["noisy"].currentText() == "another name")


def test_a_hidden_mask_is_shown_while_it_is_compared(viewer, qtbot):
    add(viewer, *squares())
    viewer.layers["noisy"].visible = False
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert viewer.layers["noisy"].visible
    viewer.window.remove_dock_widget(widget)
    assert not viewer.layers["noisy"].visible


def test_classes_have_a_row_each(viewer, qtbot):
    a, b = squares()
    a[8:10, 8:10], b[8:10, 8:10], b[11, 11] = 2, 2, 5
    add(viewer, a, b)
    noted = {"class_names": ("background", "organ", "")}
    viewer.layers["noisy"].metadata.setdefault("keras_robust", {}).update(noted)
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: widget.table.rowCount() == 3)
    column = [widget.table.item(row, 0).text() for row in range(3)]
    assert column == ["1 organ", "2", "5"] and widget.table.item(1, 1).text() == "1.000"


def volume():
    a, b = np.zeros((2, 6, 12, 12), np.uint8)
    a[1:5, 2:6, 2:6], b[1:5, 2:6, 4:9] = 1, 1
    return a, b


def test_a_volume_is_measured_in_the_background_when_the_brush_is_released(viewer, qtbot):
    a, b = volume()
    add(viewer, a, b, scale=(2.0, 1.0, 1.0))
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: widget.found is not None)
    assert widget.table.item(0, 6).text() == str(4 * 16 * 2)
    viewer.dims.set_current_step(0, 2)
    settle(widget, qtbot)
    first = widget.found
    stroke = paint(viewer, viewer.layers["clean"], (4.0, 2, 7), (4.0, 3, 7))
    assert [next(stroke), next(stroke)] == ["press", "move"]
    settle(widget, qtbot)
    assert widget.found is first
    assert next(stroke) == "release"
    expected = dice(viewer.layers["clean"].data, b)
    assert expected != dice(volume()[0], b)
    qtbot.waitUntil(lambda: abs(shown_dice(widget) - expected) < 6e-4)
    # Scrolling changes no mask and is not measured.
    settle(widget, qtbot)
    found = widget.found
    viewer.dims.set_current_step(0, 4)
    settle(widget, qtbot)
    assert widget.found is found


def test_this_slice_only(viewer, qtbot):
    a, b = volume()
    b[3, 2:6, 2:4] = 1
    add(viewer, a, b)
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.difference.setChecked(True)
    widget.this_slice.setChecked(True)
    for z in (2, 3, 0):
        viewer.dims.set_current_step(0, z)
        rows = int(bool(a[z].any()))
        qtbot.waitUntil(
            lambda z=z, rows=rows: (
                widget.table.rowCount() == rows
                and (not rows or abs(shown_dice(widget) - dice(a[z], b[z])) < 6e-4)
            )
        )
        codes = viewer.layers["difference"].data
        assert codes.shape == a.shape and codes[z].any() == bool(rows)
        assert not np.delete(codes, z, axis=0).any()


def test_stale_results_of_a_volume_are_dropped(viewer, qtbot, monkeypatch):
    import threading

    from napari_plugin.compare import widget as module

    gate, calls, real = threading.Event(), [], module.find

    def slow(pair, *rest):
        calls.append(pair.a.sum())
        gate.wait(10)
        return real(pair, *rest)

    monkeypatch.setattr(module, "find", slow)
    add(viewer, *volume())
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: len(calls) == 1)
    shown = []
    monkeypatch.setattr(widget.table, "show_rows", lambda rows, _: shown.append(rows))
    for x in (9, 10, 11):
        index = tuple(np.array([i]) for i in (1, 9, x))
        viewer.layers["clean"].data_setitem(index, 1)
        qtbot.wait(80)
    gate.set()
    qtbot.waitUntil(lambda: len(shown) == 1)
    qtbot.wait(100)
    # The first, which was running, and the last; of these only the last is shown.
    assert len(calls) == 2 and shown[0][0].size_a == 64 + 3 and len(shown) == 1


def test_export(opened, tmp_path, qtbot):
    viewer, widget = opened
    path = tmp_path / "new" / "table.csv"
    widget.export_csv(path)
    with open(path, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["a"], row["b"], row["class"]) == ("clean", "noisy", "1")
    assert float(row["dice"]) == pytest.approx(16 / 36)
    assert row["area_a_px2"] == "16.0" and str(path) in widget.message.text()
    (tmp_path / "file").write_text("")
    widget.export_csv(tmp_path / "file" / "table.csv")
    assert "not written. A file lies where a folder should be" in widget.message.text()


def test_closing_leaves_nothing_behind(opened, qtbot):
    viewer, first = opened
    first.close_down()
    layers = list(viewer.layers)
    looks = [(layer.contour, layer.visible, layer.opacity) for layer in layers[1:]]

    def listeners():
        groups = [viewer.layers.events, viewer.dims.events, grid_of(viewer).events]
        groups += [layer.events for layer in layers]
        return {
            (number, name): len(group[name].callbacks)
            for number, group in enumerate(groups)
            for name in group.emitters
        }

    for number in range(3):
        widget = CompareWidget(viewer)
        viewer.window.add_dock_widget(widget, name="again")
        widget.difference.setChecked(True)
        widget.side_by_side.setChecked(True)
        qtbot.waitUntil(lambda: grid_of(viewer).enabled and "difference" in viewer.layers)
        widget.show_mask("A")
        viewer.window.remove_dock_widget(widget)
        assert list(viewer.layers) == layers and not grid_of(viewer).enabled
        if number == 0:  # napari keeps the cameras of its first grid
            before, keys = listeners(), dict(viewer.keymap)
    assert listeners() == before and dict(viewer.keymap) == keys
    assert [(layer.contour, layer.visible, layer.opacity) for layer in layers[1:]] == looks
