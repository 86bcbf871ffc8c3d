"""Hand-drawn masks, and brush strokes as napari's canvas sends them."""

import numpy as np


def squares() -> tuple[np.ndarray, np.ndarray]:
    """A: rows 2-5, columns 2-5, 16 pixels. B: rows 2-5, columns 4-8, 20 pixels; 8 are common."""
    a, b = np.zeros((2, 12, 12), np.uint8)
    a[2:6, 2:6] = 1
    b[2:6, 4:9] = 1
    return a, b


class Stroke:
    """Mouse events of one stroke."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.type = "mouse_press"
        self.button = 1
        self.modifiers: tuple = ()
        self.position: tuple = ()
        self.pos = np.zeros(2)
        self.view_direction = None
        self.dims_displayed = list(viewer.dims.displayed)
        self.handled = False
        self.is_dragging = True


def paint(viewer, layer, *points, brush: int = 1, label: int = 1):
    """Press at the first point with napari's brush, move over the others, release.

    Gives back after the press, after each move and after the release, for a look in between.
    """
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    layer.mode = "paint"
    layer.brush_size = brush
    layer.selected_label = label
    event = Stroke(viewer)
    event.position = points[0]
    mouse_press_callbacks(layer, event)
    yield "press"
    for point in points[1:]:
        event.type, event.position = "mouse_move", point
        mouse_move_callbacks(layer, event)
        yield "move"
    event.type = "mouse_release"
    mouse_release_callbacks(layer, event)
    yield "release"
