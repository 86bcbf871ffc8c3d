"""The layers of the case under review, filled anew for every case."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from keras_robust.review import ReviewCase
from napari_plugin.review.keys import UNDO
from napari_plugin.review.prepared import Fullest, Prepared, prepare
from napari_plugin.review.tools.brush_size import BrushSize
from napari_plugin.review.tools.classes import PaintClass, paint_classes
from napari_plugin.review.tools.guard import Guard
from napari_plugin.viewer.anatomy import camera, follow
from napari_plugin.viewer.case_layers import labels_layer, warm_up
from napari_plugin.viewer.contours import draw_contour, drop_contour
from napari_plugin.viewer.dock import timer
from napari_plugin.viewer.kept_layers import KeptLayers
from napari_plugin.viewer.style import IGNORED_COLOUR, ROLE_COLOURS, contour_colour, label_colormap
from napari_plugin.viewer.windows import KeptWindow

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["BRUSH", "CaseLayers"]

# What the brush paints before the suggestion takes its place: the first that is no label.
BRUSHES = (254, 253, 255)
BRUSH = BRUSHES[0]
# Contours above what is painted, so that both are seen.
ORDER = ("image", "corrected", "original", "suggestion")


class CaseLayers(QObject):
    """Image, the annotator's contour, the suggested contour, and the mask to paint on.

    Layers are kept from case to case; their data is replaced, and with it the history of undo.

    Args:
        viewer: Where the layers are.
        reviewer: Names the layer to paint on.
        classes: Number of classes, background included.
        ignore_label: A further label of the dataset.
        names: Of the classes, background first.

    Attributes:
        fullest: The slice of the case that had most of the mask when it was shown.
        chosen: Another class is painted from now on: its label.
        painted: The mask was painted on, undone, or set.
        leaving: The layer to paint on is about to be taken out of the viewer, not by this object.
        said: What the reviewer should know.
        nothing_to_undo: Undo was asked for where nothing is painted.
        stroked: Where a stroke of the smart brush went, as indices.
    """

    painted = Signal()
    leaving = Signal()
    nothing_to_undo = Signal()
    said = Signal(str)
    chosen = Signal(int)
    stroked = Signal(object)

    def __init__(
        self,
        viewer: "ViewerModel",
        reviewer: str,
        classes: int,
        ignore_label: int | None = None,
        names: Sequence[str] = (),
    ):
        super().__init__()
        warm_up()
        self.viewer, self.reviewer = viewer, reviewer
        self.classes: tuple[PaintClass, ...] = paint_classes(classes, names, ignore_label)
        self._label = 1  # chosen last, of those that the dataset has
        self._stroke = next(n for n in BRUSHES if n != ignore_label and n >= classes)
        self.guard = Guard({0, self._stroke, *(one.label for one in self.classes)})
        self.guard.refused.connect(self._refuse)
        self.suggestion: NDArray[np.uint8] | None = None
        self.fullest: Fullest | None = None
        self._kept = KeptLayers(viewer, ORDER, self._made, self._left)
        self._layers = self._kept.layers
        self._loading = False
        self._window = KeptWindow()
        self._brushing: int | None = None
        self._smart = False
        self._strokes = False  # whether some may be in the mask
        self._fitted: tuple[float, ...] | None = None
        self._soon = timer(self, 0, self.finish_stroke)
        self._brush_size = BrushSize(viewer, lambda: self.corrected)
        viewer.layers.events.removing.connect(self._on_removing)

    # Layers

    @property
    def corrected(self) -> Labels | None:
        """The layer to paint on, while it is in the viewer."""
        layer = self._get("corrected")
        return layer if isinstance(layer, Labels) else None

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """`(*spatial)`, a copy of what is painted, also in the middle of a stroke; else `None`."""
        layer = self.corrected
        if layer is None:
            return None
        labels = np.array(layer.data, np.uint8)
        if not self._strokes:
            return labels
        where = labels == self._stroke
        if self._smart:
            labels[where] = self.label
        else:
            labels[where] = 0 if self.suggestion is None else self.suggestion[where]
        return labels

    @property
    def is_volume(self) -> bool:
        """Whether the case in view has slices."""
        layer = self.corrected
        return layer is not None and layer.ndim > 2

    def is_painted(self, before: NDArray[np.uint8] | None) -> bool:
        """Whether the mask is another than `before`, `(*spatial)`; `None` for no mask."""
        layer = self.corrected
        now = self.labels if self._strokes or layer is None else layer.data
        return before is None or now is None or not np.array_equal(before, now)

    def show(
        self, case: ReviewCase, notes: dict[str, Any], prepared: Prepared | None = None
    ) -> None:
        """Show a case; what was shown before is gone, and its history of undo too."""
        prepared = prepare(case, notes) if prepared is None else prepared
        start = case.start
        if start is None:
            start = np.zeros((64, 64), np.uint8)
        nothing = np.zeros(start.shape, np.uint8)
        self.suggestion = case.suggestion
        self.fullest = prepared.fullest
        mode = self.corrected.mode if self.corrected is not None else None
        old = self._get("corrected")
        new_grid = old is None or old.data.shape != start.shape
        by = notes | {"annotator": case.annotator}
        self._loading = True
        try:
            for name in ("original", "suggestion"):
                shown = self._get(name)
                if isinstance(shown, Labels):
                    drop_contour(shown)
            self._put_image(prepared)
            self._kept.put("original", self._mask(case.labels, nothing, "reference", by))
            self._kept.put("suggestion", self._mask(case.suggestion, nothing, "prediction", notes))
            own = notes | {"annotator": self.reviewer, "role": "corrected"}
            self._kept.put("corrected", labels_layer(start, "corrected", own))
            self._layers["original"].name = f"mask ({case.annotator})"
            self._layers["suggestion"].name = "suggestion"
            for name in ("original", "suggestion"):
                drawn = prepared.outlines.get(name)
                draw_contour(self._layers[name], name == "suggestion", drawn)
                self._layers[name].opacity = 1.0
                self._layers[name].editable = False
            layer = self._layers["corrected"]
            layer.name = f"{self.reviewer} (paint here)"
            layer.colormap = self._colours()
            layer.opacity = 0.35
            # As napari says: the history of undo goes when a layer is not editable.
            layer.editable = False
            layer.editable = True
            self._kept.sort()
            self.viewer.layers.selection = {layer}
            self.viewer.layers.selection.active = layer
            layer.mode = "paint" if mode is None else mode
            if self._brushing is not None:
                layer.selected_label = self._stroke
        finally:
            self._loading = False
        follow(self.viewer).update()
        if new_grid:
            self.fit()
        self._brush_size.fit(prepared.fullest.area)

    def fit(self) -> None:
        """Show the whole image."""
        self.viewer.reset_view()
        self._fitted = self._view()

    @property
    def zoom_of_all(self) -> float | None:
        """The zoom at which the whole image is seen; `None` before any is."""
        return None if self._fitted is None else self._fitted[0]

    def refit(self) -> None:
        """Show the whole image in a window of another size, unless the reviewer has zoomed in."""
        if self._fitted is not None and self._fitted == self._view():
            self.fit()

    def _view(self) -> tuple[float, ...]:
        return (float(camera(self.viewer).zoom), *map(float, camera(self.viewer).center))

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._soon.stop()
        self._brush_size.stop()
        self.viewer.layers.events.removing.disconnect(self._on_removing)
        self._kept.remove()

    @property
    def has_windows(self) -> bool:
        """Whether the image is a CT, which `next_window` shows by the names of `CT_WINDOWS`."""
        return self._window.ct

    def next_window(self) -> str:
        """Show the image in the window of CT that follows that in use; return its name."""
        layer = self._get("image")
        return self._window.next(layer) if isinstance(layer, Image) else ""

    def ghost(self, visible: bool) -> None:
        """Show or hide the suggestion."""
        layer = self._get("suggestion")
        if layer is not None and layer.visible != visible:
            layer.visible = visible

    # Changes, all of which can be undone

    def take_suggestion(self) -> bool:
        """Copy the whole suggestion; false where there is none."""
        return self.suggestion is not None and self.put(self.suggestion)

    def suggest(self, labels: NDArray[np.uint8], drawn: NDArray[np.uint8] | None) -> None:
        """Suggest another mask, `(*spatial)`, for the case in view.

        Args:
            labels: The mask.
            drawn: Its `outline`, of a picture.
        """
        self.finish_stroke()
        self.suggestion = labels
        layer = self._get("suggestion")
        if isinstance(layer, Labels):
            drop_contour(layer)
            notes = dict(layer.metadata["keras_robust"])
            self._kept.put("suggestion", self._mask(labels, labels, "prediction", notes))
            draw_contour(layer, True, drawn)

    def put(self, labels: NDArray) -> bool:
        """Make the mask `labels`, as one step of undo; false where it is so already."""
        self.finish_stroke()
        layer = self.corrected
        if layer is None or layer.data.shape != labels.shape:
            return False
        where = np.nonzero(layer.data != labels)
        if not where[0].size:
            return False
        layer.data_setitem(where, labels[where])
        self.painted.emit()
        return True

    def undo(self) -> None:
        """Take back one step of painting, as napari does, or tell that there is none."""
        self.finish_stroke()
        layer = self.corrected
        if layer is not None and layer._undo_history:
            layer.undo()
        else:
            self.nothing_to_undo.emit()

    @property
    def label(self) -> int:
        """The class that is painted."""
        chosen = self._label if self._brushing is None else self._brushing
        return chosen or self.classes[0].label

    @property
    def brushing(self) -> str:
        """What strokes stand for: "suggestion", "smart", or "" where they paint a class."""
        return "" if self._brushing is None else "smart" if self._smart else "suggestion"

    @property
    def contrast(self) -> tuple[float, float] | None:
        """The window of grey values in use; `None` without an image."""
        layer = self._get("image")
        return None if layer is None else (layer.contrast_limits[0], layer.contrast_limits[1])

    def brush(self, on: bool, smart: bool = False) -> bool:
        """Let napari's brush copy the suggestion where it goes; false where there is none.

        Args:
            on: Whether it does.
            smart: Tell by `stroked` where it went instead.
        """
        layer = self.corrected
        if layer is None or (on and not smart and self.suggestion is None):
            on, possible = False, False
        else:
            possible = True
        if on and self._brushing is not None and smart != self._smart:
            self.brush(False)
        self._smart = smart if on else self._smart
        if layer is not None and on and self._brushing is None:
            self._brushing, self._strokes = int(layer.selected_label), True
            layer.preserve_labels = False
            layer.selected_label = self._stroke
            layer.mode = "paint"
        elif not on and self._brushing is not None:
            before, self._brushing = self._brushing, None
            if layer is not None:
                self.finish_stroke()
                layer.selected_label = before
        return possible

    def finish_stroke(self) -> None:
        """Put the suggestion in the place of what the brush has painted, once it is lifted."""
        layer = self.corrected
        if not self._strokes or layer is None or layer._block_history or self._loading:
            return
        self._strokes = self._brushing is not None
        where = np.nonzero(layer.data == self._stroke)
        if not where[0].size:
            return
        self._loading = True
        try:
            # Strokes go from the history, so that the copy is one step and they are none.
            while (layer.data == self._stroke).any() and layer._undo_history:
                layer.undo()
            layer._redo_history.clear()
            if self.suggestion is not None and not self._smart:
                layer.data_setitem(where, self.suggestion[where])
        finally:
            self._loading = False
        self.painted.emit()
        if self._smart:
            self.stroked.emit(where)

    # Inside

    def choose(self, label: int) -> None:
        """Paint a class from now on."""
        layer = self.corrected
        self._label = label
        if self._brushing is not None:
            self._brushing = label  # after the brush that copies the suggestion
        elif layer is not None:
            layer.selected_label = label

    def _on_label(self, event: Any) -> None:
        """Labels that the dataset does not have cannot be chosen, by whatever key or button."""
        layer, label = event.source, int(event.source.selected_label)
        if label in (0, *(one.label for one in self.classes)):
            self._label = label
            self.chosen.emit(label)
        elif label != self._stroke:
            layer.selected_label = self._label
            self._refuse(label)

    def _refuse(self, label: int) -> None:
        names = {one.label: one.name for one in self.classes}
        if label in names:
            self.said.emit(f"“{names[label]}” is locked: untick its lock to change it.")
        else:
            last = max(names)
            self.said.emit(
                f"The data set has no class {label}: its last one is {last}, “{names[last]}”."
            )

    def _on_paint(self, event: Any = None) -> None:
        if self._loading:
            return
        if event is not None and event.type == "paint":
            # A stroke is done, and napari is still writing the step of history that it tells of.
            self._soon.start()
        self.painted.emit()

    def _on_window(self, event: Any) -> None:
        if not self._loading:
            self._window.keep(event.source)

    def _on_removing(self, event: Any) -> None:
        if self.viewer.layers[event.index] == self._layers.get("corrected"):
            self.leaving.emit()

    def _get(self, name: str) -> Layer | None:
        return self._kept.get(name)

    def _mask(
        self, labels: NDArray | None, nothing: NDArray, role: str, notes: dict[str, Any]
    ) -> tuple[Any, dict[str, Any], str]:
        shown = nothing if labels is None else labels
        data, options, kind = labels_layer(shown, role, notes | {"role": role})
        colours = [ROLE_COLOURS[role]] if len(self.classes) == 1 else self._class_colours()
        return data, options | {"colormap": label_colormap(*map(contour_colour, colours))}, kind

    def _put_image(self, prepared: Prepared) -> None:
        _, options, _ = prepared.image
        self._kept.put("image", prepared.image)
        layer = self._layers["image"]
        if isinstance(layer, Image) and not options.get("rgb"):
            first = options.get("contrast_limits")
            self._window.show(layer, first, prepared.values, prepared.ct)

    def _made(self, name: str, layer: Layer) -> None:
        if name == "image":
            layer.events.contrast_limits.connect(self._on_window)
        if name == "corrected":
            layer.bind_key(UNDO, lambda _: self.undo(), overwrite=True)
            self.guard.watch(layer)
            layer.events.selected_label.connect(self._on_label)
            for event in _painting(layer):
                event.connect(self._on_paint)

    def _left(self, name: str, layer: Layer) -> None:
        if name == "corrected":
            layer.bind_key(UNDO, None)
            layer.events.selected_label.disconnect(self._on_label)
            for event in _painting(layer):
                event.disconnect(self._on_paint)

    def _class_colours(self) -> list[str]:
        """By label, from 1 on."""
        named = {one.label: one.colour for one in self.classes}
        return [named.get(label, IGNORED_COLOUR) for label in range(1, max(named) + 1)]

    def _colours(self) -> Any:
        from napari.utils import DirectLabelColormap

        table: dict[int | None, Any] = {None: IGNORED_COLOUR, 0: "transparent"}
        table |= {one.label: one.colour for one in self.classes}
        table[self._stroke] = ROLE_COLOURS["prediction"]
        return DirectLabelColormap(color_dict=table)


def _painting(layer: Layer) -> tuple[Any, ...]:
    """Events of a layer that is painted on, undone, or set."""
    return layer.events.paint, layer.events.labels_update, layer.events.set_data
