"""Volumes turned to the viewer as radiologists show them; their voxels stay as stored.

Neither data nor header of a layer is touched: slices are chosen by `dims.order`, mirrored by the
camera, and letters at the edges of the canvas say which side of the patient is where.
"""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import ArrayLike

from napari_plugin.viewer.layers import about

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Anatomy", "axis_names", "camera", "follow", "follow_current", "towards"]

OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
WORLD = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
UP_OR_LEFT = "RAS"  # the sides of the patient that radiologists have above or on the left
AXIAL = (2, 1, 0)  # world axes of the slider, of the vertical and of the horizontal
DEFAULT = ("towards", "down", "right")


def towards(affine: ArrayLike) -> str:
    """Letters of the sides of the patient to which the indices of a volume grow.

    Args:
        affine: (4, 4), from indices to world coordinates (x to the right, y to the front, z up).

    >>> towards(np.diag([-1, -1, 2, 1]))
    'LPS'
    """
    from nibabel.orientations import aff2axcodes

    return "".join(map(str, aff2axcodes(np.asarray(affine, float))))


def axis_names(letters: str) -> tuple[str, ...]:
    """Names of axes, from the side of index 0 to the other.

    >>> axis_names("LPS")
    ('R–L', 'A–P', 'I–S')
    """
    return tuple(f"{OPPOSITE[letter]}–{letter}" for letter in letters)


class Anatomy:
    """Keeps the view of a viewer as radiologists have it, while a volume is open.

    Axial slices come first, with the front of the patient above; sagittal and coronal ones, after
    napari's "roll dimensions" and "transpose", have the head above. The patient's right, or the
    front, is on the left. A view of volumes in 3-D is not mirrored either. When the last volume is
    taken away, the view is napari's own again, so that no picture is shown mirrored.

    Args:
        viewer: Whose dims, camera and canvas are set.
    """

    def __init__(self, viewer: "ViewerModel"):
        self._viewer = ref(viewer)
        self._letters, self._planes, self._warned = "", AXIAL, set[str]()
        self._turning = False
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self.update, position="last")
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay):
            event.connect(self._turn, position="last")
        camera(viewer).events.orientation.connect(self._write)

    def update(self, event: Any = None) -> None:
        """Look at the volumes that are open now; the lowest layer counts."""
        viewer = self._viewer()
        if viewer is None:
            return
        volumes = {
            layer: str(about(layer)["towards"])
            for layer in viewer.layers
            if layer.ndim > 2 and about(layer).get("towards")
        }
        letters = next(iter(volumes.values()), "")
        for layer, others in volumes.items():
            if others != letters and f"{letters} {others}" not in self._warned:
                self._warned.add(f"{letters} {others}")
                show_warning(
                    f"“{layer.name}” is stored as {others}, the volume below as {letters}: they do "
                    "not lie over each other as shown. Open them one at a time."
                )
        if letters == self._letters:
            return
        self._letters = letters
        dims = viewer.dims
        if letters:
            extra = dims.ndim - 3
            axes = [[WORLD[letter] for letter in letters].index(world) for world in self._planes]
            self._turning = True
            dims.order = (*range(extra), *(axis + extra for axis in axes))
            self._turning = False
            if not hasattr(viewer, "canvas"):  # before napari 0.9, which takes them from layers
                dims.axis_labels = (*dims.axis_labels[:extra], *axis_names(letters))
        else:
            self._planes = AXIAL
            dims.order = tuple(range(dims.ndim))
            dims.axis_labels = tuple(str(axis) for axis in range(-dims.ndim, 0))
            camera(viewer).orientation = DEFAULT
        self._turn()

    def _shown(self, viewer: "ViewerModel") -> list[str]:
        """Letters of the slider, the vertical and the horizontal; empty where they are no sides."""
        axes = [axis - (viewer.dims.ndim - 3) for axis in viewer.dims.order[-3:]]
        known = bool(self._letters) and len(axes) == 3 and min(axes) >= 0
        return [self._letters[axis] for axis in axes] if known else []

    def _turn(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None or self._turning:
            return
        shown = self._shown(viewer)
        if shown:
            self._planes = tuple(WORLD[letter] for letter in shown)  # type: ignore[assignment]
            _, vertical, horizontal = (letter in UP_OR_LEFT for letter in shown)
            slider, down, right = (_direction(letter) for letter in shown)
            right, up = (-right if horizontal else right), (down if vertical else -down)
            # Neither the patient nor a view in 3-D is mirrored: right × up points to the viewer.
            depth = "towards" if slider @ np.cross(right, up) > 0 else "away"
            camera(viewer).orientation = (
                depth,
                "up" if vertical else "down",
                "left" if horizontal else "right",
            )
        self._write()

    def _write(self, event: Any = None) -> None:
        """Letters at the edges of the canvas, which napari has since 0.9."""
        viewer = self._viewer()
        if viewer is None or not hasattr(viewer, "canvas"):
            return
        from napari.components.overlays import TextOverlay

        overlays, shown = viewer.canvas.overlays, self._shown(viewer)
        sides = dict.fromkeys(("top_center", "bottom_center", "middle_left", "middle_right"), "")
        if shown and viewer.dims.ndisplay == 2:
            _, down, right = camera(viewer).orientation
            ends = [(letter, OPPOSITE[letter]) for letter in shown[1:]]
            low, high = (0, 1) if down == "up" else (1, 0)
            sides["top_center"], sides["bottom_center"] = ends[0][low], ends[0][high]
            low, high = (0, 1) if right == "left" else (1, 0)
            sides["middle_left"], sides["middle_right"] = ends[1][low], ends[1][high]
        for side, letter in sides.items():
            key = f"keras_robust_{side}"
            if key not in overlays:
                if not letter:
                    continue
                overlays[key] = TextOverlay(position=side, font_size=14, box=True, gridded=True)
            overlays[key].text, overlays[key].visible = letter, bool(letter)


_FOLLOWED: WeakKeyDictionary["ViewerModel", Anatomy] = WeakKeyDictionary()


def follow(viewer: "ViewerModel") -> Anatomy:
    """What keeps the view of a viewer as radiologists have it; one for each viewer."""
    if viewer not in _FOLLOWED:
        _FOLLOWED[viewer] = Anatomy(viewer)
    return _FOLLOWED[viewer]


def follow_current() -> None:
    """As `follow`, for the window in front, into which a reader reads."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        follow(viewer)


def camera(viewer: "ViewerModel") -> Any:
    """Before napari 0.9 it is of the viewer itself."""
    return getattr(viewer, "scene", viewer).camera


def _direction(letter: str) -> np.ndarray:
    direction = np.zeros(3)
    direction[WORLD[letter]] = 1 if letter in UP_OR_LEFT else -1
    return direction
