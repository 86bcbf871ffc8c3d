"""Deciding between two readers: their masks, decisions and comments beside each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from keras_robust.review import Opinion, ReviewCase, merged
from napari_plugin.review.layers import CaseLayers
from napari_plugin.viewer.contours import draw_contour
from napari_plugin.viewer.owned_layer import OwnedLabels
from napari_plugin.viewer.style import (
    A_ONLY,
    B_ONLY,
    CASING,
    CASING_COLOUR,
    contour_colour,
    fill_legend,
)
from napari_plugin.work.child import in_words
from napari_plugin.work.serial_thread import SerialThread

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["OpinionPanel", "ThirdReader"]

COLOURS = (A_ONLY, B_ONLY)


class ThirdReader(QObject):
    """Shows what two readers hold of the case in view, and takes a mask from them.

    Args:
        viewer: Where their masks are shown.
        layers: The case in view.
        thread: Reads their masks.

    Attributes:
        told: The two opinions of the case in view, `None` where it is not in dispute.
        said: What the reviewer should know.
    """

    told = Signal(object)
    said = Signal(str)

    def __init__(self, viewer: "ViewerModel", layers: CaseLayers, thread: SerialThread):
        super().__init__()
        self._layers, self._thread = layers, thread
        self._found: Mapping[str, tuple[Opinion, Opinion]] = {}
        self._case: ReviewCase | None = None
        self._opinions: tuple[Opinion, Opinion] | None = None
        self._drawn = [OwnedLabels(viewer, {"role": "opinion"}, lambda: None) for _ in COLOURS]

    def begin(self, found: Mapping[str, tuple[Opinion, Opinion]]) -> None:
        """Decide on what is in dispute from now on; an empty mapping ends it."""
        self._found = found
        if self._case is not None:
            self.show(self._case)

    def show(self, case: ReviewCase) -> None:
        """Show the opinions of a case."""
        self._case, self._opinions = case, None
        self._clear()
        if case.id in self._found:
            found = self._found
            self._thread.ask(
                lambda: found[case.id],
                done=lambda opinions: self._show(case, opinions),
                failed=lambda error: self.said.emit(in_words(error)),
            )

    def take(self, number: int) -> None:
        """Make the mask that of a reader, as one step of undo."""
        mask = None if self._opinions is None else self._mask(self._opinions[number])
        self._put(mask)

    def merge(self) -> None:
        """Make the mask what both say; where they do not agree, the annotator's."""
        if self._opinions is None or self._case is None:
            return
        one, other = map(self._mask, self._opinions)
        both = None if one is None or other is None else merged(one, other, self._case.labels)
        self._put(both)

    def stop(self) -> None:
        """Give the viewer back."""
        self._found, self._case = {}, None
        self._clear()

    def _mask(self, opinion: Opinion) -> NDArray[np.uint8] | None:
        layer = self._layers.corrected
        fits = layer is not None and opinion.mask is not None
        return opinion.mask if fits and opinion.mask.shape == layer.data.shape else None

    def _put(self, mask: NDArray[np.uint8] | None) -> None:
        if mask is None:
            self.said.emit("A mask is missing: one of the readers holds none for right.")
        elif not self._layers.put(mask):
            self.said.emit("The mask is so already.")

    def _show(self, case: ReviewCase, opinions: tuple[Opinion, Opinion]) -> None:
        layer = self._layers.corrected
        if self._case is not case or layer is None:
            return
        self._opinions = opinions
        for opinion, colour, drawn in zip(opinions, COLOURS, self._drawn, strict=True):
            mask = self._mask(opinion)
            if mask is not None:
                colours = {0: contour_colour(colour), CASING: CASING_COLOUR}
                shown = drawn.show(
                    mask, layer, colours, name=f"{opinion.reviewer}: {opinion.decision}"
                )
                draw_contour(shown)
        self.told.emit(opinions)

    def _clear(self) -> None:
        for drawn in self._drawn:
            drawn.remove()
        self.told.emit(None)


class OpinionPanel(QWidget):
    """What two readers decided and wrote, and buttons to take a mask from them.

    Attributes:
        asked: "take first", "take second" or "merge".
    """

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        column.addWidget(self.legend)
        row = QHBoxLayout()
        self.buttons = {}
        for name, tip in (
            ("take first", "Make the mask that of the first reader; undo with Ctrl+Z"),
            ("take second", "Make the mask that of the second reader; undo with Ctrl+Z"),
            ("merge", "Keep what both say, and the annotator's where they differ"),
        ):
            button = QPushButton(name.capitalize())
            button.setToolTip(tip)
            button.setMinimumWidth(10)
            button.clicked.connect(lambda _, name=name: self.asked.emit(name))
            self.buttons[name] = button
            row.addWidget(button)
        column.addLayout(row)
        self.setVisible(False)

    def show_opinions(self, opinions: tuple[Opinion, Opinion] | None) -> None:
        """Show what two readers hold; nothing for none."""
        self.setVisible(opinions is not None)
        if opinions is None:
            return
        entries = {}
        for opinion, colour in zip(opinions, COLOURS, strict=True):
            comment = f" “{opinion.comment}”" if opinion.comment else ""
            entries[f"{opinion.reviewer}: {opinion.decision}{comment}"] = contour_colour(colour)
        fill_legend(self.legend, entries)
        for name, opinion in zip(("take first", "take second"), opinions, strict=True):
            self.buttons[name].setText(f"Take {opinion.reviewer}'s")
            self.buttons[name].setEnabled(opinion.mask is not None)
        self.buttons["merge"].setEnabled(all(o.mask is not None for o in opinions))
