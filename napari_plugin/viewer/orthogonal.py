"""Three small views of a volume through one point, which follow painting and the mouse."""

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QBoxLayout, QMainWindow, QWidget

from napari_plugin.viewer.dock import DockWidget, timer
from napari_plugin.viewer.layers import about
from napari_plugin.viewer.planes import Plane, picture, planes, shown_layers
from napari_plugin.viewer.style import CASING_COLOUR, ROLE_COLOURS

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["OrthogonalWidget"]

DRAW_MS = 30  # what changes meanwhile is drawn at once
LEAST = 100  # pixels of a side
GAP = 6.0  # around the point, so that the cross does not hide it
HEARD = ("visible", "opacity", "contrast_limits", "colormap", "data", "set_data", "paint")
NO_VOLUME = "Open a volume: its slices in three planes are shown here."


class Pane(QWidget):
    """One plane: its slice, the cross, and the letters of the patient's sides.

    Attributes:
        plane: What is shown.
        pointed: Row and column under the mouse, along the axes of the stored array.
        turned: The wheel asks for other slices: how many further.
    """

    pointed = Signal(int, int)
    turned = Signal(int)

    def __init__(self, plane: Plane):
        super().__init__()
        self.plane = plane
        self.image: QImage | None = None
        self._steps, self._cross, self._turn = (1.0, 1.0), (0, 0), 0
        self.setMinimumSize(LEAST, LEAST)
        self.setAccessibleName(f"{plane.name} slice")
        self.setToolTip("Click or drag: all views go there. Wheel: other slices")

    def show_slice(
        self, pixels: np.ndarray, steps: tuple[float, float], cross: tuple[int, int]
    ) -> None:
        """Show pixels `(rows, columns, 3)`, whose sides have these lengths, and a cross."""
        height, width = pixels.shape[:2]
        content = np.ascontiguousarray(pixels)
        self.image = QImage(
            content.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
        ).copy()
        self._steps, self._cross = steps, cross
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.image = None
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(CASING_COLOUR))
        if self.image is None:
            return
        area = self._area()
        painter.drawImage(area, self.image)
        centre = self._on_screen(area)
        lines = (
            (QPointF(area.left(), centre.y()), QPointF(centre.x() - GAP, centre.y())),
            (QPointF(centre.x() + GAP, centre.y()), QPointF(area.right(), centre.y())),
            (QPointF(centre.x(), area.top()), QPointF(centre.x(), centre.y() - GAP)),
            (QPointF(centre.x(), centre.y() + GAP), QPointF(centre.x(), area.bottom())),
        )
        for colour, width in ((CASING_COLOUR, 3), (ROLE_COLOURS["difference"], 1)):
            painter.setPen(QPen(QColor(colour), width))
            for one, other in lines:
                painter.drawLine(one, other)
        painter.setPen(QColor("white"))
        align = Qt.AlignmentFlag
        middle = (align.AlignHCenter, align.AlignHCenter, align.AlignVCenter, align.AlignVCenter)
        ends = (align.AlignTop, align.AlignBottom, align.AlignLeft, align.AlignRight)
        for letter, along, end in zip(self.plane.sides, middle, ends, strict=True):
            painter.drawText(self.rect().adjusted(3, 1, -3, -1), along | end, letter)
        corner = align.AlignTop | align.AlignLeft
        painter.drawText(self.rect().adjusted(3, 1, -3, -1), corner, self.plane.name)

    def mousePressEvent(self, event: Any) -> None:
        self._point(event)

    def mouseMoveEvent(self, event: Any) -> None:
        self._point(event)

    def wheelEvent(self, event: Any) -> None:
        self._turn += event.angleDelta().y()
        slices, self._turn = int(self._turn / 120), int(np.fmod(self._turn, 120))
        if slices:
            self.turned.emit(slices)
        event.accept()

    def _area(self) -> QRectF:
        """Where the slice is drawn, as large as there is room for its shape."""
        if self.image is None:
            return QRectF()
        width, height = self.image.width() * self._steps[1], self.image.height() * self._steps[0]
        scale = min(self.width() / width, self.height() / height)
        size = (width * scale, height * scale)
        return QRectF((self.width() - size[0]) / 2, (self.height() - size[1]) / 2, *size)

    def _on_screen(self, area: QRectF) -> QPointF:
        sizes = (self.image.height(), self.image.width()) if self.image is not None else (1, 1)
        shares = [
            (n - 1 - at + 0.5 if flip else at + 0.5) / n
            for at, n, flip in zip(self._cross, sizes, self.plane.flipped, strict=True)
        ]
        return QPointF(
            area.left() + shares[1] * area.width(), area.top() + shares[0] * area.height()
        )

    def _point(self, event: Any) -> None:
        if self.image is None:
            return
        area, at = self._area(), event.position()
        shares = ((at.y() - area.top()) / area.height(), (at.x() - area.left()) / area.width())
        found = []
        sizes = (self.image.height(), self.image.width())
        for share, n, flip in zip(shares, sizes, self.plane.flipped, strict=True):
            index = int(np.clip(share * n, 0, n - 1))
            found.append(n - 1 - index if flip else index)
        self.pointed.emit(*found)


