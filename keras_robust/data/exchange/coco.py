"""COCO: one JSON file of images, categories, and annotations with polygons or runs of pixels."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_json
from keras_robust.common.opening import UnreadableFileError, read_json, shown
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import Images, Sheet, found_sheets
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found
from keras_robust.data.exchange.json_kinds import MOST_BYTES, fits_json, json_files, json_kind
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.shapes import Polygon, Runs, Shape, runs_of
from keras_robust.data.layouts.folders import SPLITS
from keras_robust.data.problems import Problem, error

__all__ = ["COCO", "decode_counts", "encode_counts", "read_coco", "write_coco"]


def decode_counts(text: str) -> NDArray[np.int64]:
    """The runs that COCO's compressed text stands for: six bits a character from "0" on, of which
    the sixth says that more follow; from the third run on, the change against the one before last.

    Raises:
        ValueError: A text that is none.

    >>> decode_counts("52203").tolist()
    [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("its runs are no text of COCO")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)  # of a negative number, all higher bits are 1
            value += runs[-2] if len(runs) > 2 else 0
            runs.append(value)
            value = shift = 0
    if shift:
        raise ValueError("its runs end too early")
    return np.array(runs, np.int64)


def encode_counts(runs: Sequence[int]) -> str:
    """The text that `decode_counts` reads."""
    text = []
    for number, run in enumerate(runs):
        value = int(run) - (int(runs[number - 2]) if number > 2 else 0)
        more = True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text.append(chr(48 + code + 32 * more))
    return "".join(text)


def read_coco(source: Path, given: Given) -> Found:
    """Instances become classes: of annotations that overlap, the later one wins, but those of
    crowds (`iscrowd`) are painted first."""
    problems: list[Problem] = []
    root = source if source.is_dir() else source.parent
    listed = list(json_files(source))
    # COCO itself has captions, key points, names of test images and more beside these.
    instances = [path for path in listed if path.name.startswith("instances")] or listed
    opened = ((path, _opened(path, problems)) for path in instances)
    files = [(path, value) for path, value in opened if value is not None]
    order: dict[str, int] = {}
    named = [_categories(path, value, order, problems) for path, value in files]
    notes: Counter[str] = Counter()
    sheets: list[Sheet] = []
    for (path, value), names in zip(files, named, strict=True):
        split = _split(path) if len(files) > 1 else ""
        folders = [path.parent, root / "images", root, path.parent.parent / "images"]
        images = Images([given.images] if given.images else folders)
        drawn = _sheets(value, names, images, notes, problems, path)
        sheets += [replace(sheet, annotator=given.annotator, split=split) for sheet in drawn]
    return found_sheets(COCO.title, root, sheets, notes, problems, order)


