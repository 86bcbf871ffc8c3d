"""Masks in views of their own beside each other, each over the image, zoomed and moved as one."""

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["PANEL", "SideBySide", "camera_of", "grid_of"]

PANEL = "panel"  # role of the copies of the image


def grid_of(viewer: "ViewerModel") -> Any:
    """The model of napari's grid, which napari 0.9 moved to the canvas."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.grid if canvas is None else canvas.grid


def camera_of(viewer: "ViewerModel") -> Any:
    """The model of the camera, which napari 0.9 moved to the scene."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


class SideBySide:
    """napari's grid with one view per mask.

    A view holds a mask and the image below it, so every view but the first has a copy of the
    image layer; it shares its data. Everything else is hidden meanwhile, and the layers are put
    back in their order at the end.

    Args:
        viewer: Where.
    """

    def __init__(self, viewer: "ViewerModel"):
        self._viewer = viewer
        self._copies: list[Layer] = []
        self._order: list[Layer] = []
        self._visible: dict[Layer, bool] = {}
        self._grid: dict[str, Any] = {}
        self.members: list[Layer] = []

    @property
    def shown(self) -> bool:
        """Whether the masks are beside each other."""
        return bool(self._grid)

    def show(self, image: Layer | None, masks: list[Layer]) -> None:
        """Lay out one view per mask, in this order.

        Args:
            image: Below each of them.
            masks: Layers of the viewer.
        """
        self.leave()
        layers, grid = self._viewer.layers, grid_of(self._viewer)
        self._order, selected = list(layers), set(layers.selection)
        self._visible = {layer: layer.visible for layer in layers}
        self.members = [layer for layer in (image, *masks) if layer is not None]
        rows: list[Layer] = []
        for number, mask in enumerate(masks):
            if image is not None:
                rows.append(image if number == 0 else self._copy(image, number))
            rows.append(mask)
        for place, layer in enumerate(rows):
            layers.move(layers.index(layer), place)
        for layer in layers:
            layer.visible = layer in rows
        self._grid = {name: getattr(grid, name) for name in ("enabled", "stride", "shape")}
        grid.stride, grid.shape = (1 if image is None else 2), (-1, -1)
        grid.enabled = True
        layers.selection = selected

    def leave(self) -> None:
        """One view again, with the layers as they were."""
        if not self.shown:
            return
        layers, grid = self._viewer.layers, grid_of(self._viewer)
        before, self._grid = self._grid, {}
        for name, value in before.items():
            setattr(grid, name, value)
        for copy in self._copies:
            if copy in layers:
                layers.remove(copy)
        for place, layer in enumerate([layer for layer in self._order if layer in layers]):
            layers.move(layers.index(layer), place)
        for layer, visible in self._visible.items():
            if layer in layers:
                layer.visible = visible
        self._copies, self._order, self._visible, self.members = [], [], {}, []

    def _copy(self, image: Layer, number: int) -> Layer:
        data, state, kind = image.as_layer_data_tuple()
        noted = dict(state.get("metadata") or {}) | {"keras_robust": {"role": PANEL}}
        state |= {"name": f"{image.name} ({number + 1})", "metadata": noted}
        copy = Layer.create(data, state, kind) if isinstance(image, Image) else image
        self._viewer.add_layer(copy)
        self._copies.append(copy)
        return copy