class OrthogonalWidget(DockWidget):
    """Axial, coronal and sagittal slices of the volume in a viewer, linked by a cross.

    A click in a view, or painting in the window, moves all of them there.

    Args:
        viewer: The viewer whose volume is shown.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self.setMinimumSize(LEAST, 2 * LEAST)
        self._heard: list[Layer] = []
        self._seen: list[Layer] = []
        self._mouse: tuple[float, ...] | None = None
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self.panes: list[Pane] = []
        self.column.addLayout(self._box, 1)
        self.column.addWidget(self.message)
        self._soon = timer(self, DRAW_MS, self._draw)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._listen)
        viewer.layers.events.reordered.connect(self._ask)
        viewer.dims.events.current_step.connect(self._ask)
        viewer.mouse_drag_callbacks.append(self._follow_mouse)
        self._listen()

    def give_back(self) -> None:
        """Listen no more."""
        self._soon.stop()
        viewer = self.viewer
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.disconnect(self._listen)
        viewer.layers.events.reordered.disconnect(self._ask)
        viewer.dims.events.current_step.disconnect(self._ask)
        if self._follow_mouse in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._follow_mouse)
        self._hear([])

    def resizeEvent(self, event: Any) -> None:
        """Beside each other in a wide dock, below each other in a high one."""
        wide = self.width() > self.height()
        direction = QBoxLayout.Direction
        self._box.setDirection(direction.LeftToRight if wide else direction.TopToBottom)
        super().resizeEvent(event)

    def showEvent(self, event: Any) -> None:
        """Below the image alone, so that the docks beside it keep their height."""
        window, area = self.window(), Qt.DockWidgetArea
        if isinstance(window, QMainWindow):
            window.setCorner(Qt.Corner.BottomLeftCorner, area.LeftDockWidgetArea)
            window.setCorner(Qt.Corner.BottomRightCorner, area.RightDockWidgetArea)
        super().showEvent(event)

    # What is shown

    def _listen(self, event: Any = None) -> None:
        self._hear([layer for layer in self.viewer.layers if layer.ndim > 2])
        self._ask()

    def _hear(self, layers: list[Layer]) -> None:
        for known, connect in ((self._heard, False), (layers, True)):
            for layer in known:
                for name in (*HEARD, "labels_update"):
                    if name in layer.events:
                        emitter = layer.events[name]
                        (emitter.connect if connect else emitter.disconnect)(self._ask)
        self._heard = layers

    def _ask(self, event: Any = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _follow_mouse(self, viewer: Any, event: Any) -> Any:
        """Where the mouse is pressed in the window, painting or not."""
        self._to_mouse(event)
        yield
        while event.type == "mouse_move":
            self._to_mouse(event)
            yield

    def _to_mouse(self, event: Any) -> None:
        if self.viewer.dims.ndisplay == 2:
            self._mouse = tuple(event.position)
            self._ask()

    def _draw(self) -> None:
        seen = self._seen = shown_layers(list(self.viewer.layers))
        self.say("" if seen else NO_VOLUME)
        if not seen:
            for pane in self.panes:
                pane.clear()
            return
        if self._mouse is not None:
            point, self._mouse = self._mouse, None
            shown = self.viewer.dims.displayed
            self.viewer.dims.set_point(shown, [float(point[axis]) for axis in shown])
        self._arrange(planes(str(about(seen[0]).get("towards") or "")))
        at, steps = self._at(seen[0]), np.abs(seen[0].scale[-3:])
        first = self.viewer.dims.current_step
        for pane in self.panes:
            plane = pane.plane
            pane.show_slice(
                picture(seen, plane, at[plane.slider], first),
                (float(steps[plane.down]), float(steps[plane.right])),
                (at[plane.down], at[plane.right]),
            )

    def _arrange(self, wanted: tuple[Plane, ...]) -> None:
        if tuple(pane.plane for pane in self.panes) == wanted:
            return
        for pane in self.panes:
            self._box.removeWidget(pane)
            pane.deleteLater()
        self.panes = [Pane(plane) for plane in wanted]
        for pane in self.panes:
            pane.pointed.connect(
                lambda row, column, p=pane.plane: self._go({p.down: row, p.right: column})
            )
            pane.turned.connect(lambda by, p=pane.plane: self._turn(p.slider, by))
            self._box.addWidget(pane, 1)

    def _at(self, layer: Layer) -> list[int]:
        """The element of the volume through which the slices go."""
        size = layer.data.shape[: layer.ndim][-3:]
        here = np.round(layer.world_to_data(self.viewer.dims.point[-layer.ndim :]))[-3:]
        return [int(np.clip(n, 0, most - 1)) for n, most in zip(here, size, strict=True)]

    def _go(self, to: dict[int, int]) -> None:
        """Go to other indices along some axes of the stored array."""
        if not self._seen:
            return
        layer, point = self._seen[0], self.viewer.dims.point
        index = list(layer.world_to_data(point[-layer.ndim :]))
        for axis, at in to.items():
            index[layer.ndim - 3 + axis] = at
        world = layer.data_to_world(index)
        first = self.viewer.dims.ndim - layer.ndim
        axes = [first + layer.ndim - 3 + axis for axis in to]
        self.viewer.dims.set_point(axes, [float(world[axis - first]) for axis in axes])

    def _turn(self, axis: int, by: int) -> None:
        if self._seen:
            layer = self._seen[0]
            most = layer.data.shape[: layer.ndim][-3:][axis] - 1
            self._go({axis: int(np.clip(self._at(layer)[axis] + by, 0, most))})
