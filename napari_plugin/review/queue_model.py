"""The queue as a list for Qt: picture, name, kind of error, score, and what was decided."""

from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QSize, Qt
from qtpy.QtGui import QColor

from keras_robust.review import QueueFilter, QueueItem, ReviewSession
from napari_plugin.review.thumbnails import SIDE, Thumbnails

__all__ = ["MARKS", "QueueModel"]

MARKS = {
    "undecided": "·",
    "accept": "✓",
    "repair": "✎",
    "reject": "✕",
    "ask an expert": "?",
    "changed": "⚠",
}


class QueueModel(QAbstractListModel):
    """The cases that a session shows; pictures are read when a row comes into view.

    Args:
        session: The session.
    """

    def __init__(self, session: ReviewSession):
        super().__init__()
        self.session = session
        self.unsaved: set[str] = set()
        self._rows: dict[str, int] = {}
        self._thumbnails = Thumbnails(session.dataset, self.update_row)
        self._number()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.session.queue)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.session.queue):
            return None
        item = self.session.queue[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{item.id}\n{self._describe(item)}"
        if role == Qt.ItemDataRole.DecorationRole:
            return self._thumbnails.get(item.case) or QColor(128, 128, 128, 60)
        if role == Qt.ItemDataRole.ToolTipRole:
            comment = self.session.comment(item.id)
            by = f"\nmask by {item.annotator}" if item.annotator else "\nno mask"
            return f"{item.id}{by}\n{self._describe(item)}" + (f"\n“{comment}”" if comment else "")
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{item.id}, {self._describe(item)}"
        if role == Qt.ItemDataRole.SizeHintRole:
            return QSize(120, SIDE + 4)
        return None

    def filter(self, condition: QueueFilter) -> None:
        """Show the cases that fit."""
        self.beginResetModel()
        self.session.filter(condition)
        self._number()
        self.endResetModel()

    def row(self, id: str | None) -> int:
        """The row of a case, -1 where it is not shown."""
        return -1 if id is None else self._rows.get(id, -1)

    def update_row(self, id: str) -> None:
        """Something about a case is new."""
        row = self.row(id)
        if row >= 0:
            index = self.index(row)
            self.dataChanged.emit(index, index)

    def update_all(self) -> None:
        """Something about many cases is new."""
        if self.rowCount():
            self.dataChanged.emit(self.index(0), self.index(self.rowCount() - 1))

    def stop(self) -> None:
        """Read no more pictures."""
        self._thumbnails.stop()

    def _number(self) -> None:
        self._rows = {item.id: row for row, item in enumerate(self.session.queue)}

    def _describe(self, item: QueueItem) -> str:
        status = self.session.status(item.id)
        told = "not saved" if item.id in self.unsaved else status
        parts = [f"{MARKS[status]} {told}", "" if item.kind == "none" else item.kind]
        parts += [] if item.score is None else [f"{item.score:.2f}"]
        return "  ".join(filter(None, parts))
