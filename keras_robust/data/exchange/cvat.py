"""CVAT for images 1.1: annotations.xml with polygons, boxes, ellipses and masks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, indent, tostring
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.opening import UnreadableFileError, open_plain, read_bytes, shown
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import Images, Sheet, found_sheets
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found
from keras_robust.data.exchange.json_kinds import MOST_BYTES
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.shapes import Ellipse, Polygon, Runs, Shape, rectangle, runs_of
from keras_robust.data.layouts.folders import SPLITS
from keras_robust.data.problems import Problem, error

__all__ = ["CVAT", "parse_xml", "read_cvat", "write_cvat"]

MASKS = ("polygon", "box", "ellipse", "mask")
WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")
COLOURS = ("#fa3253", "#33ddff", "#34d1b7", "#ff007c", "#ffcc33", "#b83df5", "#24b353", "#66ff66")


def parse_xml(content: bytes) -> Element:
    """The root of an XML text that declares no types and entities of its own.

    Raises:
        ValueError: Not XML, or with a document type, by which it could grow without bound or name
            other files.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda tag, attributes: builder.start(tag, attributes) and None
    parser.EndElementHandler = lambda tag: builder.end(tag) and None
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
        return builder.close()
    except expat.ExpatError as reason:
        raise ValueError(f"is not XML: {reason}") from None


def _refuse(*_: Any) -> None:
    raise ValueError("has a document type (DOCTYPE), which annotations do not need; remove it")


def fits_cvat(source: Path) -> bool:
    """Whether a file, or one .xml in a folder, begins as CVAT does."""
    return any(map(_begins, _files(source)))


def _begins(path: Path) -> bool:
    try:
        with open_plain(path) as file:
            return b"<annotations" in file.read(1000)
    except (OSError, ValueError):
        return False


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return [p for p in sorted(source.glob("*.xml")) if p.is_file() and p.name[0] != "."]
    return [source] if source.suffix.lower() == ".xml" and source.is_file() else []


def read_cvat(source: Path, given: Given) -> Found:
    """Shapes are painted by their `z_order`, then in the order of the file."""
    problems: list[Problem] = []
    root = source if source.is_dir() else source.parent
    notes: Counter[str] = Counter()
    images = Images([given.images] if given.images else [root / "images", root])
    names: dict[str, None] = {}
    sheets: list[Sheet] = []
    for file in _files(source):
        try:
            tree = parse_xml(read_bytes(file, MOST_BYTES))
        except (UnreadableFileError, ValueError) as reason:
            message = getattr(reason, "reason", str(reason))
            problems.append(error("xml", message, path=file.name))
            continue
        if tree.tag != "annotations":
            continue
        if tree.find("track") is not None:
            message = "is of a video (tracks); export the task as 'CVAT for images 1.1'"
            problems.append(error("xml", message, path=file.name))
        texts = (label.findtext("name") or "" for label in tree.iter("label"))
        names |= dict.fromkeys(text.strip() for text in texts if text.strip())
        split = SPLITS.get(file.stem.lower(), "")
        drawn = _sheets(tree, images, split, notes, problems)
        sheets += [replace(sheet, annotator=given.annotator) for sheet in drawn]
    return found_sheets(CVAT.title, root, sheets, notes, problems, names or None)


def _sheets(
    tree: Element, images: Images, split: str, notes: Counter[str], problems: list[Problem]
) -> Iterator[Sheet]:
    for image in tree.iter("image"):
        name = image.get("name", "")
        found = images.find(name)
        if isinstance(found, str):
            problems.append(error("missing-file", found, path=name))
            continue
        shapes = _shapes(image, name, notes, problems)
        height, width = _whole(image.get("height")), _whole(image.get("width"))
        told = None if height is None or width is None else (height, width)
        own = SPLITS.get(image.get("subset", "").lower(), split)
        yield Sheet(found, shapes, told, split=own)


def _shapes(
    image: Element, name: str, notes: Counter[str], problems: list[Problem]
) -> list[tuple[str, Shape]]:
    found: list[tuple[int, str, Shape]] = []
    for number, one in enumerate(image, start=1):
        if one.tag in WITHOUT_AREA:
            notes[f"shape(s) of the type {one.tag} are left out"] += 1
        elif one.tag in MASKS:
            try:
                shape = _shape(one.tag, one.attrib)
                found.append((_whole(one.get("z_order", "0")) or 0, one.get("label", ""), shape))
            except (KeyError, ValueError, OverflowError) as reason:
                said = f"has no {reason}" if isinstance(reason, KeyError) else str(reason)
                problems.append(error("shape", f"shape {number}, {one.tag}: {said}", path=name))
    return [(label, shape) for _, label, shape in sorted(found, key=lambda item: item[0])]


def _shape(tag: str, values: Mapping[str, str]) -> Shape:
    if tag == "polygon":
        points = [point.split(",") for point in values["points"].split(";") if point.strip()]
        if any(len(point) != 2 for point in points):
            raise ValueError(f"its points are not pairs of numbers: {shown(values['points'])}")
        return Polygon([[(float(x), float(y)) for x, y in points]])
    degrees = float(values.get("rotation", 0))
    if tag == "box":
        left, top, right, bottom = (float(values[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        return rectangle(left, top, right, bottom, degrees, "centre")
    if tag == "ellipse":
        x, y, half_width, half_height = (float(values[key]) for key in ("cx", "cy", "rx", "ry"))
        return Ellipse(x, y, half_width, half_height, degrees)
    lengths = np.array([int(text) for text in values["rle"].split(",")], np.int64)
    box = int(values["height"]), int(values["width"])
    return Runs(lengths, box, top=int(values["top"]), left=int(values["left"]))


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def write_cvat(dataset: Dataset, export: Export) -> None:
    """annotations.xml, with a mask for each class of an image, and images/SPLIT/."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "name").text = dataset.name
    SubElement(task, "size").text = str(len(export.chosen))
    SubElement(task, "mode").text = "annotation"
    labels = SubElement(task, "labels")
    for number, name in export.names.items():
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "color").text = COLOURS[number % len(COLOURS)]
        SubElement(label, "type").text = "any"
        SubElement(label, "attributes")
    for number, case in enumerate(export.cases()):
        path = export.image(case, Path("images", case.split), Path("images"))
        image = SubElement(root, "image", id=str(number), name=path)
        if case.split:
            image.set("subset", case.split)
        for value, mask in export.masks(case):
            if mask.any():
                attributes = {"label": export.names[value], "source": "manual", "occluded": "0"}
                SubElement(image, "mask", {**attributes, **_box(mask), "z_order": "0"})
        image.set("width", str(mask.shape[1]))
        image.set("height", str(mask.shape[0]))
    indent(root)
    content = tostring(root, encoding="utf-8", xml_declaration=True)
    atomic_write_bytes(export.folder / "annotations.xml", content + b"\n")


def _box(mask: NDArray[np.bool_]) -> dict[str, str]:
    """The smallest box around a mask, and the runs that fill it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lengths = runs_of(part.ravel())
    return {
        "rle": ", ".join(map(str, lengths)),
        "left": str(columns[0]),
        "top": str(rows[0]),
        "width": str(part.shape[1]),
        "height": str(part.shape[0]),
    }


CVAT = Format(
    "CVAT for images",
    "annotations.xml of CVAT",
    fits_cvat,
    read_cvat,
    write_cvat,
)
