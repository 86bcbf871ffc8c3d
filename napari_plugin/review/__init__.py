"""Review suspicious masks."""

from napari_plugin.review.widget import ReviewWidget

__all__ = ["ReviewWidget"]
