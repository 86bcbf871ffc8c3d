"""How the Dice of noisy masks is distributed over a dataset, as a picture."""

from collections.abc import Iterable

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QWidget

from keras_robust.noise import Corruption
from napari_plugin.noise_lab.settings import KIND_NAMES
from napari_plugin.viewer.style import CLASS_COLOURS

__all__ = ["KIND_COLOURS", "DiceHistogram", "dice_counts"]

BINS = 20
KIND_COLOURS = dict(zip(KIND_NAMES, CLASS_COLOURS[:3], strict=True))


def dice_counts(log: Iterable[Corruption]) -> dict[str, list[int]]:
    """Noisy masks by kind and Dice, in 20 bins from 0 to 1; clean masks are left out.

    >>> log = [Corruption("a", "erode", dice=0.5), Corruption("b", "clean")]
    >>> counts = dice_counts(log)
    >>> sum(map(sum, counts.values())), counts["erode"][10]
    (1, 1)
    """
    log = list(log)
    return {
        kind: np.histogram([done.dice for done in log if done.kind == kind], BINS, (0, 1))[
            0
        ].tolist()
        for kind in KIND_NAMES
    }


class DiceHistogram(QWidget):
    """Bars of Dice from 0 to 1, stacked by the kind of error."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, list[int]] = {}
        self.setMinimumHeight(110)
        self.setToolTip("How many noisy masks have which Dice with the clean ones")

    def show_log(self, log: Iterable[Corruption]) -> None:
        """Show these masks; an empty log clears the picture."""
        log = list(log)
        self.counts = dice_counts(log) if log else {}
        text = ", ".join(f"{sum(bars)} {KIND_NAMES[k][0]}" for k, bars in self.counts.items())
        self.setAccessibleName(f"Histogram of Dice: {text or 'empty'}")
        self.setVisible(bool(self.counts))
        self.update()

    def paintEvent(self, event) -> None:
        painter = QPainter(self)
        text = self.palette().text().color()
        line = painter.fontMetrics().height()
        area = QRectF(self.rect()).adjusted(4, line + 2, -4, -line - 4)
        totals = [sum(column) for column in zip(*self.counts.values(), strict=True)]
        highest = max([*totals, 1])
        width = area.width() / BINS
        for index in range(len(totals)):
            base = area.bottom()
            for kind, bars in self.counts.items():
                height = area.height() * bars[index] / highest
                base -= height
                bar = QRectF(area.left() + index * width, base, width - 1, height)
                painter.fillRect(bar, QColor(KIND_COLOURS[kind]))
        painter.setPen(text)
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        below = QRectF(area.left(), area.bottom() + 2, area.width(), line)
        for mark, side in (
            ("0", Qt.AlignmentFlag.AlignLeft),
            ("Dice", Qt.AlignmentFlag.AlignHCenter),
            ("1", Qt.AlignmentFlag.AlignRight),
        ):
            painter.drawText(below, side, mark)
        painter.drawText(QRectF(4, 0, area.width(), line), 0, f"{highest} masks")
