"""Tools of the library at work on the mask in view: computed in a thread, one step of undo each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from keras_robust.review import ReviewCase, tools
from napari_plugin.review.layers import CaseLayers
from napari_plugin.viewer.contours import draw_contour
from napari_plugin.viewer.layers import spacing
from napari_plugin.viewer.owned_layer import OwnedLabels
from napari_plugin.viewer.style import CASING, CASING_COLOUR, ROLE_COLOURS
from napari_plugin.work.child import in_words
from napari_plugin.work.serial_thread import SerialThread

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Scene", "Toolbox"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a tool works on; copies, so that painting may go on.

    Attributes:
        labels: `(*spatial)`, the mask.
        label: The class that is painted.
        spacing: Per axis, in mm where it is known.
        mm: How far to grow, shrink or smooth, in units of `spacing`.
        brush: Width of the brush, in units of `spacing`.
        axis: Across the slices in view; `None` of a picture.
        index: Of the slice in view.
        at: The element under the mouse; `None` outside.
        suggestion: `(*spatial)`; `None` without.
    """

    labels: NDArray[np.uint8]
    label: int
    spacing: tuple[float, ...]
    mm: float
    brush: float
    axis: int | None = None
    index: int = 0
    at: tuple[int, ...] | None = None
    suggestion: NDArray[np.uint8] | None = None


def _swap(scene: Scene) -> NDArray[np.uint8]:
    under = int(scene.labels[_at(scene)])
    return tools.swap_classes(scene.labels, under, scene.label) if under else scene.labels


def _at(scene: Scene) -> tuple[int, ...]:
    if scene.at is None:
        raise ValueError("Point at the image with the mouse: this tool works where it is.")
    return scene.at


def _suggestion(scene: Scene) -> NDArray[np.uint8]:
    if scene.suggestion is None:
        raise ValueError("There is no suggestion to take this from.")
    return scene.suggestion


def _axis(scene: Scene) -> int:
    if scene.axis is None:
        raise ValueError("This tool is for volumes: a picture has one slice.")
    return scene.axis


def _copy(scene: Scene) -> NDArray[np.uint8]:
    axis = _axis(scene)
    if scene.index + 1 >= scene.labels.shape[axis]:
        raise ValueError("This is the last slice.")
    return tools.copy_slice(scene.labels, scene.label, axis, scene.index, scene.index + 1)


TOOLS: Mapping[str, Callable[[Scene], NDArray[np.uint8]]] = {
    "grow": lambda s: tools.grow(s.labels, s.label, s.mm, s.spacing),
    "shrink": lambda s: tools.shrink(s.labels, s.label, s.mm, s.spacing),
    "smooth": lambda s: tools.smooth(s.labels, s.label, 2 * s.mm, s.spacing),
    "fill holes": lambda s: tools.fill_holes(s.labels, s.label),
    "remove islands": lambda s: tools.remove_islands(s.labels, s.label),
    "keep largest": lambda s: tools.keep_largest(s.labels, s.label),
    "snap": lambda s: tools.snap(s.labels, s.label, _suggestion(s), s.brush / 2, s.spacing),
    "take piece": lambda s: tools.take_piece(s.labels, _suggestion(s), _at(s)),
    "change piece": lambda s: tools.change_piece(s.labels, _at(s), s.label),
    "swap classes": _swap,
    "interpolate": lambda s: tools.interpolate_slices(s.labels, s.label, _axis(s), s.spacing),
    "copy slice": _copy,
}
POINTED = ("take piece", "change piece", "swap classes")  # work where the mouse is


