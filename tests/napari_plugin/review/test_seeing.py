"""What the reviewer sees and paints with: windows of CT and the size of the brush."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from keras_robust.review import ReviewCase
from napari_plugin.review.layers import CaseLayers
from napari_plugin.viewer.anatomy import camera
from napari_plugin.viewer.windows import CT_WINDOWS, first_window

from .conftest import ready

NOTES = {"dataset": "", "id": "x", "spacing_mm": None}


def case(side: int, radius: int, image=None) -> ReviewCase:
    y, x = np.ogrid[:side, :side]
    mask = (np.hypot(y - side / 2, x - side / 2) < radius).astype(np.uint8)
    image = np.zeros((side, side, 3), np.uint8) if image is None else image
    return ReviewCase("p", "a", image, mask)


def ct(side: int = 32, top: float = 1400) -> np.ndarray:
    values = np.full((side, side, 1), -1000, np.int16)
    values[8:24, 8:24] = 40
    values[12:16, 12:16] = top
    return values


def test_the_brush_fits_zoom_and_object_and_is_in_the_hand(viewer_model):
    layers = CaseLayers(viewer_model, "anna", 2)
    sizes = {}
    for side in (256, 1024):
        layers.show(case(side, side // 3), NOTES)
        sizes[side] = layers.corrected.brush_size
    assert sizes[1024] == pytest.approx(4 * sizes[256], abs=2), "the same on the screen"
    assert layers.corrected.mode == "paint"
    camera(viewer_model).zoom *= 4
    assert layers.corrected.brush_size == pytest.approx(sizes[256], abs=1)
    layers.show(case(1024, 6), NOTES)
    assert layers.corrected.brush_size < 6, "no larger than a small object"
    layers.corrected.brush_size = 40
    layers.show(case(1024, 6), NOTES)
    assert layers.corrected.brush_size == 40, "as set by hand"


def test_contours_that_are_prepared_are_not_drawn_again(viewer_model, monkeypatch):
    from napari_plugin.review.prepared import prepare
    from napari_plugin.viewer import contours

    layers, drawn = CaseLayers(viewer_model, "anna", 2), []
    first, second = (case(64, radius) for radius in (20, 12))
    ready = [prepare(one, NOTES) for one in (first, second)]
    real = contours.outline
    monkeypatch.setattr(contours, "outline", lambda *a: drawn.append(a) or real(*a))
    for one, prepared in zip((first, second), ready, strict=True):
        layers.show(one, NOTES, prepared)
    assert not [labels for labels, *_ in drawn if labels.any()]
    view = np.asarray(layers._layers["original"]._slice.image.view)
    assert np.array_equal(view != 0, prepared.outlines["original"] != 0)


def test_a_window_set_by_hand_stays(viewer_model):
    layers = CaseLayers(viewer_model, "anna", 2)
    layers.show(case(32, 8, ct()), NOTES)
    image = layers._layers["image"]
    assert tuple(image.contrast_limits) == CT_WINDOWS["soft tissue"]
    low, high = image.contrast_limits_range
    assert (low, high) == (ct().min(), ct().max()), "napari's slider goes to all values"
    layers.show(case(32, 8, ct(top=1500)), NOTES)
    assert tuple(image.contrast_limits) == CT_WINDOWS["soft tissue"]
    assert layers.next_window() == "lung"
    layers.show(case(32, 8, ct()), NOTES)
    assert tuple(image.contrast_limits) == CT_WINDOWS["lung"]
    magnetic = np.linspace(0, 900, 32 * 32, dtype=np.float32).reshape(32, 32, 1)
    layers.show(case(32, 8, magnetic), NOTES)
    low, high = image.contrast_limits
    assert 0 < low < 10 and 890 < high < 900 and not layers.has_windows, "CT's are for CT alone"
    layers.show(case(32, 8, ct().astype(np.float32)), NOTES)
    assert tuple(image.contrast_limits) == CT_WINDOWS["lung"]
    image.contrast_limits = (0, 99)
    layers.show(case(48, 8, ct(48)), NOTES)
    assert tuple(layers._layers["image"].contrast_limits) == (0, 99)


def test_images_without_a_unit_open_without_their_extremes():
    values = np.arange(1000, dtype=np.uint16)
    values[-1] = 60000
    low, high = first_window(values)
    assert 0 < low < 10 and 990 < high < 1000
    assert first_window(values.astype(np.uint8)) is None and first_window(values[:1]) is None


def test_the_key_of_windows_says_where_there_are_none(reviewing, qtbot):
    viewer, widget = reviewing()
    assert widget.controls.windows.isHidden() and ready(widget)
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_J)
    assert "CT alone" in widget.message.text()


def test_a_label_that_the_data_set_lacks_cannot_be_painted(reviewing, qtbot):
    viewer, widget = reviewing()
    layer = widget.desk.layers.corrected
    with layer.block_history():
        layer.paint((10, 10), 1)
    good = widget.desk.layers.labels
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_M)  # napari's next label
    assert layer.selected_label == 1 and "no class 2" in widget.message.text()
    with layer.block_history():
        layer.paint((200, 200), 4)  # as a script may
    qtbot.waitUntil(lambda: "no class 4" in widget.message.text())
    assert np.array_equal(layer.data, good)
    layer.undo()
    assert layer.data[10, 10] == 0, "and the history is whole"
