"""The widget that compares masks."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QRadioButton,
)

from napari_plugin.compare.blink import Blink, free_key
from napari_plugin.compare.contours import Contours
from napari_plugin.compare.export import ExportButton
from napari_plugin.compare.measures import Comparer
from napari_plugin.compare.pair import Found, find, read_pair
from napari_plugin.compare.side_by_side import PANEL, SideBySide, camera_of, grid_of
from napari_plugin.compare.table import MeasureTable
from napari_plugin.compare.tallies import TallyLegend, colours
from napari_plugin.viewer.dock import DockWidget, button, check, row, timer
from napari_plugin.viewer.keys import WindowKeys
from napari_plugin.viewer.layers import LayerBox, LayerList, about, guess, role
from napari_plugin.viewer.owned_layer import OwnedLabels
from napari_plugin.viewer.painting import Painting
from napari_plugin.viewer.style import ROLE_COLOURS, preference
from napari_plugin.work.latest import Latest

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["CompareWidget"]

ROLES = {
    "image": ("Image", "The image below the masks"),
    "reference": ("Reference", "The mask that the others are measured against"),
    "noisy": ("Noisy", "A mask that may be wrong"),
    "prediction": ("Predicted", "The mask that a model predicts"),
}
PAIRS = (("reference", "noisy"), ("reference", "prediction"), ("noisy", "prediction"))
FOLLOW_MS = 30  # painting sends many events; the table follows at this pace
BLINK_MS = 600


class CompareWidget(DockWidget):
    """Compare masks: contours, difference, side by side, blinking, and measures per class.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self.found: Found | None = None
        self._contours, self._blink = Contours(), Blink()
        self._difference = OwnedLabels(viewer, {"role": "difference"}, self._on_taken)
        self._side_by_side = SideBySide(viewer)
        self._comparer, self._latest = Comparer(), Latest()
        self._hidden_before: list[Labels] = []
        self._follow = timer(self, FOLLOW_MS, self._compare)
        # Views that change again before they were drawn keep no size; so once, after all changes.
        self._arrange = timer(self, 100, self._lay_out)
        self._fit = timer(self, 100, self._fit_view)
        self._blinker = timer(self, BLINK_MS, self._swap, again=True)
        self._build()
        self._painting = Painting(viewer, self)
        self._painting.changed.connect(self._on_paint)
        self._list = LayerList(viewer, self)
        self._list.changed.connect(self._update_layers)
        viewer.dims.events.connect(self._on_dims)
        grid_of(viewer).events.enabled.connect(self._on_grid)
        self._bind_key()
        self._update_layers()

    def _build(self) -> None:
        column = self.column
        form = QFormLayout()
        self.boxes: dict[str, LayerBox] = {}
        for name, (title, tip) in ROLES.items():
            box = LayerBox(self.viewer, _is_image if name == "image" else _is_mask)
            box.setToolTip(tip)
            box.setAccessibleName(title)
            box.chosen.connect(self._choose)
            self.boxes[name] = box
            colour = ROLE_COLOURS.get(name)
            square = f'<span style="color:{colour}; font-size:large">■</span> ' if colour else ""
            form.addRow(QLabel(square + title), box)
        self.pair = QComboBox()
        self.pair.setToolTip("The two masks, A and B, of the difference and the table")
        for a, b in PAIRS:
            self.pair.addItem(f"A {ROLES[a][0].lower()}, B {ROLES[b][0].lower()}", (a, b))
        self.pair.activated.connect(self._choose)
        form.addRow("Compare", self.pair)
        column.addLayout(form)
        self.contours = check("Contours", "Draw the masks as contours in the colours above", True)
        self.difference = check(
            "Difference", "A layer that shows where A and B agree, and where only one of them is"
        )
        self.side_by_side = check(
            "Side by side", "One view per mask, zoomed and moved together (napari's grid)"
        )
        self.contours.toggled.connect(self._toggle_contours)
        self.difference.toggled.connect(self._ask_soon)
        self.side_by_side.toggled.connect(lambda: self._arrange.start())
        column.addLayout(row(self.contours, self.difference, self.side_by_side))

        self.which = QButtonGroup(self)
        for name in ("both", "A", "B"):
            choice = QRadioButton(name, self)
            choice.setChecked(name == "both")
            choice.setToolTip(f"Show {'both masks' if name == 'both' else f'mask {name} alone'}")
            self.which.addButton(choice)
        self.which.buttonClicked.connect(lambda choice: self.show_mask(choice.text()))
        self.blink = button("Blink", "")
        self.blink.setCheckable(True)
        self.blink.toggled.connect(self._run_blink)
        column.addLayout(row(QLabel("Show"), *self.which.buttons(), self.blink))

        self.legend = TallyLegend()
        column.addWidget(self.legend)
        self.tolerance = QDoubleSpinBox()
        self.tolerance.setRange(0, 1000)
        self.tolerance.setSingleStep(0.5)
        self.tolerance.setValue(float(preference("compare", "tolerance", 2.0)))
        self.tolerance.setToolTip("Surfaces this close count as one in the surface Dice")
        self.tolerance.valueChanged.connect(self._ask_soon)
        self.this_slice = check("This slice only", "Compare the slice in view, not the volume")
        self.this_slice.toggled.connect(self._ask_soon)
        column.addLayout(row(QLabel("Tolerance"), self.tolerance, self.this_slice))
        self.table = MeasureTable()
        column.addWidget(self.table)
        column.addWidget(self.message)
        self.export = ExportButton(self.say)
        column.addWidget(self.export)
        column.addStretch()

    def _bind_key(self) -> None:
        self.key = free_key(self.viewer)
        self._keys = WindowKeys(self.viewer, self, {self.key: self._press} if self.key else {})
        hint = f" (press {self.key} to swap them by hand)" if self.key else ""
        self.blink.setToolTip(f"Show A and B in turn{hint}")
        self.blink.setText(f"Blink ({self.key})" if self.key else "Blink")

    # Layers

    @property
    def layers(self) -> tuple[Labels | None, Labels | None]:
        """The masks A and B."""
        a, b = self.pair.currentData()
        return self.boxes[a].layer, self.boxes[b].layer

    def _masks(self) -> dict[str, Labels]:
        chosen = {name: box.layer for name, box in self.boxes.items() if name != "image"}
        known: dict[str, Labels] = {}
        for name, layer in chosen.items():
            if layer is not None and layer not in known.values():
                known[name] = layer
        return known

    def _update_layers(self) -> None:
        for box in self.boxes.values():
            box.update_layers()
        likely = guess(
            layer for layer in self.viewer.layers if role(layer) not in (PANEL, "difference")
        )
        for name, box in self.boxes.items():
            if not box.by_hand:
                box.choose(likely[name])
        a, b = self.layers
        if a is None or b is None:
            both = {name for name, box in self.boxes.items() if box.layer is not None}
            index = next((i for i, pair in enumerate(PAIRS) if set(pair) <= both), 0)
            self.pair.setCurrentIndex(index)
        self._choose()

    def _choose(self, *_) -> None:
        """Follow the layers that are chosen now."""
        masks = list(dict.fromkeys(layer for layer in self.layers if layer is not None))
        if masks != self._painting.layers:
            self._painting.watch(masks)
            self.this_slice.setChecked(any(about(layer).get("stack") for layer in masks))
            self._blink_off()
            for layer in masks:
                self._hidden_before += [] if layer.visible else [layer]
                layer.visible = True
        volume = any(layer.ndim == 3 for layer in masks)
        self.this_slice.setVisible(volume)
        self._draw_contours()
        if self.side_by_side.isChecked():
            self._arrange.start()
        self._ask_soon()

    def _on_paint(self, within_stroke: bool) -> None:
        if self._is_quick() or not within_stroke:
            self._ask_soon()

    def _on_dims(self, event=None) -> None:
        if self.this_slice.isChecked() and any(layer.ndim == 3 for layer in self._painting.layers):
            self._ask_soon()

    def _is_quick(self) -> bool:
        flat = all(layer.ndim == 2 for layer in self._painting.layers)
        return flat or self.this_slice.isChecked()

    def _on_taken(self) -> None:
        """A difference that the user takes away stays away."""
        if not self._closed:
            self.difference.setChecked(False)

    # What is compared

    def _ask_soon(self, *_) -> None:
        if not self._follow.isActive() and not self._closed:
            self._follow.start()

    def _compare(self) -> None:
        try:
            pair = read_pair(*self.layers, self.viewer.dims, self.this_slice.isChecked())
        except ValueError as error:
            self._latest.drop()
            self._show_failure(error)
            return
        self.tolerance.setSuffix(f" {pair.spacing.unit}")
        arguments = (pair, self.tolerance.value(), self._comparer)
        if pair.a.ndim == 3:
            self.say("Measuring…")
            self._latest.ask(find, *arguments, done=self._show, failed=self._show_failure)
            return
        self._latest.drop()
        try:
            self._show(find(*arguments))
        except ValueError as error:
            self._show_failure(error)

    def _show(self, found: Found) -> None:
        if self._closed:
            return
        self.found = found
        self.table.describe(found.spacing.unit, found.ndim, found.tolerance)
        self.table.show_rows(found.rows, found.class_names)
        by_code = colours(*(ROLE_COLOURS[name] for name in self.pair.currentData()))
        self.legend.show_tallies(found.tallies, by_code, found.spacing.unit, found.ndim)
        self.export.offer(found, *self.layers)
        self.say("" if found.rows else "Both masks are empty.")
        like = self.layers[0]
        if self.difference.isChecked() and like is not None:
            below = like.contour > 0  # filled masks would hide it
            self._difference.show(
                found.codes, like, by_code, below=below, name="difference", opacity=0.6
            )
        else:
            self._difference.remove()

    def _show_failure(self, error: Exception) -> None:
        self.found = None
        self.table.show_rows([])
        self.legend.show_tallies([], {})
        self.export.offer(None)
        self._difference.remove()
        self.say(str(error))

    # How it is shown

    def _draw_contours(self, *_) -> None:
        if self.contours.isChecked():
            self._contours.show(
                {layer: ROLE_COLOURS[name] for name, layer in self._masks().items()}
            )
        else:
            self._contours.restore()

    def _toggle_contours(self, *_) -> None:
        self._draw_contours()
        self._difference.remove()  # and again in its place, below contours or above masks
        self._ask_soon()

    def _lay_out(self) -> None:
        self._blink_off()
        masks: list[Layer] = list(self._masks().values())
        image = self.boxes["image"].layer
        few = len(masks) < 2
        if self._difference.layer is not None:
            masks.append(self._difference.layer)
        members = [layer for layer in (image, *masks) if layer is not None]
        if not self.side_by_side.isChecked():
            if self._side_by_side.shown:
                self._side_by_side.leave()
                self._fit.start()
        elif few:
            self.side_by_side.setChecked(False)
            self.say("Choose two masks or more to show them side by side.")
        elif not self._side_by_side.shown or self._side_by_side.members != members:
            self._side_by_side.show(image, masks)
            self._fit.start()

    def _fit_view(self) -> None:
        # New views take the zoom over when it changes, not when they are made.
        camera_of(self.viewer).zoom *= 1.01
        self.viewer.reset_view()

    def _on_grid(self, event=None) -> None:
        if self._side_by_side.shown and not grid_of(self.viewer).enabled:
            self.side_by_side.setChecked(False)

    def show_mask(self, which: str) -> None:
        """Show mask "A", mask "B", or "both"."""
        a, b = self.layers
        if a is None or b is None or a is b:
            self._blink_off()
            self.say("Choose two masks to show in turn.")
            return
        self._blink.show(which, a, b)
        for choice in self.which.buttons():
            choice.setChecked(choice.text() == which)

    def _swap(self) -> None:
        self.show_mask("B" if self._blink.shown == "A" else "A")

    def _press(self) -> None:
        self.blink.setChecked(False)
        self._swap()

    def _run_blink(self, run: bool) -> None:
        if run:
            self._blinker.start()
            self._swap()
        else:
            self._blinker.stop()

    def _blink_off(self) -> None:
        self.blink.setChecked(False)
        self._blink.restore()
        for choice in self.which.buttons():
            choice.setChecked(choice.text() == "both")

    def export_csv(self, path: str | Path) -> None:
        """Write the table to a file; what goes wrong is said in the widget."""
        self.export.write(path)

    def give_back(self) -> None:
        """Looks, visibility, layers, key and events are as they were."""
        for pending in (self._follow, self._arrange, self._fit, self._blinker):
            pending.stop()
        self._latest.drop()
        self._painting.watch([])
        self._list.stop()
        self.viewer.dims.events.disconnect(self._on_dims)
        grid_of(self.viewer).events.enabled.disconnect(self._on_grid)
        self._keys.release()
        self._blink.restore()
        self._side_by_side.leave()
        self._difference.remove()
        self._contours.restore()
        for layer in self._hidden_before:
            layer.visible = False


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, Image) and role(layer) != PANEL


def _is_mask(layer: Layer) -> bool:
    return isinstance(layer, Labels) and role(layer) != "difference"