class Toolbox(QObject):
    """Runs tools on what is shown.

    Args:
        viewer: Where the mouse and the slice in view are.
        layers: The mask.

    Attributes:
        said: What the reviewer should know.
        mm: How far to grow, shrink or smooth.
        changed: A tool has changed the mask.
    """

    said = Signal(str)
    changed = Signal()

    def __init__(self, viewer: "ViewerModel", layers: CaseLayers):
        super().__init__()
        self._viewer, self._layers = viewer, layers
        self.mm = 1.0
        self.range: tuple[float, float] | None = None
        self._image: NDArray | None = None
        self._thread = SerialThread("review-tools")
        self._shown = OwnedLabels(viewer, {"role": "preview"}, lambda: None)
        self._asked = 0
        layers.stroked.connect(self._stroke)

    @property
    def unit(self) -> str:
        """Of `mm`: "mm", or "px" where the spacing is not known."""
        layer = self._layers.corrected
        return "mm" if layer is not None and spacing(layer).unit == "mm" else "px"

    def show(self, case: ReviewCase) -> None:
        """Work on a case that has come into view."""
        self.drop()
        self._image = case.image
        if self.range is not None:
            self._restrict(self.range)

    def scene(self) -> Scene | None:
        """What a tool would work on now; `None` while nothing is shown."""
        layer, labels = self._layers.corrected, self._layers.labels
        if layer is None or labels is None:
            return None
        steps = spacing(layer).step
        axis = int(self._viewer.dims.order[0]) if layer.ndim > 2 else None
        at = np.round(layer.world_to_data(self._viewer.cursor.position)).astype(int)[-layer.ndim :]
        inside = all(0 <= n < size for n, size in zip(at, labels.shape, strict=True))
        here = np.round(layer.world_to_data(self._viewer.dims.point)).astype(int)
        return Scene(
            labels,
            self._layers.label,
            steps,
            self.mm,
            layer.brush_size * min(steps),
            axis,
            0 if axis is None else int(here[axis]),
            tuple(int(n) for n in at) if inside else None,
            self._layers.suggestion,
        )

    def run(self, name: str) -> None:
        """Change the mask by a tool, in the background."""
        scene = self.scene()
        if scene is None:
            return
        if not self._layers.guard.may_paint(scene.label):
            self.said.emit("The class to paint is locked: untick its lock, or choose another.")
            return
        self.drop()
        self._ask(TOOLS[name], scene, lambda labels: self._apply(name, scene, labels))

    def preview(self, name: str) -> None:
        """Show what a tool would make of the mask, as a line, until `drop`."""
        scene = None if name in POINTED else self.scene()
        if scene is not None:
            self._ask(TOOLS[name], scene, lambda labels: self._show(scene, labels), quiet=True)

    def drop(self) -> None:
        """Show no preview; what is being computed is not applied."""
        self._asked += 1
        self._shown.remove()

    def threshold(self, on: bool) -> tuple[float, float] | None:
        """Let the brush paint only a range of values, by default that of the class; its range."""
        self.range = None
        scene = self.scene() if on else None
        if scene is not None and self._image is not None:
            found = tools.intensity_range(_grey(self._image), scene.labels, scene.label)
            self.range = found or self._layers.contrast
        self._restrict(self.range)
        return self.range

    def set_range(self, low: float, high: float) -> None:
        """Let the brush paint only values from `low` to `high`."""
        self.range = (low, high)
        self._restrict(self.range)

    def stop(self) -> None:
        """Compute no more, and give the viewer back."""
        self.drop()
        self._layers.guard.within = None
        self._thread.end()

    def _restrict(self, limits: tuple[float, float] | None) -> None:
        image = self._image
        if limits is None or image is None:
            self._layers.guard.within = None
            return
        low, high = limits

        def within(place: tuple[slice, ...]) -> NDArray[np.bool_]:
            values = _grey(image[place])
            return (values >= low) & (values <= high)

        self._layers.guard.within = within

    def _ask(
        self,
        tool: Callable[[Scene], NDArray[np.uint8]],
        scene: Scene,
        then: Callable[[NDArray[np.uint8]], Any],
        quiet: bool = False,
    ) -> None:
        self._asked += 1
        number = self._asked

        def current(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return lambda value: call(value) if number == self._asked else None

        def fail(error: Exception) -> None:
            if not quiet:
                self.said.emit(in_words(error))

        self._thread.ask(tool, scene, done=current(then), failed=current(fail))

    def _apply(self, name: str, scene: Scene, labels: NDArray[np.uint8]) -> None:
        before = self._layers.labels
        if before is None or not np.array_equal(before, scene.labels):
            self.said.emit("The mask was painted on meanwhile. Use the tool again.")
            return
        self._layers.put(labels)
        after = self._layers.labels
        count = 0 if after is None else int(np.count_nonzero(after != before))
        if name == "copy slice" and scene.axis is not None:
            self._viewer.dims.set_current_step(scene.axis, scene.index + 1)
        told = self._amount(count, scene.spacing)
        step = min(scene.spacing)
        if not count and name in ("grow", "shrink") and scene.mm < step:
            told += f", since {scene.mm:g} {self.unit} is less than one step of {step:g}"
        self.said.emit(f"{name.capitalize()}: {told}.")
        self.changed.emit()

    def _amount(self, count: int, steps: Sequence[float]) -> str:
        if not count:
            return "nothing changed"
        told = f"{count} {'voxels' if len(steps) > 2 else 'pixels'} changed"
        if len(steps) > 2 and self.unit == "mm":
            told += f" ({count * float(np.prod(steps)) / 1000:.3g} ml)"
        return f"{told}; Ctrl+Z takes it back"

    def _show(self, scene: Scene, labels: NDArray[np.uint8]) -> None:
        layer = self._layers.corrected
        if layer is not None:
            own = (labels == scene.label).astype(np.uint8)
            colours = {1: ROLE_COLOURS["difference"], CASING: CASING_COLOUR}
            shown = self._shown.show(own, layer, colours, name="preview")
            draw_contour(shown)

    def _stroke(self, where: tuple[NDArray, ...]) -> None:
        """A stroke of the smart brush: what hangs together with it becomes the class."""
        scene = self.scene()
        if scene is None or self._image is None:
            return
        stroke, image = np.zeros(scene.labels.shape, bool), self._image
        stroke[where] = True
        reach = 4 * scene.brush

        def walk(scene: Scene) -> NDArray[np.uint8]:
            return tools.smart_brush(
                image, scene.labels, scene.label, stroke, reach, scene.spacing, scene.axis
            )

        # Not as one of `_ask`: a further stroke waits for this one, and does not replace it.
        self._thread.ask(
            walk,
            scene,
            done=lambda labels: self._merge(scene, labels),
            failed=lambda error: self.said.emit(in_words(error)),
        )

    def _merge(self, scene: Scene, labels: NDArray[np.uint8]) -> None:
        now = self._layers.labels
        if now is not None and now.shape == labels.shape:
            where = labels != scene.labels
            now[where] = labels[where]
            self._layers.put(now)


def _grey(image: NDArray) -> NDArray:
    """Channels, the last axis, as their mean."""
    return image[..., 0] if image.shape[-1] == 1 else image.mean(axis=-1)
