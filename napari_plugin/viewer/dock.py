"""What docked widgets share: controls with tooltips, a message, and an end that is noticed."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.viewer.style import scrolled

__all__ = ["DockWidget", "button", "check", "row", "text", "timer"]

SETTLED_MS = 50  # a window has laid out what was shown or hidden in it


class DockWidget(QWidget):
    """A widget that says what goes wrong, and gives the viewer back when its dock or window ends.

    Attributes:
        column: Where the controls go; it scrolls down, never sideways.
        message: The last line of the widget; hidden when empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._closed = self._docked = False
        self._window: QWidget | None = None
        content = QWidget()
        self.column = QVBoxLayout(content)
        self.column.setContentsMargins(6, 6, 6, 6)
        self.message = text("Message")
        self._outer = QVBoxLayout(self)
        self._outer.setContentsMargins(0, 0, 0, 0)
        self._area = scrolled(content)
        self._outer.addWidget(self._area, 1)
        self.setMinimumWidth(365)
        self._room_soon = timer(self, SETTLED_MS, self._make_room)

    def keep_in_view(self, *widgets: QWidget) -> None:
        """Have widgets, and then the message, below all that scrolls."""
        self.message.setContentsMargins(6, 0, 6, 6)
        for widget in (*widgets, self.message):
            self._outer.addWidget(widget)

    def say(self, words: str) -> None:
        """Show a message; an empty one hides it."""
        self.message.setText(words)
        self.message.setVisible(bool(words))

    def make_room(self) -> None:
        """Have the docks of this plugin that are below each other behind each other, as tabs, if
        one of them would have to be scrolled; this one comes to the front."""
        self._room_soon.start()

    def _make_room(self) -> None:
        own = _dock_of(self)
        window = own.parent() if own is not None else None
        if self._closed or own is None or not isinstance(window, QMainWindow) or own.isFloating():
            return
        others = [
            other
            for other in window.findChildren(DockWidget)
            if other is not self and other.isVisible() and _below_each_other(window, own, other)
        ]
        if any(one._is_squeezed for one in (self, *others)):
            for other in others:
                window.tabifyDockWidget(_dock_of(other), own)
            own.raise_()

    @property
    def _is_squeezed(self) -> bool:
        return self._area.widget().minimumSizeHint().height() > self._area.viewport().height()

    @property
    def closed(self) -> bool:
        """Whether the widget has come to its end."""
        return self._closed

    def close_down(self) -> None:
        """Give the viewer back as it was; once, whatever the widget's end is."""
        if not self._closed:
            self._closed = True
            self.give_back()

    def give_back(self) -> None:
        """What the widget undoes at its end."""
        raise NotImplementedError

    def about_to_close(self) -> bool:
        """Write what is to be kept as the window is about to close; false calls that off."""
        return True

    def window_resized(self) -> None:
        """What the widget does when its window has another size."""

    def event(self, event: Any) -> bool:
        """napari takes a closed dock's widget out of the dock and drops it."""
        if event.type() == QEvent.Type.Show and self.window() is not self._window:
            if self._window is None:  # a dock that was moved stays where it was put
                self.make_room()
            # Held, since napari lets go of a window that it closes: Python would delete it unheard.
            self._window = self.window()
            self._window.installEventFilter(self)
        elif event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self.close_down()
        return super().event(event)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """A closed window deletes its widgets, and tells them of neither."""
        if watched is not self and event.type() == QEvent.Type.Close:
            if not self.about_to_close():
                event.ignore()
                return True
        elif watched is not self and event.type() == QEvent.Type.Resize:
            self.window_resized()
        elif watched is not self and event.type() == QEvent.Type.DeferredDelete:
            self.close_down()
        return super().eventFilter(watched, event)

    def closeEvent(self, event: Any) -> None:
        self.close_down()
        super().closeEvent(event)


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def _below_each_other(window: QMainWindow, own: QDockWidget, other: DockWidget) -> bool:
    dock = _dock_of(other)
    if dock is None or dock.isFloating():
        return False
    beside = window.dockWidgetArea(dock) == window.dockWidgetArea(own)
    return beside and dock not in window.tabifiedDockWidgets(own)


def check(title: str, tip: str, checked: bool = False) -> QCheckBox:
    """A box to tick, with its tooltip."""
    box = QCheckBox(title)
    box.setToolTip(tip)
    box.setChecked(checked)
    return box


def button(title: str, tip: str, press: Callable[[], Any] | None = None) -> QPushButton:
    """A button with its tooltip, and what it does."""
    made = QPushButton(title)
    made.setToolTip(tip)
    if press is not None:
        made.clicked.connect(lambda *_: press())
    return made


def text(name: str) -> QLabel:
    """Lines of text that wrap; `name` is what screen readers call them."""
    label = QLabel()
    label.setWordWrap(True)
    label.setAccessibleName(name)
    label.hide()
    return label


def row(*widgets: QWidget, fill: bool = False) -> QHBoxLayout:
    """Widgets beside each other, to the left or over the whole width."""
    layout = QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    if not fill:
        layout.addStretch()
    return layout


def timer(
    owner: QObject, milliseconds: int, call: Callable[[], Any], again: bool = False
) -> QTimer:
    """Calls something a while after it is started, once or again and again."""
    made = QTimer(owner)
    made.setSingleShot(not again)
    made.setInterval(milliseconds)
    made.timeout.connect(call)
    return made
