"""The widget that simulates annotation errors."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QFormLayout, QGroupBox, QVBoxLayout

from keras_robust.data import Dataset
from keras_robust.noise import Corruption, LabelNoise, all_kinds, read_log
from napari_plugin.noise_lab.dataset_box import DatasetBox
from napari_plugin.noise_lab.preview import (
    Preview,
    corrupt_mask,
    corrupt_slice,
    corrupt_stack,
    replay,
    slice_ids,
)
from napari_plugin.noise_lab.settings import NoiseSettings
from napari_plugin.viewer.dock import DockWidget, button, check, row, text, timer
from napari_plugin.viewer.layers import LayerBox, LayerList, about, case_id, guess, place, role
from napari_plugin.viewer.owned_layer import OwnedLabels
from napari_plugin.viewer.painting import Painting
from napari_plugin.viewer.style import ROLE_COLOURS
from napari_plugin.work.child import in_words
from napari_plugin.work.latest import Latest

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["NoiseLabWidget"]

FOLLOW_MS = 10
PREVIEW = "preview"


class NoiseLabWidget(DockWidget):
    """Simulate annotation errors: a live preview, their effect on a dataset, and masks on disk.

    The preview is a layer of its own: masks that somebody drew are never changed.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self.shown: Preview | None = None
        self._log: tuple[Corruption, ...] | None = None
        self._preview = OwnedLabels(viewer, {"role": "noisy", PREVIEW: True}, self._on_taken)
        self._latest = Latest()
        self._follow = timer(self, FOLLOW_MS, self._update)
        self._painting = Painting(viewer, self)
        self._build()
        self._painting.changed.connect(self._on_paint)
        self.dataset_box.opened.connect(self._ask_soon)
        self._list = LayerList(viewer, self)
        self._list.changed.connect(self._update_layers)
        viewer.dims.events.current_step.connect(self._on_step)
        self._update_layers()
        self._ask_soon()  # without a mask, to say so

    def _build(self) -> None:
        column = self.column
        form = QFormLayout()
        self.mask_box = LayerBox(self.viewer, _is_mask)
        self.mask_box.setToolTip("The mask that the errors are made in; it is never changed")
        self.mask_box.setAccessibleName("Mask")
        self.mask_box.chosen.connect(self._choose)
        form.addRow("Mask", self.mask_box)
        column.addLayout(form)
        self.settings = NoiseSettings()
        self.settings.changed.connect(self._on_settings)
        column.addWidget(self.settings)
        self.live = check(
            "Preview", "Show the noisy mask as a layer that follows the controls", True
        )
        self.live.toggled.connect(self._toggle)
        self.slices = check(
            "Slice by slice",
            "The mask is a stack of images: each slice gets its own error, α counts over slices",
        )
        self.slices.toggled.connect(self._ask_soon)
        column.addLayout(row(self.live, self.slices))
        self.result = text("Result")
        self.result.show()
        self.result.setToolTip("What was asked for and what was reached in this mask")
        column.addWidget(self.result)
        self.keep = button(
            "Keep as layer", "Add the noisy mask as a layer that stays and can be painted"
        )
        self.keep.clicked.connect(lambda: self.keep_layer())
        self.replay = button(
            "Replay a log…", "Make the noisy mask again from a noise.jsonl file, to the byte"
        )
        self.replay.clicked.connect(lambda: self._ask_log())
        column.addLayout(row(self.keep, self.replay))
        group = QGroupBox("On a dataset")
        self.dataset_box = DatasetBox(self.settings.noise, self.say)
        QVBoxLayout(group).addWidget(self.dataset_box)
        column.addWidget(group)
        column.addWidget(self.message)
        column.addStretch()

    # Layers

    @property
    def layer(self) -> Labels | None:
        """The mask that the errors are made in."""
        layer = self.mask_box.layer
        return layer if isinstance(layer, Labels) else None

    def _update_layers(self) -> None:
        self.mask_box.update_layers()
        if not self.mask_box.by_hand:
            likely = guess(layer for layer in self.viewer.layers if not about(layer).get(PREVIEW))
            self.mask_box.choose(likely["reference"] or likely["noisy"] or likely["prediction"])
        self._choose()

    def _choose(self) -> None:
        layer = self.layer
        masks = [] if layer is None else [layer]
        if masks != self._painting.layers:
            self._painting.watch(masks)
            self._log = None
            self.slices.setChecked(any(about(mask).get("stack") for mask in masks))
            self._ask_soon()
            folder = about(layer).get("dataset") if layer is not None else None
            if folder and Path(folder) != self.dataset_box.path:
                self.dataset_box.open_dataset(folder)
        self.slices.setVisible(layer is not None and layer.ndim == 3)

    def _on_settings(self) -> None:
        self._log = None
        self.dataset_box.forget()
        self._ask_soon()

    def _on_paint(self, within_stroke: bool) -> None:
        layer = self.layer
        if not within_stroke or (layer is not None and layer.ndim == 2):
            self._ask_soon()

    def _on_step(self, event=None) -> None:
        if self.shown is not None and len(self.shown.log) > 1:
            self._describe(self.shown)

    # Preview

    def _on_taken(self) -> None:
        """A preview that the user takes away stays away."""
        if not self._closed:
            self.live.setChecked(False)

    def _toggle(self, live: bool) -> None:
        if not live:
            self._preview.remove()
        self._ask_soon()

    def _ask_soon(self, *_) -> None:
        if not self._follow.isActive() and not self._closed:
            self._follow.start()

    def _update(self) -> None:
        """Make the preview of what is set now."""
        layer = self.layer
        self.keep.setEnabled(False)
        self._latest.drop()
        if layer is None or not self.live.isChecked():
            self._clear("" if layer is not None else "Choose a mask. A mask is a Labels layer.")
            return
        try:
            noise = self.settings.noise()
        except ValueError as error:
            self._clear(str(error))
            return
        mask, id, ignored = np.asarray(layer.data), case_id(layer), self._ignore_label()
        by_slice = mask.ndim == 3 and self.slices.isChecked()
        ids = about(layer).get("ids") or slice_ids(mask, id) if by_slice else [id]
        work: tuple
        if self._log is not None:
            work = (replay, mask, self._log, ids, ignored)
        elif by_slice:
            self._show_slice(mask, noise, ids, ignored)
            work = (corrupt_stack, mask, noise, ids, ignored)
        else:
            work = (corrupt_mask, mask, noise, id, ignored, self._dataset_of(id))
        if mask.ndim == 3:
            self.result.setText("Simulating…")
            cancellable = work[0] is corrupt_stack
            self._latest.ask(*work, done=self._show, failed=self._fail, progress=cancellable)
            return
        try:
            self._show(work[0](*work[1:]))
        except ValueError as error:
            self._fail(error)

    def _ignore_label(self) -> int | None:
        dataset = self.dataset_box.dataset
        layer = self.layer
        if dataset is None or layer is None or about(layer).get("dataset") != str(dataset.root):
            return None
        return dataset.ignore_label

    def _dataset_of(self, id: str) -> Dataset | None:
        """The cases among which this image is corrupted, where it is one of those chosen."""
        try:
            dataset = self.dataset_box.chosen()
        except ValueError:
            return None
        return dataset if id in dataset.ids else None

    def _show_slice(
        self, stack: NDArray, noise: LabelNoise, ids: list[str], ignored: int | None
    ) -> None:
        """The slice in view at once; the others follow from the background."""
        index = self._slice_index()
        layer, before = self.layer, self._preview.layer
        try:
            found = corrupt_slice(stack, index, noise, ids, ignored)
        except ValueError:
            return  # the background says it
        fits = before is not None and before.data.shape == stack.shape
        whole = before.data if fits and before is not None else stack.copy()
        whole[index] = found.mask
        if layer is not None:
            self._put(whole, layer)

    def _slice_index(self) -> int:
        layer, dims = self.layer, self.viewer.dims
        if layer is None or layer.ndim != 3:
            return 0
        step = layer.world_to_data(dims.point[-3:])[0]
        return min(max(int(round(float(step))), 0), layer.data.shape[0] - 1)

    def _show(self, found: Preview) -> None:
        layer = self.layer
        if self._closed or layer is None:
            return
        self.shown = found
        self._put(found.mask, layer)
        self.keep.setEnabled(True)
        self._describe(found)
        self.say("")

    def _put(self, labels: NDArray, layer: Labels) -> None:
        colour = ROLE_COLOURS["noisy"]
        notes = {key: value for key, value in about(layer).items() if key != "role"}
        self._preview.show(
            labels,
            layer,
            {0: colour},
            notes=notes | {"role": "noisy", PREVIEW: True, "annotator": PREVIEW},
            name="noisy preview",
            opacity=0.7,
        )
        if self._preview.layer is not None and self._preview.layer.contour == 0:
            self._preview.layer.contour = max(1, round(max(labels.shape[-2:]) / 300))

    def _describe(self, found: Preview) -> None:
        noisy = [done for done in found.log if done.kind != "clean"]
        one = found.log[0]
        lines = []
        if len(found.log) > 1:
            index = self._slice_index()
            one = found.log[min(index, len(found.log) - 1)]
            dice = f", mean Dice {np.mean([done.dice for done in noisy]):.3f}" if noisy else ""
            lines.append(f"{len(noisy)} of {len(found.log)} slices noisy{dice}.")
            lines.append(f"Slice {index}: {_in_words(one)}")
        else:
            lines.append(_in_words(one))
        if self._log is not None:
            lines.insert(0, "Replayed from the log.")
        elif len(found.log) == 1:
            lines.append(self._fate(one.id))
        self.result.setText("<br>".join(line for line in lines if line))

    def _fate(self, id: str) -> str:
        """Whether this image is among those that are corrupted in the dataset."""
        noise, dataset = self.settings.noise(), self._dataset_of(id)
        if dataset is None:
            return ""
        plan = noise.plan(dataset.ids)
        fate = "left clean" if plan[id] == "clean" else "made noisy"
        return f"In the dataset, at α = {noise.alpha:g}, this image is {fate}."

    def _clear(self, text: str) -> None:
        self.shown = None
        self._preview.remove()
        self.result.setText("")
        self.say(text)

    def _fail(self, error: Exception) -> None:
        self._clear(in_words(error))

    def keep_layer(self) -> None:
        """Add what the preview shows as an ordinary layer."""
        layer = self.layer
        if self.shown is None or layer is None:
            return
        name = f"{layer.name} {self.shown.log[0].kind if len(self.shown.log) == 1 else 'noisy'}"
        notes = {**about(layer), "role": "noisy", "annotator": name}
        self.viewer.add_labels(
            self.shown.mask.copy(),
            name=name,
            metadata={"keras_robust": notes},
            opacity=layer.opacity,
            **place(layer),
        )

    def _ask_log(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Replay a log", "", "Noise logs (*.jsonl);;All files (*)"
        )
        if path:
            self.replay_log(path)

    def replay_log(self, path: str | Path) -> None:
        """Show what a log says of this mask, until a control is moved."""
        try:
            self._log = tuple(read_log(path))
        except (OSError, ValueError) as error:
            self.say(in_words(error))
            return
        self.live.setChecked(True)
        self._ask_soon()

    # The end

    def give_back(self) -> None:
        """The preview goes, nothing listens any more."""
        self._follow.stop()
        self._latest.drop()
        self.dataset_box.stop()
        self._painting.watch([])
        self._list.stop()
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        self._preview.remove()


def _is_mask(layer: Layer) -> bool:
    own = role(layer) == "difference" or about(layer).get(PREVIEW)
    return isinstance(layer, Labels) and not layer.multiscale and not own


def _in_words(done: Corruption) -> str:
    if done.kind == "clean":
        return "left clean"
    reached = f"asked β = {done.asked:.2f}, reached {done.reached:.2f}, Dice {done.dice:.3f}"
    note = f"<br>{done.note}" if done.note else ""
    titles = {kind.name: kind.title for kind in all_kinds()}
    name = titles.get(done.kind, done.kind.capitalize())
    return f"<b>{name}</b> ({done.kind}): {reached}{note}"
