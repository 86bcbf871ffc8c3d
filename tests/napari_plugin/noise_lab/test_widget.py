"""The noise lab in a real window: preview, dataset, replay, undo, its end."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from keras_robust.annotators import simulate_dataset
from keras_robust.data import Dataset, sample_path
from keras_robust.noise import KINDS, BoundaryNoise, Corruption, LabelNoise, read_log
from napari_plugin.noise_lab import NoiseLabWidget
from napari_plugin.viewer.case_layers import case_layers

PREVIEW = "noisy preview"
WAIT = 30_000  # milliseconds; loaded machines


@pytest.fixture
def small(tmp_path):
    """A copy of a part of the packaged sample."""
    import csv

    root = tmp_path / "data"
    shutil.copytree(sample_path(), root)
    with open(root / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    of = {split: [row for row in rows if row["split"] == split] for split in ("train", "test")}
    kept = of["train"][:8] + of["test"][:1]
    with open(root / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(kept)
    return Dataset.open(root)


@pytest.fixture
def lab(viewer, small, qtbot):
    """The first case of the dataset, and the widget docked."""
    from napari.layers import Layer

    id = small.select(split="train").ids[0]
    for layer in case_layers(small, id):
        viewer.add_layer(Layer.create(*layer))
    viewer, widget = dock(viewer, qtbot)
    qtbot.waitUntil(lambda: widget.dataset_box.dataset is not None, timeout=WAIT)
    return viewer, widget


def dock(viewer, qtbot):
    widget = NoiseLabWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise lab")
    qtbot.waitUntil(lambda: widget.shown is not None, timeout=WAIT)
    return viewer, widget


def case_mask(viewer):
    return next(layer for layer in viewer.layers if layer.name == "isic_gt")


@pytest.mark.parametrize("kind", ["dilate", "erode", "affine"])
def test_the_preview_follows_the_controls_and_is_the_librarys_result(lab, qtbot, kind):
    viewer, widget = lab
    clean, id = case_mask(viewer), case_mask(viewer).metadata["keras_robust"]["id"]
    original = clean.data.copy()
    for other in {"dilate", "erode", "affine"} - {kind}:
        widget.settings.kinds[other].setChecked(False)
    for beta, seed in ((0.2, 0), (0.9, 7)):
        widget.settings.beta.setValue(beta)
        widget.settings.seed.setValue(seed)
        noise = LabelNoise(alpha=0.3, beta=beta, seed=seed, kinds=(kind,))
        expected, corruption = noise.corrupt(original, id, kind)
        qtbot.waitUntil(
            lambda e=expected: np.array_equal(viewer.layers[PREVIEW].data, e), timeout=WAIT
        )
        assert f"reached {corruption.reached:.2f}, Dice {corruption.dice:.3f}" in (
            widget.result.text()
        )
    np.testing.assert_array_equal(clean.data, original)
    assert [layer.name for layer in viewer.layers].count(PREVIEW) == 1


def test_mistakes_are_folded_away_counted_and_previewed(lab, small, qtbot):
    viewer, widget = lab
    settings = widget.settings
    assert settings.others.isHidden() and settings.noise().kinds == KINDS
    settings.more.click()
    assert not settings.others.isHidden()
    for box in settings.kinds.values():
        box.setChecked(False)
    settings.kinds["other_case"].setChecked(True)
    settings.kinds["slices_missing"].setChecked(True)
    settings.more.click()
    assert settings.others.isHidden() and settings.more.text().endswith("(2)")
    qtbot.waitUntil(lambda: "Another case" in widget.result.text(), timeout=WAIT)
    # Whose mask it is, is what it would be in the dataset; of the train split, as chosen there.
    train = small.select(split="train")
    masks = [train.read_mask(case) for case in train]
    noise = replace(settings.noise(), alpha=1.0)
    expected = dict(zip(train.ids, zip(*noise.apply(masks, train.ids), strict=True), strict=True))
    noisy, corruption = expected[case_mask(viewer).metadata["keras_robust"]["id"]]
    np.testing.assert_array_equal(viewer.layers[PREVIEW].data, noisy)
    assert widget.shown.log == (corruption,)
    settings.kinds["other_case"].setChecked(False)
    qtbot.waitUntil(lambda: "it is made in volumes" in widget.result.text(), timeout=WAIT)
    widget.dataset_box.start_histogram()
    qtbot.waitUntil(lambda: "Add others" in widget.message.text(), timeout=WAIT)


def test_undo_of_a_mask_is_never_touched(lab, qtbot):
    viewer, widget = lab
    layer = case_mask(viewer)
    before = layer.data.copy()
    layer.data_setitem((np.arange(9), np.arange(9)), 1)
    painted = layer.data.copy()
    shown = widget.shown
    widget.settings.beta.setValue(0.9)
    qtbot.waitUntil(lambda: widget.shown is not shown, timeout=WAIT)
    preview = viewer.layers[PREVIEW]
    noisy = preview.data.copy()
    preview.undo()
    np.testing.assert_array_equal(preview.data, noisy)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, painted)


def test_painting_in_the_mask_is_followed(lab, qtbot):
    viewer, widget = lab
    layer, id = case_mask(viewer), case_mask(viewer).metadata["keras_robust"]["id"]
    rows, columns = np.nonzero(layer.data)
    layer.data_setitem((rows[:500], columns[:500]), 0)
    noise = widget.settings.noise()
    expected, _ = noise.corrupt(layer.data, id, widget.shown.log[0].kind)
    qtbot.waitUntil(lambda: np.array_equal(viewer.layers[PREVIEW].data, expected), timeout=WAIT)


def test_keeping_the_preview_makes_a_layer_that_can_be_painted(lab):
    viewer, widget = lab
    widget.keep_layer()
    kept = viewer.layers[-1]
    np.testing.assert_array_equal(kept.data, viewer.layers[PREVIEW].data)
    assert kept.editable and kept.metadata["keras_robust"]["role"] == "noisy"
    assert not np.shares_memory(kept.data, viewer.layers[PREVIEW].data)


def test_no_kind_and_no_mask_are_said(lab, qtbot):
    viewer, widget = lab
    for box in widget.settings.kinds.values():
        box.setChecked(False)
    qtbot.waitUntil(lambda: "at least one kind" in widget.message.text(), timeout=WAIT)
    assert PREVIEW not in viewer.layers
    widget.dataset_box.start_apply()
    widget.settings.kinds["erode"].setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=WAIT)
    viewer.layers.remove("isic_gt")
    qtbot.waitUntil(lambda: "Choose a mask" in widget.message.text(), timeout=WAIT)
    assert PREVIEW not in viewer.layers


def test_a_preview_that_is_removed_stays_away(lab, qtbot):
    viewer, widget = lab
    viewer.layers.remove(PREVIEW)
    qtbot.waitUntil(lambda: not widget.live.isChecked(), timeout=WAIT)
    widget.settings.beta.setValue(1.5)
    qtbot.wait(100)
    assert PREVIEW not in viewer.layers
    widget.live.setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=WAIT)


def test_a_folder_that_is_no_dataset_is_said(lab, qtbot, tmp_path):
    _, widget = lab
    (tmp_path / "empty").mkdir()
    widget.dataset_box.open_dataset(tmp_path / "empty")
    qtbot.waitUntil(lambda: "Expected" in widget.message.text(), timeout=WAIT)
    assert widget.dataset_box.name.text() == "data" and widget.dataset_box.measure.isEnabled()


def test_a_dataset_that_was_opened_stays_while_layers_come_and_go(lab, small, qtbot, tmp_path):
    viewer, widget = lab
    other = shutil.copytree(small.root, tmp_path / "other")
    widget.dataset_box.open_dataset(other)
    qtbot.waitUntil(lambda: widget.dataset_box.dataset.root == other, timeout=WAIT)
    widget.keep.click()
    viewer.layers[0].name = "renamed"
    qtbot.wait(50)
    assert widget.dataset_box.path == other


def test_histogram_over_the_dataset_of_the_layer(lab, qtbot):
    _, widget = lab
    box = widget.dataset_box
    assert box.source.currentText() == "isic_gt" and box.split.currentText() == "train"
    widget.settings.alpha.setValue(0.5)
    box.measure.click()
    qtbot.waitUntil(lambda: box.task is None, timeout=WAIT)
    assert sum(map(sum, box.histogram.counts.values())) == 4
    assert box.summary.text().startswith("4 of 8 masks noisy")
    widget.settings.beta.setValue(1.1)
    assert not box.histogram.isVisibleTo(box) and not box.summary.isVisibleTo(box)


def test_apply_writes_what_the_library_writes(lab, small, qtbot, tmp_path):
    _, widget = lab
    box = widget.dataset_box
    other = simulate_dataset(
        small.root, LabelNoise(alpha=0.5, beta=0.7), output=tmp_path / "other", source="isic_gt"
    )
    widget.settings.alpha.setValue(0.5)
    widget.settings.beta.setValue(0.7)
    box.apply.click()
    assert not box.apply.isEnabled()
    qtbot.waitUntil(lambda: box.task is None, timeout=WAIT)
    assert box.written is not None and box.written.name == "noisy-a0.5-b0.7-s0"
    own = {path.name: path.read_bytes() for path in box.written.glob("*.png")}
    assert own and own == {path.name: path.read_bytes() for path in other.glob("*.png")}
    assert "noisy-a0.5-b0.7-s0" in Dataset.open(small.root).annotators


def test_apply_can_be_cancelled_and_continued(lab, small, qtbot, monkeypatch):
    _, widget = lab
    box = widget.dataset_box
    box.start_apply()
    box.task.progressed.connect(lambda done, total: box.stop() if done == 3 else None)
    qtbot.waitUntil(lambda: box.task is None, timeout=WAIT)
    assert "Cancelled" in widget.message.text() and box.written is None
    assert Dataset.open(small.root).annotators == ("isic_gt",)
    box.start_apply()
    qtbot.waitUntil(lambda: box.written is not None, timeout=WAIT)
    assert len(list(box.written.glob("*.png"))) == 8


def test_a_folder_that_cannot_be_written_asks_for_another(lab, qtbot, monkeypatch, tmp_path):
    _, widget = lab
    box = widget.dataset_box
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(box, "ask_output", lambda: "")
    box.start_apply()
    assert box.task is None and "Choose another" in widget.message.text()
    monkeypatch.setattr(box, "ask_output", lambda: str(tmp_path / "elsewhere"))
    box.start_apply()
    qtbot.waitUntil(lambda: box.task is None, timeout=WAIT)
    assert box.written.is_relative_to(tmp_path / "elsewhere")


def test_replay_from_a_log_until_a_control_is_moved(lab, small, qtbot, tmp_path):
    viewer, widget = lab
    folder = simulate_dataset(small.root, LabelNoise(alpha=1, beta=0.9, seed=4))
    id = case_mask(viewer).metadata["keras_robust"]["id"]
    widget.replay_log(folder / "noise.jsonl")
    expected = {done.id: done for done in read_log(folder / "noise.jsonl")}[id]
    assert isinstance(expected, Corruption)
    qtbot.waitUntil(lambda: "Replayed" in widget.result.text(), timeout=WAIT)
    np.testing.assert_array_equal(
        viewer.layers[PREVIEW].data, expected.apply(case_mask(viewer).data)
    )
    widget.settings.beta.setValue(0.3)
    qtbot.waitUntil(lambda: "Replayed" not in widget.result.text(), timeout=WAIT)
    boundary = simulate_dataset(small.root, BoundaryNoise(0.9), source="isic_gt")
    widget.replay_log(boundary / "noise.jsonl")
    qtbot.waitUntil(lambda: "Boundary" in widget.result.text(), timeout=WAIT)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    widget.replay_log(broken)
    assert "line 1" in widget.message.text()


def test_a_stack_slice_by_slice_and_as_a_volume(viewer, qtbot):
    stack = np.zeros((6, 40, 40), np.uint8)
    stack[:, 10:30, 12:28] = 1
    viewer.add_labels(stack.copy(), name="clean")
    viewer, widget = dock(viewer, qtbot)
    widget.settings.alpha.setValue(0.5)
    as_volume, _ = widget.settings.noise().corrupt(stack, "clean", widget.shown.log[0].kind)
    qtbot.waitUntil(lambda: np.array_equal(viewer.layers[PREVIEW].data, as_volume), timeout=WAIT)
    widget.slices.setChecked(True)
    ids = [f"clean-{index}" for index in range(6)]
    expected, log = widget.settings.noise().apply(stack, ids)
    qtbot.waitUntil(lambda: widget.shown.log == tuple(log), timeout=WAIT)
    np.testing.assert_array_equal(viewer.layers[PREVIEW].data, expected)
    assert "3 of 6 slices noisy" in widget.result.text()
    noisy = next(index for index, done in enumerate(log) if done.kind != "clean")
    viewer.dims.set_current_step(0, noisy)
    assert f"Slice {noisy}: <b>" in widget.result.text()


def test_closing_leaves_nothing_behind(lab, qtbot):
    viewer, widget = lab
    viewer.window.remove_dock_widget(widget)
    layers = list(viewer.layers)
    assert PREVIEW not in viewer.layers

    def listeners():
        groups = [viewer.layers.events, viewer.dims.events, *(layer.events for layer in layers)]
        return [len(group[name].callbacks) for group in groups for name in group.emitters]

    before = listeners()
    for _ in range(3):
        _, again = dock(viewer, qtbot)
        viewer.window.remove_dock_widget(again)
    assert listeners() == before and list(viewer.layers) == layers


def test_an_empty_window_says_what_to_do(viewer, qtbot):
    widget = NoiseLabWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise lab")
    qtbot.waitUntil(lambda: "Choose a mask" in widget.message.text())
    assert not widget.keep.isEnabled()
