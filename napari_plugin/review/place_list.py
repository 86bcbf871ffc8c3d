"""The places where masks are probably wrong, of all cases, as a list to go from."""

from collections.abc import Iterable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.review.keys import KEYS

__all__ = ["PlaceList", "PlaceModel", "amount"]

COLUMNS = ("case", "kind", "class", "volume", "P")
MANY = 200  # rows are looked through for what a column tells
ROWS = 7  # shown without scrolling
ROW_HEIGHT = 22


def amount(place: Any, unit: str, ndim: int) -> str:
    """How large a place is, in words.

    Args:
        place: With `volume`, in mm³ or mm² or in elements.
        unit: "mm" where it is in these.
        ndim: Axes of the mask.
    """
    volume, named = float(place.volume), "px"
    if unit == "mm":
        volume, named = (volume / 1000, "ml") if ndim > 2 else (volume, "mm²")
    return f"{volume:.3g} {named}" if volume < 100 else f"{volume:.0f} {named}"


class PlaceModel(QAbstractTableModel):
    """Places by case, in the order of the queue.

    Attributes:
        rows: Ids, and the number of the place among those of its case.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, int]] = []
        self._cells: list[tuple[str, ...]] = []
        self._starts: dict[str, int] = {}

    def fill(
        self, found: Iterable[tuple[str, Sequence[Any]]], names: Sequence[str], unit: str
    ) -> None:
        """List the places of cases.

        Args:
            found: Ids and their places.
            names: Of the classes, background first.
            unit: Of a place that does not tell it.
        """
        self.beginResetModel()
        self.rows, self._cells, self._starts = [], [], {}
        for id, places in found:
            self._starts[id] = len(self.rows)
            for number, place in enumerate(places):
                self.rows.append((id, number))
                label = int(getattr(place, "label", 0))
                named = names[label] if 0 < label < len(names) and names[label] else str(label)
                wrong = getattr(place, "p_wrong", None)
                self._cells.append(
                    (
                        id,
                        place.kind,
                        named if label else "",
                        amount(place, getattr(place, "unit", unit), len(place.point)),
                        "" if wrong is None else f"{wrong:.2f}",
                    )
                )
        self.endResetModel()

    def row(self, id: str, number: int) -> int:
        """The row of a place; -1 where it is not listed."""
        row = self._starts.get(id, -1) + number
        return row if 0 <= row < len(self.rows) and self.rows[row] == (id, number) else -1

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._cells[index.row()][index.column()]
        return None

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        across = orientation == Qt.Orientation.Horizontal
        return COLUMNS[section] if across and role == Qt.ItemDataRole.DisplayRole else None


class PlaceList(QWidget):
    """All places; hidden but for its head until it is wanted.

    Args:
        beside: A button to the right of the head.

    Attributes:
        chosen: The id of a case, and the number of a place among its own.
        opened: It is shown from now on, and is to be filled.
    """

    chosen = Signal(str, int)
    opened = Signal()

    def __init__(self, beside: QWidget) -> None:
        super().__init__()
        self.model = PlaceModel()
        self.head = QPushButton("Places ▸")
        self.head.setToolTip(
            "List where masks are probably wrong, in all cases, to go there by a click. "
            f"Key: {KEYS['places']}"
        )
        self.head.setCheckable(True)
        self.head.setMinimumWidth(10)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Places")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for section, width in ((2, 62), (3, 62), (4, 40)):
            header.setSectionResizeMode(section, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(section, width)
        self.table.setVisible(False)
        self.head.toggled.connect(self._open)
        self.table.clicked.connect(lambda index: self._choose(index.row()))
        self.table.activated.connect(lambda index: self._choose(index.row()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.head, 1)
        row.addWidget(beside, 1)
        column.addLayout(row)
        column.addWidget(self.table)

    @property
    def is_open(self) -> bool:
        """Whether the places are listed."""
        return self.head.isChecked()

    def fill(
        self, found: Iterable[tuple[str, Sequence[Any]]], names: Sequence[str], unit: str
    ) -> None:
        """See `PlaceModel.fill`."""
        self.model.fill(found, names, unit)
        rows = min(ROWS, max(1, self.model.rowCount()))
        self.table.setFixedHeight((rows + 1) * ROW_HEIGHT + 8)
        shown = min(MANY, self.model.rowCount())
        for section in (2, 4):  # a column that tells nothing takes room from the others
            cells = (self.model.data(self.model.index(row, section)) for row in range(shown))
            self.table.setColumnHidden(section, not any(cells) or (section == 2 and len(names) < 3))

    def select(self, id: str | None, number: int) -> None:
        """Mark the place that is in view."""
        row = -1 if id is None else self.model.row(id, number)
        with QSignalBlocker(self.table):
            if row < 0:
                self.table.clearSelection()
            else:
                self.table.selectRow(row)

    def _open(self, on: bool) -> None:
        self.table.setVisible(on)
        self.head.setText("Places ▾" if on else "Places ▸")
        if on:
            self.opened.emit()

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self.model.rows):
            self.chosen.emit(*self.model.rows[row])
