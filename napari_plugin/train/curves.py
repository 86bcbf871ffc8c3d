"""Curves of a run as it goes: Dice, loss and ν over epochs."""

from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QEvent, QSize
from qtpy.QtGui import QPalette

__all__ = ["CURVES", "Curves"]

CURVES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Dice": {
        "dice_train": ("training", "#E69F00"),
        "dice_test": ("test", "#56B4E9"),
    },
    "Loss": {"loss": ("loss", "#CC79A7")},
    "ν": {"nu": ("ν", "#009E73")},
}


class Curves(FigureCanvasQTAgg):
    """Small plots below each other, in the colours of napari's theme."""

    _rows: Sequence[Mapping[str, float | None]] | None = None  # Qt sends events while it is made

    def __init__(self) -> None:
        super().__init__(Figure(layout="constrained"))
        self.setMinimumSize(200, 220)
        self.setAccessibleName("Curves of Dice, loss and ν")
        self.show_rows([])

    def sizeHint(self) -> QSize:
        """Narrower than a figure of matplotlib: a dock at the side of the window."""
        return QSize(330, 240)

    def show_rows(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Draw the rows of a history, one per epoch."""
        self._rows = list(rows)
        self._draw()

    def add_row(self, row: Mapping[str, float | None]) -> None:
        """Draw one further epoch; one that is there already is replaced."""
        kept = [r for r in self._rows or () if (r.get("epoch") or 0) < (row.get("epoch") or 0)]
        self.show_rows([*kept, row])

    def points(self, key: str) -> tuple[list[float], list[float]]:
        """Epochs and values of a figure that was taken."""
        taken = [(r["epoch"], r[key]) for r in self._rows or () if r.get(key) is not None]
        return [float(e or 0) for e, _ in taken], [float(v or 0) for _, v in taken]

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if (
            self._rows is not None
            and event is not None
            and event.type()
            in (
                QEvent.Type.PaletteChange,
                QEvent.Type.StyleChange,
            )
        ):
            self._draw()

    def _draw(self) -> None:
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.WindowText).name()
        back = palette.color(QPalette.ColorRole.Window).name()
        figure = self.figure
        figure.clear()
        figure.set_facecolor(back)
        # Only the T-Loss has a ν.
        drawn = {t: c for t, c in CURVES.items() if any(self.points(key)[0] for key in c)} or CURVES
        axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (title, curves) in zip(axes, drawn.items(), strict=True):
            axis.set_facecolor(back)
            axis.tick_params(colors=text, labelsize=8)
            axis.set_ylabel(title, color=text, fontsize=9)
            for side in axis.spines.values():
                side.set_color(text)
            for key, (label, colour) in curves.items():
                epochs, values = self.points(key)
                marker = "o" if len(epochs) < 20 else ""
                if epochs:
                    axis.plot(epochs, values, marker=marker, ms=3, color=colour, label=label)
            if len(curves) > 1 and axis.lines:
                axis.legend(fontsize=8, labelcolor=text, facecolor=back, edgecolor=back)
        axes[-1].set_xlabel("Epoch", color=text, fontsize=9)
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
        self.draw_idle()
