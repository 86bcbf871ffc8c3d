"""Keys of the review, none of which napari uses where labels are painted."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["CLASS_KEYS", "KEYS", "UNDO", "Keys", "PassesKeys"]

KEYS = {
    "accept": "A",
    "repair": "R",
    "reject": "D",
    "ask an expert": "H",
    "next undecided": "N",
    "next": "PageDown",
    "previous": "PageUp",
    "ghost": "G",
    "take whole": "W",
    "take in brush": "T",
    "take back": "U",
    "window": "J",
    "next place": "K",
    "previous place": "I",
    "error map": "Q",
    "places": "Shift+L",
    "orthogonal views": "Shift+O",
    "shortcuts": "?",
}
KEYS |= {
    "grow": "Shift+G",
    "shrink": "Shift+S",
    "smooth": "Shift+M",
    "fill holes": "Shift+H",
    "remove islands": "Shift+R",
    "keep largest": "Shift+K",
    "snap": "Shift+E",
    "take piece": "Shift+W",
    "change piece": "Shift+C",
    "swap classes": "Shift+X",
    "interpolate": "Shift+I",
    "copy slice": "Shift+N",
    "smart brush": "Shift+B",
    "threshold brush": "Shift+T",
    "lock": "Shift+Q",
}
CLASS_KEYS = tuple(f"Alt+{digit}" for digit in range(1, 10))
KEYS |= {f"class {number}": key for number, key in enumerate(CLASS_KEYS, start=1)}
UNDO = "Control-Z"  # napari's own, for steps of painting; without any, the last decision


class PassesKeys:
    """For a list: keys do in it what they do in the whole window, and never search for text."""

    _OWN = (
        Qt.Key.Key_Up,
        Qt.Key.Key_Down,
        Qt.Key.Key_Home,
        Qt.Key.Key_End,
        Qt.Key.Key_Tab,
        Qt.Key.Key_Backtab,
    )

    def keyboardSearch(self, search: str | None) -> None:
        """Nothing: a letter or digit is a key of the review or of napari."""

    def keyPressEvent(self, event: Any) -> None:
        """Moves in the list; all else goes on to the window, and with it to the canvas."""
        if event.key() in self._OWN:
            super().keyPressEvent(event)  # type: ignore[misc]
        else:
            event.ignore()


class Keys:
    """Binds keys for the canvas and for the widget; what somebody else has bound stays theirs.

    Args:
        viewer: Whose canvas.
        widget: Where the keys are heard as well, but not by its text fields.
        actions: What to do, by the names of `KEYS`, and "undo".
    """

    def __init__(
        self, viewer: "ViewerModel", widget: QWidget, actions: Mapping[str, Callable[[], object]]
    ):
        self._viewer = viewer
        self._bound: dict[str, QShortcut] = {}
        for name, act in actions.items():
            key = KEYS.get(name, UNDO)
            if key == KEYS["shortcuts"]:  # another key on each keyboard, which Qt knows
                self._listen(key, widget, act, Qt.ShortcutContext.WindowShortcut)
                continue
            try:
                viewer.bind_key(napari_key(key), _calling(act))
            except ValueError:
                continue
            self._listen(key, widget, act, Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _listen(
        self,
        key: str,
        widget: QWidget,
        act: Callable[[], object],
        context: Qt.ShortcutContext,
    ) -> None:
        shortcut = QShortcut(QKeySequence(_QT.get(key, key)), widget)
        shortcut.setContext(context)
        shortcut.setAutoRepeat(False)  # a key held down is pressed once, as napari has it
        shortcut.activated.connect(act)
        self._bound[key] = shortcut

    def release(self) -> None:
        """Give the keys back; two shortcuts of one key would make it do nothing."""
        for key, shortcut in self._bound.items():
            if key != KEYS["shortcuts"]:
                self._viewer.bind_key(napari_key(key), None)
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._bound.clear()


def napari_key(key: str) -> str:
    """A key as napari writes it.

    >>> napari_key("Alt+1"), napari_key("A")
    ('Alt-1', 'A')
    """
    return key.replace("+", "-")


_QT = {"PageDown": "PgDown", "PageUp": "PgUp", UNDO: "Ctrl+Z"}


def _calling(act: Callable[[], object]) -> Callable[[object], None]:
    def press(viewer: object) -> None:
        act()

    return press