def _opened(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        value = read_json(path, most=MOST_BYTES)
    except UnreadableFileError as reason:
        problems.append(error("json", reason.reason, path=path.name))
        return None
    return value if json_kind(value) == "coco" else None


def _split(path: Path) -> str:
    """The split that a file is of, by its name, as in instances_train2017.json, or its folder."""
    for word in re.findall("[a-z]+", f"{path.stem} {path.parent.name}".lower()):
        if word in SPLITS:
            return SPLITS[word]
    return ""


def _categories(
    path: Path, value: dict[str, Any], names: dict[str, int], problems: list[Problem]
) -> dict[int, str]:
    """Names of the categories of one file by their ids; all names in the order of their ids."""
    found: dict[int, str] = {}
    listed = value.get("categories")
    for category in listed if isinstance(listed, list) else []:
        id = category.get("id") if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if not isinstance(id, int) or not isinstance(name, str) or id in found:
            message = "Expected categories with an id of their own and a name. Received: "
            problems.append(error("labels", message + shown(category), path=path.name))
            continue
        found[id] = name
    for id in sorted(found):
        names.setdefault(found[id], id)
    return found


def _sheets(
    value: dict[str, Any],
    names: dict[int, str],
    images: Images,
    notes: Counter[str],
    problems: list[Problem],
    path: Path,
) -> list[Sheet]:
    drawn: dict[Any, list[tuple[str, Shape]]] = defaultdict(list)
    sizes: dict[Any, tuple[int, int] | None] = {}
    files: dict[Any, Path] = {}
    for image in value["images"]:
        id = image.get("id") if isinstance(image, dict) else None
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(id, int | str) or not isinstance(name, str) or id in sizes:
            message = "Expected images with an id of their own and a file_name. Received: "
            problems.append(error("json", message + shown(image), path=path.name))
            continue
        sizes[id] = _size(image)
        file = images.find(name)
        if isinstance(file, Path):
            files[id] = file
        else:
            problems.append(error("missing-file", file, path=name))
    annotations = [a for a in value["annotations"] if isinstance(a, dict)]
    if len(annotations) < len(value["annotations"]):
        problems.append(error("json", "holds annotations that are no objects", path=path.name))
    for one in sorted(annotations, key=lambda a: a.get("iscrowd") != 1):
        image = one.get("image_id") if isinstance(one.get("image_id"), int | str) else None
        category = one.get("category_id")
        where = f"annotation {shown(one.get('id'))}"
        if image not in sizes:
            message = f"{where} is of the image {shown(image)}, which is not listed"
            problems.append(error("json", message, path=path.name))
        elif not isinstance(category, int) or category not in names:
            message = f"{where} is of the category {shown(category)}, which is not listed"
            problems.append(error("labels", message, path=path.name))
        elif not one.get("segmentation"):
            notes["annotation(s) without a segmentation (boxes, key points) are left out"] += 1
        else:
            try:
                shapes = _shapes(one["segmentation"], sizes[image])
            except (ValueError, OverflowError) as reason:
                problems.append(error("shape", f"{where}: {reason}", path=path.name))
                continue
            drawn[image] += [(names[category], shape) for shape in shapes]
    return [Sheet(file, drawn[id], sizes[id]) for id, file in files.items()]


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _shapes(segmentation: Any, size: tuple[int, int] | None) -> list[Shape]:
    """Polygons, which unite, or one run-length code."""
    if isinstance(segmentation, dict):
        box, counts = segmentation.get("size") or [], segmentation.get("counts")
        fits = isinstance(box, list) and len(box) == 2 and all(isinstance(n, int) for n in box)
        if not fits or (size is not None and tuple(box) != size):
            raise ValueError(f"its size is {shown(box)}, that of the image {shown(size)}")
        if isinstance(counts, str):
            return [Runs(decode_counts(counts), (box[0], box[1]), down=True)]
        if not isinstance(counts, list) or not all(isinstance(n, int) for n in counts):
            raise ValueError("its counts are neither a text nor whole numbers")
        return [Runs(np.array(counts, np.int64), (box[0], box[1]), down=True)]
    if not isinstance(segmentation, list):
        raise ValueError("its segmentation is neither polygons nor runs")
    shapes: list[Shape] = []
    for part in segmentation:
        if not isinstance(part, list) or len(part) % 2:
            raise ValueError("a polygon is no list of x and y")
        shapes.append(Polygon([list(zip(part[::2], part[1::2], strict=True))]))
    return shapes


def write_coco(dataset: Dataset, export: Export) -> None:
    """One annotation for each connected part of each class, as compressed runs of pixels.

    annotations/instances_SPLIT.json, or instances.json without splits; images/.
    """
    from skimage.measure import label as connected

    categories = [{"id": number, "name": name} for number, name in export.names.items()]
    by_split: dict[str, dict[str, list[Any]]] = defaultdict(
        lambda: {"images": [], "annotations": []}
    )
    numbers: Counter[str] = Counter()
    for case in export.cases():
        content = by_split[case.split]
        numbers["image"] += 1
        name = export.image(case, Path("images"), Path("images"))
        for number, mask in export.masks(case):
            parts = connected(mask, connectivity=2)
            for part in range(1, int(parts.max(initial=0)) + 1):
                numbers["annotation"] += 1
                content["annotations"].append(
                    {
                        "id": numbers["annotation"],
                        "image_id": numbers["image"],
                        "category_id": number,
                        "iscrowd": 0,
                        **_encoded(parts == part),
                    }
                )
        height, width = mask.shape
        content["images"].append(
            {"id": numbers["image"], "file_name": name, "height": height, "width": width}
        )
    for split, content in by_split.items():
        file = f"instances_{split}.json" if split else "instances.json"
        value = {"info": {"description": dataset.name}, **content, "categories": categories}
        atomic_write_json(export.folder / "annotations" / file, value)


def _encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    runs = runs_of(mask.ravel(order="F"))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {
        "segmentation": {"size": list(mask.shape), "counts": encode_counts(runs)},
        "area": int(mask.sum()),
        "bbox": [int(number) for number in box],
    }


COCO = Format(
    "COCO",
    "a .json of images, annotations and categories",
    fits_json("coco"),
    read_coco,
    write_coco,
)
