"""What the layers of a viewer are, how large their elements are, and boxes to choose them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox

from napari_plugin.files.grids import in_millimetres, layer_affine

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "LayerBox",
    "LayerList",
    "Spacing",
    "about",
    "case_id",
    "guess",
    "place",
    "role",
    "spacing",
    "to_world",
]

WORDS = {
    "difference": r"differen|disagree",
    "prediction": r"pred|model|output|suggest",
    "noisy": r"nois|crowd|corrupt|novice",
    "corrected": r"correct|repair",
    "reference": r"ref|clean|truth|\bgt\b|_gt\b|gold|expert|mask|label",
}


def about(layer: Layer) -> Mapping[str, Any]:
    """What keras-robust has noted on a layer: dataset, id, annotator, role, spacing."""
    noted = layer.metadata.get("keras_robust")
    return noted if isinstance(noted, Mapping) else {}


def role(layer: Layer) -> str:
    """ "image", "reference", "noisy", "prediction", "corrected", "difference", or "" if unknown."""
    noted = about(layer).get("role")
    if noted:
        return str(noted)
    if isinstance(layer, Image):
        return "image"
    name = layer.name.casefold()
    return next((known for known, words in WORDS.items() if re.search(words, name)), "")


def case_id(layer: Layer) -> str:
    """The id of the image that a layer shows, or else the layer's name."""
    return str(about(layer).get("id") or layer.name)


def guess(layers: Iterable[Layer]) -> dict[str, Layer | None]:
    """The likely image, reference, noisy and prediction among layers, upper layers first.

    Masks whose role is unknown fill the places left, lower ones first; layers of one image are
    kept together where their ids are known.
    """
    usable = [layer for layer in layers if isinstance(layer, (Image, Labels))][::-1]
    found: dict[str, Layer | None] = dict.fromkeys(("image", "reference", "noisy", "prediction"))

    def fits(layer: Layer) -> bool:
        ids = {about(other).get("id") for other in found.values() if other is not None}
        return not about(layer).get("id") or ids <= {None, about(layer)["id"]}

    for layer in usable:
        own = role(layer)
        if own in found and found[own] is None and fits(layer):
            if isinstance(layer, Image) == (own == "image"):
                found[own] = layer
    unknown = [layer for layer in usable[::-1] if isinstance(layer, Labels) and not role(layer)]
    for name in ("reference", "noisy", "prediction"):
        if found[name] is None and unknown:
            found[name] = unknown.pop(0)
    return found


@dataclass(frozen=True)
class Spacing:
    """Distance between neighbouring elements of a layer, along each axis.

    Attributes:
        step: One number per axis.
        unit: "mm"; "px" where nothing is known; "units" where the layer is scaled, but does not say
            in what.
    """

    step: tuple[float, ...]
    unit: str


def place(layer: Layer) -> dict[str, Any]:
    """Arguments that put another layer where this one lies."""
    found = {name: getattr(layer, name) for name in ("scale", "translate", "rotate", "shear")}
    return found | {"affine": layer.affine.affine_matrix, "units": layer.units}


def to_world(layer: Layer) -> NDArray[np.float64]:
    """From the indices of a layer to the world, as a matrix of homogeneous coordinates."""
    return layer_affine(place(layer), layer.ndim)


def spacing(layer: Layer) -> Spacing:
    """Of a layer: as noted with its dataset, otherwise from its place in the world."""
    noted = about(layer).get("spacing_mm")
    if noted is not None and len(noted) == layer.ndim:
        return Spacing(tuple(float(s) for s in noted), "mm")
    steps = np.linalg.norm(to_world(layer)[:-1, :-1], axis=0).round(9)
    scale = tuple(float(s) or 1.0 for s in steps)
    factors = in_millimetres(layer.units)
    if factors is None:
        return Spacing(scale, "px" if set(scale) == {1.0} else "units")
    return Spacing(tuple(s * factor for s, factor in zip(scale, factors, strict=True)), "mm")


class LayerBox(QComboBox):
    """A box to choose a layer, which follows the list of layers.

    Args:
        viewer: Whose layers.
        accepts: Whether a layer may be chosen.
        none: Text of the first entry, which stands for no layer.

    Attributes:
        chosen: Another layer was chosen, by the user or because the last one was removed.
    """

    chosen = Signal()

    def __init__(self, viewer: "ViewerModel", accepts: Callable[[Layer], bool], none: str = "none"):
        super().__init__()
        self._viewer, self._accepts, self._none = viewer, accepts, none
        self._layers: list[Layer] = []
        self.by_hand = False  # what the user chose stays chosen
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.activated.connect(self._note_hand)
        self.currentIndexChanged.connect(self._tell)
        self.update_layers()

    @property
    def layer(self) -> Layer | None:
        """The layer chosen."""
        index = self.currentIndex() - 1
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer of the list, or none."""
        self.setCurrentIndex(self._layers.index(layer) + 1 if layer in self._layers else 0)

    def update_layers(self) -> None:
        """Follow the list of layers; one that was removed is no longer chosen."""
        before = self.layer
        with QSignalBlocker(self):
            self._layers = [layer for layer in self._viewer.layers if self._accepts(layer)][::-1]
            self.clear()
            self.addItems([self._none, *(layer.name for layer in self._layers)])
            for index, layer in enumerate(self._layers, start=1):
                self.setItemData(index, layer.name, Qt.ItemDataRole.ToolTipRole)
            self.choose(before)
        if self.layer is not before:
            self.by_hand = False
            self._tell()

    def _note_hand(self) -> None:
        self.by_hand = True

    def _tell(self) -> None:
        self.chosen.emit()


class LayerList(QObject):
    """Tells when layers came, went, moved or were renamed; once for many changes.

    Args:
        viewer: Whose layers.
        parent: Owner of this object.

    Attributes:
        changed: When the window has nothing else to do.
    """

    changed = Signal()

    def __init__(self, viewer: "ViewerModel", parent: QObject):
        super().__init__(parent)
        self._viewer = viewer
        self._named: list[Layer] = []
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.changed)
        events = viewer.layers.events
        self._events = (events.inserted, events.removed, events.reordered)
        for event in self._events:
            event.connect(self._update)
        self._follow_names()

    def stop(self) -> None:
        """Listen no more."""
        self._soon.stop()
        for event in self._events:
            event.disconnect(self._update)
        self._follow_names(False)

    def _update(self, event: Any = None) -> None:
        self._follow_names()
        self._soon.start()

    def _follow_names(self, follow: bool = True) -> None:
        for layer in self._named:
            layer.events.name.disconnect(self._soon_changed)
        self._named = list(self._viewer.layers) if follow else []
        for layer in self._named:
            layer.events.name.connect(self._soon_changed)

    def _soon_changed(self, event: Any = None) -> None:
        self._soon.start()
