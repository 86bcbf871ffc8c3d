"""Pascal VOC: JPEGImages, SegmentationClass with a palette, and lists of the splits."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.opening import read_text
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES
from keras_robust.data.layouts.split_lists import read_split_lists
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = [
    "BORDER",
    "IMAGES",
    "MASKS",
    "NAMES",
    "class_list",
    "colours_of",
    "is_voc",
    "palette",
    "read_voc",
]

IMAGES, MASKS = "JPEGImages", "SegmentationClass"
LISTS = Path("ImageSets", "Segmentation")
BORDER = 255  # between objects: neither of them
ANNOTATOR = "annotator"
SAMPLED = 64
NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)


def palette() -> NDArray[np.uint8]:
    """The colour of each label (256, 3): the bits of a number, dealt to red, green and blue.

    >>> palette()[[0, 1, 2, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]]
    """
    found = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        found[:, bit % 3] |= ((np.arange(256) >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return found


def is_voc(root: Path) -> bool:
    """Whether a folder is one of VOC."""
    return (root / MASKS).is_dir() and (root / IMAGES).is_dir()


def read_voc(root: Path) -> tuple[Listing | None, list[Problem]]:
    """Read a folder of VOC: of its images those that have a mask or are in a list.

    Classes are those of labelmap.txt, labels.txt or class_names.txt, those of VOC itself in a
    folder called after it, else as many as some masks hold. 255 is ignored.
    """
    problems: list[Problem] = []
    images, masks = _files(root / IMAGES), _files(root / MASKS)
    splits = read_split_lists((root / LISTS,), images, problems)
    for name in sorted(set(masks) - set(images)):
        message = f"has no image {IMAGES}/{name}; add it or move the mask out"
        problems.append(error("missing-file", message, id=name, path=masks[name].name))
    kept = [name for name in images if name in masks or name in splits or not splits]
    for name in kept:
        if message := name_problem("id", _id(name)) or "":
            problems.append(error("name", message, id=name))
    cases = [
        Case(
            _id(name),
            images[name],
            masks.get(name),
            ANNOTATOR if name in masks else "",
            splits.get(name, ""),
        )
        for name in kept
    ]
    names = class_list(root, list(masks.values()))
    listing = Listing(
        root,
        root.resolve().name,
        len(names),
        ordered(cases),
        "voc",
        BORDER,
        class_names=tuple(names),
    )
    return listing, problems


def _id(name: str) -> str:
    return name.replace("/", "_")


def _files(folder: Path) -> dict[str, Path]:
    """Images of a folder and those below, by their path without suffix."""
    if not folder.is_dir():
        return {}
    found = (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES)
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in found
        if path.name[0] != "." and path.is_file()
    }


def colours_of(root: Path) -> dict[tuple[int, ...], int]:
    """The label of each colour that labelmap.txt tells; empty where it tells none."""
    found = {}
    for number, parts in enumerate(_labelmap(root)):
        texts = parts[1].split(",") if len(parts) > 1 else []
        if len(texts) == 3 and all(text.strip().isdecimal() for text in texts):
            found[tuple(int(text) for text in texts)] = number
    return found


def _labelmap(root: Path) -> list[list[str]]:
    """The lines of labelmap.txt, background first."""
    try:
        lines = read_text(root / "labelmap.txt").splitlines()
    except (OSError, ValueError):
        return []
    parts = [line.split(":") for line in lines if line.strip() and line[0] != "#"]
    return sorted(parts, key=lambda part: part[0].strip("_ ").lower() != "background")


def class_list(root: Path, masks: list[Path]) -> list[str]:
    """Names of the classes, background first."""
    names = [parts[0] for parts in _labelmap(root)]
    for file in ("labels.txt", "class_names.txt"):
        try:
            names = names or [n.strip() for n in read_text(root / file).splitlines() if n.strip()]
        except (OSError, ValueError):
            continue
    if not names and root.resolve().name.upper().startswith("VOC20"):
        return list(NAMES)
    names = [name for name in names if name.strip("_ ").lower() not in ("background", "ignore")]
    if not names:
        highest = 1
        for number in np.linspace(0, len(masks) - 1, min(len(masks), SAMPLED)).astype(int):
            try:
                values = read_picture(masks[number]).values
            except (OSError, ValueError):
                continue
            inner = values[values < BORDER]
            if values.shape[-1] == 1 and inner.size:
                highest = max(highest, int(inner.max()))
        names = [f"class {number}" for number in range(1, highest + 1)]
    return ["background", *names]
