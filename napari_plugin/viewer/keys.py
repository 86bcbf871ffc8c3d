"""Keys of a widget that mean the same wherever the focus is in its window."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["WindowKeys", "napari_key"]


class WindowKeys(QObject):
    """Binds keys for the whole window; what somebody else has bound on its canvas stays theirs.

    Lists and boxes of choices would search for what is typed, and boxes of numbers swallow letters:
    where nobody writes text, these go on to the canvas, also those of napari. A click on a button
    leaves the focus where it was, so that the space bar does not press it once more.

    Args:
        viewer: Whose canvas.
        widget: Whose keys these are.
        actions: What to do, by keys such as "Shift+A"; those of napari are heard as well.
    """

    def __init__(
        self, viewer: "ViewerModel", widget: QWidget, actions: Mapping[str, Callable[[], object]]
    ):
        super().__init__(widget)
        self._viewer, self._widget = viewer, widget
        self._bound: dict[str, QShortcut] = {}
        self._on_canvas: list[str] = []
        self._focus: QWidget | None = None
        for key, act in actions.items():
            if key.isalnum() or len(key) > 1:  # others are elsewhere on each keyboard; Qt knows
                try:
                    viewer.bind_key(napari_key(key), _calling(act))
                except ValueError:
                    continue
                self._on_canvas.append(napari_key(key))
            self._listen(key, act)
        for button in widget.findChildren(QAbstractButton):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._follow)
            self._follow(None, application.focusWidget())

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Let what has the focus pass on letters and digits that it has no use for."""
        kind = event.type()
        if kind not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            return False
        typed, plain = event.text(), Qt.KeyboardModifier.ShiftModifier | _KEYPAD
        passes = bool(typed) and typed.isprintable() and not event.modifiers() & ~plain
        if _is_number(watched):
            passes &= typed.isalpha() and typed not in "eE"
        if passes:
            event.ignore()
        return passes

    def release(self) -> None:
        """Give the keys back; two shortcuts of one key would make it do nothing."""
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.disconnect(self._follow)
        self._follow(self._focus, None)
        for key in self._on_canvas:
            self._viewer.bind_key(key, None)
        for shortcut in self._bound.values():
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._on_canvas.clear()
        self._bound.clear()

    def _listen(self, key: str, act: Callable[[], object]) -> None:
        shortcut = QShortcut(QKeySequence(_QT.get(key, key)), self._widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(False)  # a key held down is pressed once, as napari has it
        shortcut.activated.connect(act)
        self._bound[key] = shortcut

    def _follow(self, before: QWidget | None, now: QWidget | None) -> None:
        """Watch what has the focus, and nothing else: a window hears much that is no key."""
        window = _main_window(self._widget)
        for shortcut in self._bound.values():  # that of a widget is not heard where it is hidden
            if shortcut.parent() is not window:
                shortcut.setParent(window)
        if self._focus is not None:
            try:
                self._focus.removeEventFilter(self)
            except RuntimeError:  # it is no more
                pass
            self._focus = None
        if now is not None and not _takes_text(now) and _main_window(now) is window:
            now.installEventFilter(self)
            self._focus = now


def napari_key(key: str) -> str:
    """A key as napari writes it.

    >>> napari_key("Alt+1"), napari_key("A")
    ('Alt-1', 'A')
    """
    return key.replace("+", "-")


_QT = {"PageDown": "PgDown", "PageUp": "PgUp", "Control-Z": "Ctrl+Z"}
_KEYPAD = Qt.KeyboardModifier.KeypadModifier


def _main_window(widget: QWidget) -> QWidget:
    """The window that a widget is in; of a floating dock, that which it floats above."""
    window = widget.window() or widget
    above = window.parentWidget()
    if above is None or window.windowType() != Qt.WindowType.Tool:
        return window
    return _main_window(above)


def _is_number(widget: QWidget) -> bool:
    return isinstance(widget, QAbstractSpinBox) or (
        isinstance(widget, QLineEdit) and widget.validator() is not None
    )


def _takes_text(widget: QWidget) -> bool:
    """Whether somebody writes here, or presses it: buttons that the Tab key went to."""
    if isinstance(widget, QComboBox):
        return widget.isEditable()
    texts = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractButton)
    return isinstance(widget, texts) and not _is_number(widget)


def _calling(act: Callable[[], object]) -> Callable[[object], None]:
    def press(viewer: object) -> None:
        act()

    return press
