"""LabelMe: a JSON file beside each image."""

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_bytes, atomic_write_json
from keras_robust.common.opening import shown
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import Images, Sheet, found_sheets
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found, Made
from keras_robust.data.exchange.json_kinds import fits_json, read_kind
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.shapes import Ellipse, Pixels, Polygon, Shape, rectangle
from keras_robust.data.files.formats import picture_of
from keras_robust.data.files.images import encode_mask
from keras_robust.data.layouts.folders import SPLITS
from keras_robust.data.problems import Problem, error

__all__ = ["LABELME", "read_labelme", "write_labelme"]

WITHOUT_AREA = ("line", "linestrip", "point", "points")
ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp"}


def read_labelme(source: Path, given: Given) -> Found:
    """Polygons, rectangles, circles and masks; lines and points cover nothing."""
    problems: list[Problem] = []
    root = source if source.is_dir() else source.parent
    notes: Counter[str] = Counter()
    sheets: list[Sheet] = []
    for path, value in read_kind(source, "labelme", problems):
        image = _image(value, path, given, root)
        if isinstance(image, str):
            problems.append(error("missing-file", image, path=path.name))
            continue
        shapes = _shapes(value["shapes"], path, notes, problems)
        height, width = value.get("imageHeight"), value.get("imageWidth")
        size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        split = SPLITS.get(path.parent.name.lower(), "") if path.parent != root else ""
        # LabelMe saves the image as it shows it, so that it needs no turning back.
        sheets.append(Sheet(image, shapes, size, given.annotator, split))
    return found_sheets(LABELME.title, root, sheets, notes, problems)


def _image(value: dict[str, Any], path: Path, given: Given, root: Path) -> Path | Made | str:
    """The image that a file names, or the one that it holds, or why there is none."""
    name = value.get("imagePath")
    images = Images([given.images] if given.images else [path.parent, root, root / "images"])
    found = images.find(name) if isinstance(name, str) else "does not name its image (imagePath)"
    data = value.get("imageData")
    if isinstance(found, Path) or not isinstance(data, str):
        return found
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        return "holds an image that is damaged (imageData)"
    suffix = next((s for mark, s in ENDINGS.items() if content.startswith(mark)), None)
    if suffix is None:
        return "holds an image that is neither PNG, JPEG nor BMP (imageData)"
    return Made(path, suffix, lambda target: atomic_write_bytes(target, content))


def _shapes(
    listed: list[Any], path: Path, notes: Counter[str], problems: list[Problem]
) -> list[tuple[str, Shape]]:
    found: list[tuple[str, Shape]] = []
    for number, one in enumerate(listed, start=1):
        label = one.get("label") if isinstance(one, dict) else None
        kind = (one.get("shape_type") or "polygon") if isinstance(one, dict) else ""
        if not isinstance(label, str):
            message = f"shape {number} has no label: {shown(one)}"
            problems.append(error("shape", message, path=path.name))
        elif kind in WITHOUT_AREA:
            notes[f"shape(s) of the type {kind} cover nothing and are left out"] += 1
        else:
            try:
                found.append((label, _shape(kind, one)))
            except (TypeError, ValueError, OverflowError) as reason:
                message = f"shape {number} ({shown(label)}): {reason}"
                problems.append(error("shape", message, path=path.name))
    return found


def _shape(kind: str, one: dict[str, Any]) -> Shape:
    points = one.get("points")
    if kind in ("polygon", "oriented_rectangle"):
        return Polygon([points])  # type: ignore[list-item]
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"its type {shown(kind)} is not known")
    corners = np.asarray(points, np.float64)
    if corners.shape != (2, 2) or not (np.abs(corners) < 1e7).all():
        raise ValueError(f"a {kind} has two points, not {shown(points)}")
    (x, y), (to_x, to_y) = corners.tolist()
    if kind == "circle":
        radius = float(np.hypot(to_x - x, to_y - y))
        return Ellipse(x, y, radius, radius)
    if kind == "rectangle":
        return rectangle(x, y, to_x, to_y)
    if not isinstance(one.get("mask"), str):
        raise ValueError("a mask has its pixels in `mask`")
    drawn = picture_of(base64.b64decode(one["mask"], validate=True)).brightness() > 0
    size = int(to_y) - int(y) + 1, int(to_x) - int(x) + 1  # both ends are in it
    if drawn.shape != size:
        raise ValueError(f"its mask of {drawn.shape} pixels does not fill {size}")
    return Pixels(drawn, int(y), int(x))


def write_labelme(dataset: Dataset, export: Export) -> None:
    """One mask for each class beside each image, in folders by splits; labels.txt.

    Its `labels` option reads labels.txt.
    """
    for case in export.cases():
        folder = Path(case.split)
        shapes = []
        for number, mask in export.masks(case):
            if mask.any():
                shapes.append(_mask_shape(export.names[number], mask))
        height, width = mask.shape
        value = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": export.image(case, folder, folder),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        atomic_write_json(export.folder / folder / f"{case.id}.json", value)
    export.write_names()


def _mask_shape(name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left, bottom, right = map(int, (rows[0], columns[0], rows[-1], columns[-1]))
    part = mask[top : bottom + 1, left : right + 1]
    return {
        "label": name,
        "points": [[left, top], [right, bottom]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(encode_mask(part)).decode(),
    }


LABELME = Format(
    "LabelMe",
    "a .json with shapes beside each image",
    fits_json("labelme"),
    read_labelme,
    write_labelme,
)
