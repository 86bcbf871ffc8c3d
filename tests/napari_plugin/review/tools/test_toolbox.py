"""Tools on the mask in view: one key, one step of undo, nothing over a locked class."""

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from keras_robust.review import ReviewCase
from napari_plugin.review.keys import KEYS
from napari_plugin.review.layers import CaseLayers
from napari_plugin.review.tools.panel import TOOL_TIPS, ToolPanel
from napari_plugin.review.tools.toolbox import TOOLS, Toolbox

NOTES = {"dataset": "", "id": "x", "spacing_mm": None}


@pytest.fixture
def desk(viewer_model, qtbot):
    """Gives layers, toolbox and what it said, with a case shown."""
    made = []

    def show(mask, suggestion=None, image=None, notes=NOTES, classes=3):
        image = np.zeros((*mask.shape, 1), np.uint8) if image is None else image
        layers, said = CaseLayers(viewer_model, "anna", classes), []
        toolbox = Toolbox(viewer_model, layers)
        toolbox.said.connect(said.append)
        case = ReviewCase("p", "a", image, mask, suggestion)
        layers.show(case, notes)
        toolbox.show(case)
        made.append(toolbox)
        return layers, toolbox, said

    yield show
    for toolbox in made:
        toolbox.stop()


def settle(qtbot, toolbox):
    qtbot.waitUntil(lambda: not toolbox._thread.waiting)


def square() -> np.ndarray:
    mask = np.zeros((30, 30), np.uint8)
    mask[10:20, 10:20], mask[2:4, 2:4], mask[14, 14] = 1, 1, 0
    mask[10:20, 20:25] = 2
    return mask


@pytest.mark.parametrize("name", [n for n in TOOLS if n not in ("interpolate", "copy slice")])
def test_a_tool_is_one_step_of_undo_and_leaves_what_is_locked(desk, viewer_model, qtbot, name):
    mask = square()
    layers, toolbox, said = desk(mask, np.roll(mask, 2, axis=0))
    layers.corrected.brush_size = 8
    layers.guard.lock({2})
    viewer_model.cursor.position = (3, 3)
    if name == "swap classes":
        layers.guard.lock(())
        viewer_model.cursor.position = (15, 22)
    if name == "change piece":
        layers.choose(1)
        viewer_model.cursor.position = (15, 22)
        layers.guard.lock(())
    toolbox.run(name)
    settle(qtbot, toolbox)
    now = layers.corrected.data
    assert not np.array_equal(now, mask) and "changed" in said[-1]
    if layers.guard.locked:
        assert np.array_equal(now == 2, mask == 2)
    layers.undo()
    assert np.array_equal(layers.corrected.data, mask)


def test_every_tool_has_a_key_a_tip_and_a_button(qtbot):
    panel, asked = ToolPanel(QWidget()), []
    qtbot.addWidget(panel)
    panel.asked.connect(asked.append)
    assert set(TOOLS) <= set(TOOL_TIPS) <= set(KEYS)
    for name, button in panel.buttons.items():
        button.click()
        assert asked[-1] == name and KEYS[name] in button.toolTip()


def test_slices_are_copied_and_interpolated(desk, viewer_model, qtbot):
    mask = np.zeros((8, 20, 20), np.uint8)
    mask[1, 5:12, 5:12] = 1
    notes = NOTES | {"spacing_mm": [5.0, 1.0, 1.0]}
    layers, toolbox, said = desk(mask, notes=notes)
    assert toolbox.unit == "mm"
    viewer_model.dims.set_current_step(0, 1)
    toolbox.run("copy slice")
    settle(qtbot, toolbox)
    assert viewer_model.dims.current_step[0] == 2
    assert np.array_equal(layers.labels[2], mask[1]) and "0.245 ml" in said[-1]  # 49 of 5 mm³
    layers.undo()
    layers.corrected.data_setitem((np.array([6] * 2), np.array([7, 8]), np.array([7, 8])), 1)
    toolbox.run("interpolate")
    settle(qtbot, toolbox)
    assert layers.labels[1:7].any(axis=(1, 2)).all() and not layers.labels[7].any()


def test_a_preview_is_seen_and_changes_nothing(desk, viewer_model, qtbot):
    mask = square()
    layers, toolbox, _ = desk(mask)
    toolbox.preview("grow")
    qtbot.waitUntil(lambda: "preview" in viewer_model.layers)
    assert np.array_equal(layers.labels, mask)
    assert viewer_model.layers["preview"].data.sum() > (mask == 1).sum()
    assert viewer_model.layers.selection.active is layers.corrected
    toolbox.drop()
    assert "preview" not in viewer_model.layers
    toolbox.preview("take piece")
    settle(qtbot, toolbox)
    assert "preview" not in viewer_model.layers, "it would follow the mouse"


def test_the_threshold_brush_paints_what_has_the_values_of_the_class(desk):
    image = np.zeros((30, 30, 1), np.uint8)
    image[8:22, 8:22] = 100
    mask = np.zeros((30, 30), np.uint8)
    mask[10:14, 10:14] = 1
    layers, toolbox, _ = desk(mask, image=image)
    assert toolbox.threshold(True) == (100, 100)
    layers.corrected.brush_size = 25
    layers.corrected.paint((15, 15), 1)
    assert np.array_equal(layers.corrected.data, (image[..., 0] == 100).astype(np.uint8))
    toolbox.set_range(0, 50)
    layers.corrected.paint((15, 15), 2)
    assert not (layers.corrected.data[8:22, 8:22] == 2).any()
    assert (layers.corrected.data == 2).any()
    toolbox.threshold(False)
    layers.corrected.paint((15, 15), 2)
    assert layers.corrected.data[15, 15] == 2


def test_the_smart_brush_takes_the_object_of_each_stroke(desk, qtbot):
    truth = np.zeros((60, 60), np.uint8)
    truth[10:30, 10:30], truth[40:55, 35:55] = 1, 1
    image = (truth[..., None] * 100 + np.random.default_rng(0).normal(0, 5, (60, 60, 1))).astype(
        np.float32
    )
    layers, toolbox, _ = desk(np.zeros_like(truth), image=image)
    assert layers.brush(True, smart=True) and layers.brushing == "smart"
    layers.corrected.brush_size = 5
    for at in ((20, 20), (47, 45)):
        with layers.corrected.block_history():
            layers.corrected.paint(at, layers.corrected.selected_label)
        layers.finish_stroke()
    settle(qtbot, toolbox)
    assert (layers.labels != truth).mean() < 0.02
    layers.undo()
    assert layers.labels[10:30, 10:30].all() and not layers.labels[40:].any()
    layers.brush(False)
    assert layers.corrected.selected_label == 1


def test_what_a_tool_lacks_is_said(desk, qtbot):
    layers, toolbox, said = desk(square())
    for name, words in (("snap", "no suggestion"), ("interpolate", "for volumes")):
        toolbox.run(name)
        settle(qtbot, toolbox)
        assert words in said[-1]
    toolbox.mm = 0.5
    toolbox.run("grow")
    settle(qtbot, toolbox)
    assert "0.5 px is less than one step of 1" in said[-1]
    layers.guard.lock({1})
    toolbox.run("grow")
    assert "locked" in said[-1]
