"""GeoJSON, as QuPath writes it: a file of features beside each image."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_json
from keras_robust.common.opening import shown
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import Sheet, found_sheets
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found
from keras_robust.data.exchange.json_kinds import fits_json, read_kind
from keras_robust.data.exchange.optional import optional
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.shapes import Polygon, Shape
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES
from keras_robust.data.layouts.folders import SPLITS
from keras_robust.data.problems import Problem, error

__all__ = ["GEOJSON", "polygons_of", "read_geojson", "write_geojson"]

WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
UNCLASSIFIED = "object"


def read_geojson(source: Path, given: Given) -> Found:
    """Polygons with their holes, by the name of their classification; those of "Region*" say where
    to look, and are no class."""
    problems: list[Problem] = []
    root = source if source.is_dir() else source.parent
    notes: Counter[str] = Counter()
    sheets: list[Sheet] = []
    for path, value in read_kind(source, "geojson", problems):
        image = _image_beside(path, root, given)
        if image is None:
            message = (
                f"has no image of its name, such as {path.stem}.png, beside it or in images/; "
                "name the folder of the images (--images)"
            )
            problems.append(error("missing-file", message, path=path.name))
            continue
        shapes = list(_shapes(_features(value), path, notes, problems))
        split = SPLITS.get(path.parent.name.lower(), "") if path.parent != root else ""
        sheets.append(Sheet(image, shapes, None, given.annotator, split))
    return found_sheets(GEOJSON.title, root, sheets, notes, problems)


def _image_beside(path: Path, root: Path, given: Given) -> Path | None:
    """The image that a file is named for, with or without the ending of the image."""
    name = path.name[: -len(path.suffix)]
    folders = [path.parent, path.parent / "images", root / "images", root]
    for folder in [given.images] if given.images else folders:
        for candidate in (name, *(name + suffix for suffix in IMAGE_SUFFIXES)):
            found = folder / candidate
            if found.suffix.lower() in IMAGE_SUFFIXES and found.is_file():
                return found
    return None


def _features(value: Any) -> list[Any]:
    if isinstance(value, dict):
        listed = value.get("features")
        return listed if isinstance(listed, list) else [value]
    return value


def _shapes(
    features: list[Any], path: Path, notes: Counter[str], problems: list[Problem]
) -> Iterator[tuple[str, Shape]]:
    for number, feature in enumerate(features, start=1):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        name = _class(properties if isinstance(properties, dict) else {})
        if name == "Region*":
            notes["region(s) to look in (Region*) are no class"] += 1
            continue
        if name is None:
            name = UNCLASSIFIED
            notes[f"shape(s) without a classification are of the class {UNCLASSIFIED}"] += 1
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        try:
            for rings in _polygons(geometry, notes):
                yield name, Polygon(rings)
        except (TypeError, ValueError, OverflowError, RecursionError) as reason:
            problems.append(error("shape", f"feature {number}: {reason}", path=path.name))


def _class(properties: dict[str, Any]) -> str | None:
    found = properties.get("classification")
    if isinstance(found, dict):
        names = found.get("names")
        if isinstance(names, list) and names and all(isinstance(n, str) for n in names):
            return ": ".join(names)
        found = found.get("name")
    return found if isinstance(found, str) and found else None


def _polygons(geometry: Any, notes: Counter[str]) -> Iterator[list[Any]]:
    """The rings of each polygon."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind in WITHOUT_AREA:
        notes[f"shape(s) of the type {kind} cover nothing and are left out"] += 1
    elif kind == "GeometryCollection":
        for inner in geometry.get("geometries") or []:
            yield from _polygons(inner, notes)
    elif kind in ("Polygon", "MultiPolygon"):
        listed = geometry.get("coordinates")
        for rings in [listed] if kind == "Polygon" else listed:
            if not isinstance(rings, list) or not rings:
                raise ValueError("a polygon has no rings")
            yield rings
    else:
        raise ValueError(f"its geometry is {shown(geometry)}")


def polygons_of(mask: NDArray[np.bool_]) -> Any:
    """A mask as a polygon of shapely along the edges of its pixels, which covers these alone.

    Raises:
        ImportError: shapely is not installed.
    """
    shapely = optional("shapely")
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    rows, starts = np.nonzero(np.diff(padded, axis=1) == 1)
    _, ends = np.nonzero(np.diff(padded, axis=1) == -1)
    # Each run of a row is a box; their union has no line between them.
    return shapely.union_all(shapely.box(starts, rows, ends, rows + 1)).simplify(0)


def write_geojson(dataset: Dataset, export: Export) -> None:
    """A feature for each class of an image, along the edges of pixels; labels.txt."""
    shapely = optional("shapely")
    for case in export.cases():
        features = []
        for number, mask in export.masks(case):
            if mask.any():
                classification = {"name": export.names[number]}
                features.append(
                    {
                        "type": "Feature",
                        "geometry": shapely.geometry.mapping(polygons_of(mask)),
                        "properties": {
                            "objectType": "annotation",
                            "classification": classification,
                        },
                    }
                )
        folder = Path(case.split)
        if export.copy:
            export.image(case, folder)
        value = {"type": "FeatureCollection", "features": features}
        atomic_write_json(export.folder / folder / f"{case.id}.geojson", value)
    export.write_names()


GEOJSON = Format(
    "GeoJSON (QuPath)",
    "a .geojson of the name of each image",
    fits_json("geojson"),
    read_geojson,
    write_geojson,
)
