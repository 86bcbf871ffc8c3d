"""Label Studio: a JSON list of tasks, with brushes, polygons, rectangles and ellipses."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_json
from keras_robust.common.opening import shown
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import Images, Sheet, found_sheets
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found
from keras_robust.data.exchange.json_kinds import fits_json, read_kind
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.shapes import Ellipse, Pixels, Polygon, Shape, rectangle
from keras_robust.data.problems import Problem, error

__all__ = [
    "LABEL_STUDIO",
    "decode_brush",
    "encode_brush",
    "read_label_studio",
    "write_label_studio",
]

SIZES = (3, 4, 8, 16)  # bits of the lengths of runs that are written
KINDS = ("brush", "polygon", "rectangle", "ellipse")


def decode_brush(content: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a brush: a stream of bits with the runs of an image of four channels, of which
    the last, the opacity, tells.

    Raises:
        ValueError: It ends too early, or does not fill the image.
    """
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    at = 0

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(bits):
            raise ValueError("its brush ends too early")
        first, last = at // 8, (at + size + 7) // 8
        read = int.from_bytes(content[first:last], "big") >> (last * 8 - at - size)
        at += size
        return read & ((1 << size) - 1)

    total, word = number(32), number(5) + 1
    sizes = [number(4) + 1 for _ in range(4)]
    if total != 4 * shape[0] * shape[1] or word != 8:
        raise ValueError(f"its brush holds {total} numbers of {word} bits, not those of its image")
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        alike = number(1)
        end = done + 1 + number(sizes[number(2)])
        if end > total:
            raise ValueError("its brush holds more than its image")
        if alike:
            values[done:end] = number(8)
        else:
            last = at + 8 * (end - done)
            if last > len(bits):
                raise ValueError("its brush ends too early")
            values[done:end] = np.packbits(bits[at:last])
            at = last
        done = end
    return values.reshape(*shape, 4)[..., 3] > 0


def encode_brush(mask: NDArray[np.bool_]) -> bytes:
    """The bytes that `decode_brush` reads: runs of one value each."""
    flat = np.repeat(mask.ravel(), 4)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    bits = [f"{flat.size:032b}", "00111", *(f"{size - 1:04b}" for size in SIZES)]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        value = "11111111" if flat[start] else "00000000"
        while start < end:
            length = min(end - start, 2 ** SIZES[-1])
            kind = next(n for n, size in enumerate(SIZES) if length <= 2**size)
            bits.append(f"1{kind:02b}{length - 1:0{SIZES[kind]}b}{value}")
            start += length
    text = "".join(bits)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def read_label_studio(source: Path, given: Given) -> Found:
    """Each who completed a task is an annotator; predictions and cancelled work are left out."""
    problems: list[Problem] = []
    root = source if source.is_dir() else source.parent
    notes: Counter[str] = Counter()
    folders = [given.images] if given.images else [root, root / "images"]
    images = Images(folders)
    tasks: list[Any] = []
    for _, value in read_kind(source, "label_studio", problems):
        tasks += value if isinstance(value, list) else [value]
    done = [_annotations(task, notes) for task in tasks]
    workers = sorted({who for annotations in done for who, _ in annotations})
    called = {who: given.annotator if len(workers) == 1 else f"annotator-{who}" for who in workers}
    sheets = []
    for number, (task, annotations) in enumerate(zip(tasks, done, strict=True), start=1):
        data = task.get("data") if isinstance(task, dict) else None
        names = _names(data if isinstance(data, dict) else task)
        image = images.find_any(names)
        if isinstance(image, str):
            problems.append(error("missing-file", image, path=names[0] if names else f"{number}"))
            continue
        if not annotations:
            sheets.append(Sheet(image, (), drawn=False))
        for who, regions in annotations:
            shapes, told = _shapes(regions, f"task {number}", notes, problems)
            sheets.append(Sheet(image, shapes, told, called[who]))
    return found_sheets(LABEL_STUDIO.title, root, sheets, notes, problems)


def _annotations(task: Any, notes: Counter[str]) -> list[tuple[str, list[Any]]]:
    """Who annotated a task, and the regions that they drew."""
    if not isinstance(task, dict):
        return []
    if "annotation_id" in task:
        return [(str(task.get("annotator", 0)), _short(task))]
    if task.get("predictions"):
        notes["task(s) with predictions of a model, which are left out"] += 1
    found = []
    listed = task.get("annotations", task.get("completions"))
    for one in listed if isinstance(listed, list) else []:
        if not isinstance(one, dict) or one.get("was_cancelled"):
            notes["cancelled annotation(s) are left out"] += 1
            continue
        who = one.get("completed_by", 0)
        who = who.get("id", 0) if isinstance(who, dict) else who
        result = one.get("result")
        number = who if isinstance(who, int) else 0
        found.append((str(number), result if isinstance(result, list) else []))
    return found


