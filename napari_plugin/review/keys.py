"""Keys of the review, none of which napari uses where labels are painted."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["KEYS", "UNDO", "Keys"]

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
}
UNDO = "Control-Z"  # napari's own, for steps of painting; without any, the last decision


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
            try:
                viewer.bind_key(key, _calling(act))
            except ValueError:
                continue
            self._listen(key, widget, act)

    def _listen(self, key: str, widget: QWidget, act: Callable[[], object]) -> None:
        shortcut = QShortcut(QKeySequence(_QT.get(key, key)), widget)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.setAutoRepeat(False)  # a key held down is pressed once, as napari has it
        shortcut.activated.connect(act)
        self._bound[key] = shortcut

    def release(self) -> None:
        """Give the keys back; two shortcuts of one key would make it do nothing."""
        for key, shortcut in self._bound.items():
            self._viewer.bind_key(key, None)
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._bound.clear()


_QT = {"PageDown": "PgDown", "PageUp": "PgUp", UNDO: "Ctrl+Z"}


def _calling(act: Callable[[], object]) -> Callable[[object], None]:
    def press(viewer: object) -> None:
        act()

    return press
