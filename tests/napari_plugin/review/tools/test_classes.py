"""The list of classes: what is painted, by name and key, and what a lock keeps."""

import numpy as np

from keras_robust.review import ReviewCase
from napari_plugin.review.layers import CaseLayers
from napari_plugin.review.tools.classes import ClassList, paint_classes

NOTES = {"dataset": "", "id": "x", "spacing_mm": None}


def organs() -> tuple[ReviewCase, np.ndarray]:
    """Class 1 in rows 0-9, class 2 in rows 10-19; the suggestion has them the other way round."""
    mask = np.zeros((40, 40), np.uint8)
    mask[:10], mask[10:20] = 1, 2
    turned = np.where(mask > 0, 3 - mask, 0).astype(np.uint8)
    return ReviewCase("p", "a", np.zeros((40, 40, 1), np.uint8), mask, turned), mask


def test_nothing_is_painted_over_a_locked_class_nor_with_it(viewer_model):
    layers, said = CaseLayers(viewer_model, "anna", 4, names=("", "liver", "spleen", "")), []
    layers.said.connect(said.append)
    case, mask = organs()
    layers.show(case, NOTES)
    layers.guard.lock({2})
    layer = layers.corrected
    layer.brush_size = 12
    layer.paint((10, 20), 3)
    now = layer.data.copy()
    assert np.array_equal(now == 2, mask == 2) and (now[:10] == 3).any()
    layer.undo()
    assert np.array_equal(layer.data, mask)
    layer.paint((30, 20), 2)
    assert np.array_equal(layer.data, mask) and "“spleen” is locked" in said[-1]
    layers.take_suggestion()
    assert np.array_equal(layer.data == 2, mask == 2), "the suggestion is painting too"
    layer.brush_size = 1
    for paint in (layer.fill, layer.paint):
        said.clear()
        paint((15, 5), 1)
        assert np.array_equal(layer.data == 2, mask == 2) and "“spleen” is locked" in said[-1]
    layers.guard.lock(())
    layer.fill((15, 5), 0)
    assert not (layer.data == 2).any()


def test_labels_of_no_class_cannot_be_set_by_any_tool(viewer_model):
    layers, said = CaseLayers(viewer_model, "anna", 3, ignore_label=255), []
    layers.said.connect(said.append)
    case, mask = organs()
    layers.show(case, NOTES)
    layers.corrected.data_setitem((np.array([0, 1]), np.array([0, 0])), np.array([7, 2]))
    assert layers.corrected.data[:2, 0].tolist() == [1, 2] and "no class 7" in said[-1]
    layers.corrected.paint((30, 30), 255)
    assert (layers.corrected.data == 255).any()


def test_lines_and_areas_have_the_colours_of_their_classes(viewer_model):
    layers = CaseLayers(viewer_model, "anna", 4)
    layers.show(organs()[0], NOTES)
    drawn = [layers.corrected, layers._layers["original"], layers._layers["suggestion"]]
    own, original, suggestion = ([tuple(d.get_color(k)) for k in (1, 2, 3)] for d in drawn)
    assert original == suggestion and len({*own, *original}) == 6


def test_the_list_chooses_and_locks(qtbot):
    shown, chosen, locked = ClassList(), [], []
    qtbot.addWidget(shown)
    shown.chosen.connect(chosen.append)
    shown.locked.connect(locked.append)
    shown.offer(paint_classes(4, ("background", "liver", "spleen", "kidney"), 255))
    assert [shown.item(row, 0).text() for row in range(4)] == [
        "liver", "spleen", "kidney", "not judged",
    ]  # fmt: skip
    assert shown.item(1, 1).text() == "Alt+2" and chosen == []
    shown.setCurrentCell(2, 0)
    shown.choose(3)
    shown.choose(8)
    assert chosen == [3, 255]
    shown.toggle_lock()
    assert locked == [{255}]
