"""The window that the command `keras-robust view` opens."""

from pathlib import Path

import napari

__all__ = ["open_viewer", "view"]


def view(
    dataset: Path,
    audit: Path | None = None,
    reviewer: str | None = None,
    output: Path | None = None,
) -> None:
    """Open napari with a dataset and its queue; returns when the window is closed."""
    open_viewer(dataset, audit, reviewer, output)
    napari.run()


def open_viewer(
    dataset: Path,
    audit: Path | None = None,
    reviewer: str | None = None,
    output: Path | None = None,
) -> "napari.Viewer":
    """A viewer with the widget Review, which opens the dataset in the background.

    Args:
        dataset: Its folder.
        audit: Folder of its audit; by default the one beside it, if there is one.
        reviewer: Name of the reviewer; by default that of the preferences or of the user.
        output: Folder that takes decisions and masks; by default the dataset.
    """
    viewer = napari.Viewer(title=f"keras-robust: {dataset.resolve().name}")
    _, review = viewer.window.add_plugin_dock_widget("keras-robust", "Review")
    review.open(dataset, audit, reviewer, output)
    return viewer
