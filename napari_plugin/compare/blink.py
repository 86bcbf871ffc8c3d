"""Showing one of two masks, then the other."""

from typing import TYPE_CHECKING

from napari.layers import Layer
from napari.settings import get_settings

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Blink", "free_key"]

KEYS = ("Y", "Shift+Y", "Shift+V", "Ctrl+Alt+B")  # none of which the review uses


def free_key(viewer: "ViewerModel") -> str | None:
    """The first of a few keys that neither napari nor another widget has taken."""
    taken = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    keymaps = [viewer.keymap, viewer.class_keymap]
    keymaps += [keymap for layer in viewer.layers for keymap in (layer.keymap, layer.class_keymap)]
    taken |= {str(key) for keymap in keymaps for key in keymap}
    return next((key for key in KEYS if key not in taken), None)


class Blink:
    """Shows A, B, or both of two layers; `both` makes visible what was visible before."""

    def __init__(self) -> None:
        self._before: dict[Layer, bool] = {}
        self.shown = "both"

    def show(self, which: str, a: Layer, b: Layer) -> None:
        """Show "A", "B" or "both"."""
        if set(self._before) != {a, b}:
            self.restore()
        if not self._before:
            self._before = {a: a.visible, b: b.visible}
        if which == "both":
            a.visible = b.visible = True
            self._before = {}
        else:
            a.visible, b.visible = which == "A", which == "B"
        self.shown = which

    def swap(self, a: Layer, b: Layer) -> None:
        """The one of both that is not shown; A first."""
        self.show("B" if self.shown == "A" else "A", a, b)

    def restore(self) -> None:
        """What was visible before is visible again."""
        for layer, visible in self._before.items():
            layer.visible = visible
        self._before, self.shown = {}, "both"
