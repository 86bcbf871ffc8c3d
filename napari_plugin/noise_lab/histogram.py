"""How the Dice of noisy masks is distributed over a dataset, as a picture."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QWidget

from keras_robust.noise import Corruption, all_kinds
from napari_plugin.viewer.style import CLASS_COLOURS

__all__ = ["DiceHistogram", "dice_counts"]

BINS = 20


def dice_counts(log: Iterable[Corruption]) -> dict[str, list[int]]:
    """Noisy masks by kind of error and Dice, in 20 bins from 0 to 1; clean masks are left out.

    Kinds are called by their titles, or by those of their groups where there are more of them than
    colours can tell apart.

    >>> log = [Corruption("a", "erode", dice=0.5), Corruption("b", "clean")]
    >>> counts = dice_counts(log)
    >>> list(counts), counts["Too small"][10]
    (['Too small'], 1)
    """
    noisy = [done for done in log if done.kind != "clean"]
    present = {done.kind for done in noisy}
    kinds = [kind for kind in all_kinds() if kind.name in present]
    by_group = len(kinds) > len(CLASS_COLOURS)
    titles = {kind.name: kind.group if by_group else kind.title for kind in kinds}
    return {
        title: np.histogram(
            [done.dice for done in noisy if titles.get(done.kind) == title], BINS, (0, 1)
        )[0].tolist()
        for title in dict.fromkeys(titles.values())
    }


class DiceHistogram(QWidget):
    """Bars of Dice from 0 to 1, stacked by the kind of error."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, list[int]] = {}
        self.colours: dict[str, str] = {}  # by title
        self.setMinimumHeight(110)
        self.setToolTip("How many noisy masks have which Dice with the clean ones")

    def show_log(self, log: Iterable[Corruption]) -> None:
        """Show these masks; an empty log clears the picture."""
        log = list(log)
        self.counts = dice_counts(log) if log else {}
        self.colours = dict(zip(self.counts, cycle(CLASS_COLOURS), strict=False))
        text = ", ".join(f"{sum(bars)} {title}" for title, bars in self.counts.items())
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
            for title, bars in self.counts.items():
                height = area.height() * bars[index] / highest
                base -= height
                bar = QRectF(area.left() + index * width, base, width - 1, height)
                painter.fillRect(bar, QColor(self.colours[title]))
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