def _short(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of the short form of the export (JSON-MIN), which has them without a frame."""
    listed = (value for value in task.values() if isinstance(value, list))
    regions = [one for value in listed for one in value if isinstance(one, dict)]
    return [
        {**one, "id": f"{number}", "value": one}
        for number, one in enumerate(regions)
        if "original_width" in one
    ]


def _names(data: Any) -> list[str]:
    """What a task may call its image: the end of an address, without what an upload put before."""
    found = []
    values = data.values() if isinstance(data, dict) else ()
    for text in (value for value in values if isinstance(value, str)):
        parts = urlsplit(text.split("#")[0]) if "\0" not in text and "[" not in text else None
        if parts is None:
            continue
        path = parse_qs(parts.query).get("d", [parts.path])[0]
        name = path.rpartition("/")[2]
        uploaded = name.partition("-")[2] if len(name.partition("-")[0]) == 8 else ""
        found += [path, *([path[: len(path) - len(name)] + uploaded] if uploaded else [])]
    return found


def _shapes(
    regions: Sequence[Any], where: str, notes: Counter[str], problems: list[Problem]
) -> tuple[list[tuple[str, Shape]], tuple[int, int] | None]:
    """Names and shapes of the regions, and the size of their image."""
    labels = {}
    for one in regions:
        value = one.get("value") if isinstance(one, dict) else None
        for key, names in value.items() if isinstance(value, dict) else ():
            named = key.endswith("labels") and isinstance(names, list) and names
            if named and isinstance(names[0], str):
                labels[shown(one.get("id"))] = names[0]
    found: list[tuple[str, Shape]] = []
    told = None
    for one in regions:
        value = one.get("value") if isinstance(one, dict) else None
        if not isinstance(value, dict):
            continue
        kind = next((kind for kind in KINDS if _is(kind, value)), None)
        if kind is None:
            if one.get("type") not in ("labels", "choices", "textarea", "relation"):
                notes[f"region(s) of the type {shown(one.get('type'))} are left out"] += 1
            continue
        try:
            height, width = one.get("original_height"), one.get("original_width")
            if (
                not isinstance(height, int)
                or not isinstance(width, int)
                or one.get("image_rotation")
            ):
                raise ValueError("its image was turned, or its size is not told")
            told = (height, width)
            label = labels.get(shown(one.get("id")))
            if label is None:
                raise ValueError("it has no label")
            found.append((label, _shape(kind, value, height, width)))
        except (KeyError, TypeError, ValueError, OverflowError) as reason:
            said = f"has no {reason}" if isinstance(reason, KeyError) else str(reason)
            problems.append(error("shape", f"{where}, region {shown(one.get('id'))}: {said}"))
    return found, told


def _is(kind: str, value: dict[str, Any]) -> bool:
    marks = {"brush": "rle", "polygon": "points", "rectangle": "width", "ellipse": "radiusX"}
    return marks[kind] in value and "imageDataURL" not in value


def _shape(kind: str, value: dict[str, Any], height: int, width: int) -> Shape:
    """A region in pixels; all but brushes are in per cent of the image."""
    if kind == "brush":
        return Pixels(decode_brush(bytes(value["rle"]), (height, width)))
    across, down = width / 100, height / 100
    if kind == "polygon":
        points = np.asarray(value["points"], np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError("its points are not pairs of numbers")
        return Polygon([points * (across, down)])
    x, y, degrees = value["x"] * across, value["y"] * down, float(value.get("rotation") or 0)
    if kind == "rectangle":
        right, bottom = x + value["width"] * across, y + value["height"] * down
        return rectangle(x, y, right, bottom, degrees, "corner")
    return Ellipse(x, y, value["radiusX"] * across, value["radiusY"] * down, degrees)


def write_label_studio(dataset: Dataset, export: Export) -> None:
    """tasks.json with a brush for each class of an image; images/, and labels.txt.

    To be imported into a project whose configuration has `<Image name="image" ...>` and
    `<BrushLabels name="label" toName="image">`.
    """
    tasks = []
    for number, case in enumerate(export.cases(), start=1):
        regions = []
        for value, mask in export.masks(case):
            if mask.any():
                regions.append(_region(f"{number}-{value}", export.names[value], mask))
        done = {"id": number, "completed_by": 1, "result": regions, "was_cancelled": False}
        image = export.image(case, Path("images"))
        tasks.append({"id": number, "data": {"image": image}, "annotations": [done]})
    atomic_write_json(export.folder / "tasks.json", tasks)
    export.write_names()


def _region(id: str, name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "id": id,
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "origin": "manual",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(encode_brush(mask)), "brushlabels": [name]},
    }


LABEL_STUDIO = Format(
    "Label Studio",
    "a .json list of tasks with data and annotations",
    fits_json("label_studio"),
    read_label_studio,
    write_label_studio,
)
