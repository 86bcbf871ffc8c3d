"""Training and prediction from napari, in a child process."""

from napari_plugin.train.widget import TrainWidget

__all__ = ["TrainWidget"]
