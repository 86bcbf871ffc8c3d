"""The table of measures, one row per class."""

import math
from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from keras_robust.data.layouts.labels import class_title
from napari_plugin.compare.measures import ClassMeasures

__all__ = ["MeasureTable", "amount"]


def amount(value: float) -> str:
    """A distance, area or volume in at most five characters.

    >>> [amount(x) for x in (math.inf, 0.0, 0.1234, 12.345, 12345.6, 123456, 16777216, 4e9)]
    ['–', '0', '0.12', '12.3', '12346', '123k', '16.8M', '4000M']
    >>> amount(16.0)
    '16'
    """
    if not math.isfinite(value):
        return "–"
    if value < 99999.5 and (value >= 99.95 or value == round(value)):
        return f"{value:.0f}"
    if value < 99.95:
        return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"
    if value < 999_500:
        return f"{value / 1e3:.0f}k"
    return f"{value / 1e6:.1f}M" if value < 999.5e6 else f"{value / 1e6:.0f}M"


class MeasureTable(QTableWidget):
    """Dice, IoU, surface distances, surface Dice and sizes of every class of A and B."""

    def __init__(self) -> None:
        super().__init__(0, 8)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrap(False)
        self.verticalHeader().setVisible(False)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)
        self.setFont(font)
        self.horizontalHeader().setFont(font)
        # napari's padding is for few, wide columns.
        self.setStyleSheet(
            "QTableWidget::item { padding: 0 1px } QHeaderView::section { padding: 2px 0 }"
        )
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(7, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setMinimumSectionSize(20)
        self.horizontalHeader().setMaximumSectionSize(110)  # long names of classes are cut
        self.setAccessibleName("Measures per class")
        self.setToolTip("Measures of both masks, class by class; it follows painting")
        self.describe("px", 2, 2.0)

    def describe(self, unit: str, ndim: int, tolerance: float) -> None:
        """Name the columns.

        Args:
            unit: Of the spacing, see `napari_plugin.viewer.layers.Spacing`.
            ndim: 2 for areas, 3 for volumes.
            tolerance: Of the surface Dice.
        """
        size, power = ("Area", "²") if ndim == 2 else ("Volume", "³")
        columns = (
            ("Class", "The label"),
            ("Dice", "Dice coefficient 2|A∩B| / (|A| + |B|)"),
            ("IoU", "Intersection over union |A∩B| / |A∪B|"),
            ("ASD", f"Average symmetric surface distance in {unit}; – where one mask has none"),
            ("HD95", f"95th percentile of the surface distances in {unit}"),
            ("sDice", f"Surface Dice: share of both surfaces within {tolerance:g} {unit}"),
            ("A", f"{size} in A, in {unit}{power}"),
            ("B", f"{size} in B, in {unit}{power}"),
        )
        for number, (title, tip) in enumerate(columns):
            header = QTableWidgetItem(title)
            header.setToolTip(tip)
            self.setHorizontalHeaderItem(number, header)

    def show_rows(self, rows: Sequence[ClassMeasures], class_names: Sequence[str] = ()) -> None:
        """Show these classes and no others, by their names where they have some."""
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            texts = (
                class_title(row.label, class_names),
                *(f"{share:.3f}" for share in (row.dice, row.iou)),
                *(amount(x) for x in (row.average, row.hausdorff95)),
                f"{row.surface_dice:.3f}",
                *(amount(x) for x in (row.size_a, row.size_b)),
            )
            for column, text in enumerate(texts):
                item = self.item(number, column)
                if item is None:
                    item = QTableWidgetItem()
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                    self.setItem(number, column, item)
                item.setText(text)
                item.setToolTip(text if column == 0 else "")
        self.setFixedHeight(
            self.horizontalHeader().sizeHint().height()
            + max(1, min(len(rows), 8)) * self.verticalHeader().defaultSectionSize()
            + 2 * self.frameWidth()
            + 2
        )
