"""Compare masks."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["CompareWidget"]


class CompareWidget(QWidget):
    """Compare masks.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
