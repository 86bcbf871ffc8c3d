"""Review suspicious masks."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["ReviewWidget"]


class ReviewWidget(QWidget):
    """Review suspicious masks.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
