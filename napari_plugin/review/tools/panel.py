"""The buttons of the tools, and how far and in which range of values they work."""

from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.review.keys import KEYS
from napari_plugin.viewer.dock import timer

__all__ = ["TOOL_TIPS", "ToolPanel"]

HOVER_MS = 300  # over a button, before its preview

TOOL_TIPS = {
    "grow": "Make the class larger on all sides, over background alone",
    "shrink": "Make the class smaller on all sides",
    "smooth": "Take away bays and spurs of the class",
    "fill holes": "Fill the background that the class encloses",
    "remove islands": "Take away the small pieces of the class, under a tenth of its largest",
    "keep largest": "Take away all pieces of the class but the largest",
    "snap": "Move the outline of the class to the suggested one, within half a brush's width",
    "take piece": "Take the object under the mouse as it is suggested",
    "change piece": "Give the object under the mouse to the class that is painted",
    "swap classes": "Exchange the class under the mouse with the class that is painted, everywhere",
    "interpolate": "Draw the class in the slices between those that have it",
    "copy slice": "Draw the class in the next slice as in this one, and go there",
    "smart brush": "Paint a stroke inside an object: the class takes what looks the same around it",
    "threshold brush": "Paint only where the values of the image are those of the class",
    "lock": "Lock the class that is painted, or unlock it: nothing is painted over a locked one",
}
TOGGLES = ("smart brush", "threshold brush")


class ToolButton(QPushButton):
    """A button that tells how long the mouse has been over it.

    Attributes:
        hovered: Long enough for a preview; false when the mouse leaves.
    """

    hovered = Signal(bool)

    def __init__(self, name: str):
        super().__init__(name.capitalize())
        self._soon = timer(self, HOVER_MS, lambda: self.hovered.emit(True))
        self.setToolTip(f"{TOOL_TIPS[name]}. Key: {KEYS[name]}")
        self.setCheckable(name in TOGGLES)
        self.setMinimumWidth(10)

    def enterEvent(self, event: Any) -> None:
        self._soon.start()
        super().enterEvent(event)

    def leaveEvent(self, event: Any) -> None:
        self._soon.stop()
        self.hovered.emit(False)
        super().leaveEvent(event)


class ToolPanel(QWidget):
    """All tools; hidden but for its head until they are wanted.

    Args:
        beside: A button to the right of the head.

    Attributes:
        asked: The name of a tool.
        previewed: The name of a tool to show, "" for none.
        reached: How far to grow, shrink or smooth.
        ranged: Least and greatest value to paint on.
    """

    asked = Signal(str)
    previewed = Signal(str)
    reached = Signal(float)
    ranged = Signal(float, float)

    def __init__(self, beside: QWidget) -> None:
        super().__init__()
        self.head = QPushButton("Tools ▸")
        self.head.setMinimumWidth(10)
        self.head.setToolTip("Show or hide the tools; their keys work all the same")
        self.head.setCheckable(True)
        self.body = QWidget()
        self.body.setVisible(False)
        self.head.toggled.connect(self._open)
        grid = QGridLayout()
        grid.setSpacing(3)
        self.buttons: dict[str, ToolButton] = {}
        for place, name in enumerate(name for name in TOOL_TIPS if name != "lock"):
            button = ToolButton(name)
            button.clicked.connect(lambda _, name=name: self.asked.emit(name))
            if name not in TOGGLES:
                button.hovered.connect(
                    lambda on, name=name: self.previewed.emit(name if on else "")
                )
            self.buttons[name] = button
            grid.addWidget(button, place // 3, place % 3)
        self.unit = QLabel("mm")
        self.reach = _spin("How far Grow, Shrink and Smooth go", 0.1, 1000)
        self.reach.setValue(1.0)
        self.reach.valueChanged.connect(self.reached.emit)
        self.low = _spin("Least value that the threshold brush paints on", -1e6, 1e6)
        self.high = _spin("Greatest value that the threshold brush paints on", -1e6, 1e6)
        for spin in (self.low, self.high):
            spin.valueChanged.connect(
                lambda _: self.ranged.emit(self.low.value(), self.high.value())
            )
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addLayout(grid)
        inner.addWidget(_row(QLabel("Grow, shrink, smooth by"), self.reach, self.unit))
        self.values = _row(QLabel("Values"), self.low, QLabel("to"), self.high)
        self.values.setVisible(False)
        inner.addWidget(self.values)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.head, 1)
        row.addWidget(beside, 1)
        column.addLayout(row)
        column.addWidget(self.body)

    def show_range(self, limits: tuple[float, float] | None) -> None:
        """Show the range of the threshold brush; `None` where it is not in use."""
        self.buttons["threshold brush"].setChecked(limits is not None)
        self.values.setVisible(limits is not None)
        for spin, value in zip((self.low, self.high), limits or (0.0, 0.0), strict=True):
            with QSignalBlocker(spin):
                spin.setValue(value)

    def _open(self, on: bool) -> None:
        self.body.setVisible(on)
        self.head.setText("Tools ▾" if on else "Tools ▸")


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    layout.addStretch()
    return row


def _spin(tip: str, low: float, high: float) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(low, high)
    spin.setDecimals(1)
    spin.setToolTip(tip)
    spin.setAccessibleName(tip)
    spin.setMinimumWidth(40)
    spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    return spin
