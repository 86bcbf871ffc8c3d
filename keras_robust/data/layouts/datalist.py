"""Lists of cases in JSON: those of the Medical Segmentation Decathlon and of MONAI."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_robust.common.opening import UnreadableFileError, read_json, real_path, shown
from keras_robust.common.words import quote
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.unreadable import VOLUME_SUFFIXES
from keras_robust.data.layouts.labels import class_names
from keras_robust.data.layouts.manifest import inside, read_labels
from keras_robust.data.layouts.volume_facts import classes_of_volumes
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["ANNOTATOR", "is_datalist", "named_labels", "read_datalist"]

ANNOTATOR = "annotator"
LISTS = {"training": "train", "validation": "val", "testing": "test", "test": "test"}
MOST_BYTES = 2**28


def is_datalist(root: Path) -> bool:
    """Whether a folder has a JSON file that lists cases, as dataset.json or datalist_0.json."""
    return _file(root) is not None


def _file(root: Path) -> Path | None:
    for path in sorted(root.glob("*data*.json")) if root.is_dir() else []:
        try:
            value = read_json(path, dict, MOST_BYTES)
        except (OSError, ValueError):
            continue
        if "file_ending" not in value and any(_cases(value.get(key)) for key in LISTS):
            return path
    return None


def _cases(listed: Any) -> bool:
    first = listed[0] if isinstance(listed, list) and listed else None
    return isinstance(first, dict) and "image" in first


def read_datalist(
    root: Path, file: Path | None = None, home: Path | None = None
) -> tuple[Listing | None, list[Problem]]:
    """Read `training`, `validation` and `testing` of a list: `image`, one or several, and `label`.

    `labels` are names by number, as in the Decathlon, or numbers by name, as in nnU-Net; without
    them the classes are those found in some masks.

    Args:
        root: Folder of the list.
        file: The list; by default the one there is.
        home: Where its paths begin; by default `root`.
    """
    problems: list[Problem] = []
    file = file or _file(root) or root / "dataset.json"
    try:
        meta = read_json(file, dict, MOST_BYTES)
    except (UnreadableFileError, OSError) as reason:
        return None, [error("json", getattr(reason, "reason", str(reason)), path=file.name)]
    start = home or root
    cases: list[Case] = []
    for key, split in LISTS.items():
        listed = meta.get(key)
        for number, entry in enumerate(listed if isinstance(listed, list) else (), start=1):
            case = _case(start, split, entry, f"{key} {number}", file.name, problems)
            cases += [case] if case else []
    cases = _named(cases, start, problems)
    labels = named_labels(meta.get("labels"))
    classes, ignore_label, regions = read_labels(labels or {"background": 0, "object": 1}, problems)
    if labels is None:
        classes = classes_of_volumes(cases)
    listing = Listing(
        root,
        str(meta.get("name") or root.resolve().name),
        classes,
        ordered(cases),
        "datalist",
        ignore_label,
        sources=() if home is None else (home,),
        regions=regions,
        class_names=() if labels is None else class_names(labels, classes),
    )
    return listing, problems


def named_labels(given: Any) -> dict[str, Any] | None:
    """`labels` as numbers by name, whichever way round they are.

    >>> named_labels({"0": "background", "1": "liver"})
    {'background': 0, 'liver': 1}
    """
    if not isinstance(given, dict) or not given:
        return None
    if all(str(key).isdecimal() and isinstance(name, str) for key, name in given.items()):
        found: dict[str, Any] = {}
        for key, name in given.items():
            found[f"{name} {key}" if name in found else name] = int(key)
        return found
    return dict(given)


def _case(
    start: Path, split: str, entry: Any, where: str, file: str, problems: list[Problem]
) -> Case | None:
    """A case whose id is still its place in the list; None where it is not sound."""
    if isinstance(entry, str):  # as of tests in the Decathlon
        entry = {"image": entry}
    images = entry.get("image") if isinstance(entry, dict) else None
    images = [images] if isinstance(images, str) else images
    label = entry.get("label") if isinstance(entry, Mapping) else None
    texts = [*(images if isinstance(images, list) else [None]), *([label] if label else [])]
    if not images or not all(isinstance(t, str) and t and "\0" not in t for t in texts):
        message = f"{where}: Expected `image` and `label` as paths. Received: {shown(entry)}."
        problems.append(error("json", message, path=file))
        return None
    paths = [Path(os.path.normpath(start / text)) for text in texts]
    for text, path in zip(texts, paths, strict=True):
        if not inside((real_path(start),), path):
            message = (
                f"{where}: {shown(text)} leaves the folder of the list; name the folder where its "
                "paths begin (keras-robust import --images)"
            )
            problems.append(error("outside", message, path=file))
            return None
        if not path.is_file():
            problems.append(
                error("missing-file", f"{where}: {shown(text)} is not there", path=file)
            )
    channels, mask = (paths[:-1], paths[-1]) if label else (paths, None)
    extra = {"fold": str(entry["fold"])} if isinstance(entry.get("fold"), int) else {}
    annotator = ANNOTATOR if mask else ""
    return Case("", channels[0], mask, annotator, split, extra=extra, channels=tuple(channels))


def _named(cases: list[Case], start: Path, problems: list[Problem]) -> list[Case]:
    """The cases with ids: the name of the image, or what those of its channels share; where these
    repeat, with the folders before it."""
    names = [_name(case) for case in cases]
    counts = Counter(names)
    found = []
    seen: dict[str, Case] = {}
    for case, name in zip(cases, names, strict=True):
        if counts[name] > 1:
            inner = case.image.relative_to(start).parts[:-1]
            name = "_".join([*(part for part in inner if part not in name), name])
        if name in seen:
            message = f"one name, two images: {quote(str(case.image))}; give each a name of its own"
            problems.append(error("duplicate-row", message, id=name))
        elif message := name_problem("id", name) or "":
            problems.append(error("name", message, id=name))
        seen[name] = case
        found.append(replace(case, id=name))
    return found


def _name(case: Case) -> str:
    stems = [_stem(path) for path in case.channels]
    # What channels share ends where the part that tells them apart begins: s0 of s0_0000, s0_0001.
    shared = re.sub(r"[_\-. ][^_\-. ]*$", "", os.path.commonprefix(stems))
    return (shared if len(stems) > 1 else stems[0]) or case.image.parent.name


def _stem(path: Path) -> str:
    name = path.name.lower()
    suffix = next((s for s in VOLUME_SUFFIXES if name.endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)]
