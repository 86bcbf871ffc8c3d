"""Train and predict."""

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["TrainWidget"]


class TrainWidget(QWidget):
    """Train and predict.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
