"""Compare masks: over each other, side by side, in turn, and in numbers."""

from napari_plugin.compare.widget import CompareWidget

__all__ = ["CompareWidget"]
