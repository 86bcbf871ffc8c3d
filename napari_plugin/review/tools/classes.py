"""The classes of a dataset as a list: name, colour, key and lock."""

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from keras_robust.data import Dataset
from napari_plugin.review.keys import CLASS_KEYS
from napari_plugin.viewer.style import IGNORED_COLOUR, ROLE_COLOURS, class_colours

__all__ = ["ClassList", "PaintClass", "paint_classes"]

ROWS = 6  # shown without scrolling


@dataclass(frozen=True)
class PaintClass:
    """A class that can be painted.

    Attributes:
        label: Its number in a mask.
        name: As the dataset has it.
        colour: Of what is painted, such as "#0072B2".
    """

    label: int
    name: str
    colour: str


def paint_classes(
    classes: int, names: Sequence[str] = (), ignore_label: int | None = None
) -> tuple[PaintClass, ...]:
    """The classes that can be painted, without the background.

    Args:
        classes: Number of classes, background included.
        names: Of the classes, background first; "" or missing for one without.
        ignore_label: A further label, of what is not judged.

    >>> [c.name for c in paint_classes(3, ("background", "liver", ""))]
    ['liver', 'class 2']
    """
    colours = class_colours(classes - 1) if classes > 2 else (ROLE_COLOURS["corrected"],)
    found = [
        PaintClass(label, names[label : label + 1][0] if names[label : label + 1] else "", colour)
        for label, colour in enumerate(colours, start=1)
    ]
    if ignore_label is not None and ignore_label >= classes:
        found.append(PaintClass(ignore_label, "not judged", IGNORED_COLOUR))
    return tuple(PaintClass(c.label, c.name or f"class {c.label}", c.colour) for c in found)


def of_dataset(dataset: Dataset) -> tuple[PaintClass, ...]:
    """The classes of a dataset that can be painted."""
    return paint_classes(dataset.classes, dataset.class_names, dataset.ignore_label)


class ClassList(QTableWidget):
    """Chooses what is painted, and what nothing is painted over.

    Attributes:
        chosen: The label to paint.
        locked: Labels that stay as they are.
    """

    chosen = Signal(int)
    locked = Signal(object)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self._classes: tuple[PaintClass, ...] = ()
        self.horizontalHeader().hide()
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Classes")
        self.setToolTip(
            "The class to paint, and its key. Tick “lock” to keep a class as it is: nothing is "
            "painted over it"
        )
        # Unlike those of napari's themes, seen on each of them.
        self.setStyleSheet(
            "QTableView::indicator {width: 11px; height: 11px; background: white; "
            "border: 1px solid #444} QTableView::indicator:checked {background: #D55E00}"
        )
        self.currentCellChanged.connect(lambda row, *_: self._choose(row))
        self.itemChanged.connect(self._on_lock)

    def offer(self, classes: Sequence[PaintClass]) -> None:
        """List classes, none of them locked; the first is chosen."""
        self._classes = tuple(classes)
        with QSignalBlocker(self):
            self.setRowCount(len(classes))
            for row, one in enumerate(classes):
                swatch = QPixmap(14, 14)
                swatch.fill(QColor(one.colour))
                name = QTableWidgetItem(QIcon(swatch), one.name)
                key = QTableWidgetItem(CLASS_KEYS[row] if row < len(CLASS_KEYS) else "")
                lock = QTableWidgetItem("lock")
                lock.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
                lock.setCheckState(Qt.CheckState.Unchecked)
                for column, item in enumerate((name, key, lock)):
                    self.setItem(row, column, item)
            self.setCurrentCell(0, 0)
        self.setFixedHeight(24 * min(max(1, len(classes)), ROWS) + 2 * self.frameWidth())

    def select(self, label: int) -> None:
        """Mark a class as that which is painted."""
        for row, one in enumerate(self._classes):
            if one.label == label:
                with QSignalBlocker(self):
                    self.setCurrentCell(row, 0)

    def choose(self, row: int) -> None:
        """Choose the class of a row, if there is one."""
        if row < len(self._classes):
            self.select(self._classes[row].label)
            self._choose(row)

    def toggle_lock(self) -> None:
        """Lock the class that is painted, or unlock it."""
        item = self.item(self.currentRow(), 2)
        if item is not None:
            on = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if on else Qt.CheckState.Checked)

    def _on_lock(self, item: QTableWidgetItem) -> None:
        with QSignalBlocker(self):
            item.setText("locked" if item.checkState() == Qt.CheckState.Checked else "lock")
        self.locked.emit(self._locked())

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._classes):
            self.chosen.emit(self._classes[row].label)

    def _locked(self) -> frozenset[int]:
        ticked = Qt.CheckState.Checked
        return frozenset(
            one.label
            for row, one in enumerate(self._classes)
            if self.item(row, 2) is not None and self.item(row, 2).checkState() == ticked
        )
