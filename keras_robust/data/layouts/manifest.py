"""The layout of this library: a folder with manifest.csv, and dataset.json where there is need."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from keras_robust.common.opening import UnreadableFileError, read_bytes, read_json, real_path
from keras_robust.common.tables import read_table
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.volume_header import is_volume
from keras_robust.data.layouts.labels import class_names, read_regions
from keras_robust.data.layouts.volume_facts import classes_of_volumes
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["MANIFEST", "read_labels", "read_manifest"]

MANIFEST = "manifest.csv"
REQUIRED = ("id", "image", "mask", "annotator", "split")
SEPARATOR = ";"  # between the files of an image whose channels are apart


def read_manifest(root: Path) -> tuple[Listing | None, list[Problem]]:
    """Read a manifest folder.

    manifest.csv has the columns `id, image, mask, annotator, split`, optionally `group` and
    `spacing` (mm, "row x column", as in 0.5x0.5), and further ones, which become `Case.extra`.
    Paths are relative to the folder and stay inside it; files elsewhere need their folder in
    `sources` of dataset.json. Its other keys, all optional: `name`; `labels`, names to
    values as in nnU-Net, without which masks are binary, but those of volumes have the classes
    found in some of them; nnU-Net's `regions_class_order`; and `soft`, the annotators whose masks
    are 8-bit probabilities.

    Args:
        root: The folder.

    Returns:
        Its listing (None where there is no table at all) and every problem of its form.
    """
    problems: list[Problem] = []
    meta = read_description(root, problems)
    labels = meta.get("labels", {"background": 0, "object": 1})
    classes, ignore_label, regions = read_labels(labels, problems)
    learned = read_regions(labels, meta.get("regions_class_order"), problems)
    sources = read_sources(root, meta.get("sources", []), problems)
    try:
        columns, rows = read_table(read_bytes(root / MANIFEST))
    except (OSError, ValueError) as reason:
        problems.append(error("manifest", str(reason), path=MANIFEST))
        return None, problems
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        problems.append(
            error(
                "manifest",
                f"Expected the columns {', '.join(REQUIRED)}, separated by commas. "
                f"Received: {', '.join(columns) or 'none'}. Add {', '.join(missing)}.",
                path=MANIFEST,
            )
        )
        return None, problems
    folders = tuple(real_path(folder) for folder in (root, *sources))
    cases = [_read_row(root, folders, n, row, problems) for n, row in enumerate(rows, start=2)]
    if not rows:
        problems.append(error("manifest", "has no rows below its header", path=MANIFEST))
    kept = _without_duplicates([case for case in cases if case], problems)
    if "labels" not in meta:
        soft_names = meta.get("soft") if isinstance(meta.get("soft"), list) else []
        classes = classes_of_volumes([c for c in kept if c.annotator not in (soft_names or [])])
    name = str(meta.get("name") or root.resolve().name)
    soft = _read_soft(meta.get("soft", []), problems)
    listing = Listing(
        root,
        name,
        classes,
        ordered(kept),
        "manifest",
        ignore_label,
        tuple(sources),
        soft,
        regions,
        learned,
        class_names(meta["labels"], classes) if "labels" in meta else (),
    )
    return listing, problems


def read_labels(
    labels: Any, problems: list[Problem]
) -> tuple[int, int | None, dict[str, tuple[int, ...]]]:
    """Number of classes (background included), ignore label and regions of nnU-Net's `labels`.

    >>> read_labels({"background": 0, "lesion": 1, "ignore": 2}, [])
    (2, 2, {})
    >>> read_labels({"background": 0, "whole": [1, 2], "core": 2}, [])
    (3, None, {'whole': (1, 2)})

    Regions named "all" or by a number are told apart from what tables call so, all classes
    together and a class: "region all".
    """
    given = dict(labels) if isinstance(labels, dict) else {}
    ignore = given.pop("ignore", None)
    groups = {
        name: tuple(value) if isinstance(value, list) else (value,) for name, value in given.items()
    }
    numbers = [number for group in groups.values() for number in group]
    # bool is an int to Python, and 1.0 a float that JSON writers love
    whole = all(
        isinstance(v, int) and not isinstance(v, bool)
        for v in [*numbers, *([] if ignore is None else [ignore])]
    )
    single = [group[0] for group in groups.values() if len(group) == 1]
    if (
        not whole
        or not all(groups.values())
        or len(set(single)) < len(single)
        or not set(numbers) == set(range(len(set(numbers)))) > {0}
    ):
        problems.append(
            error(
                "labels",
                "Expected `labels` as names to values 0, 1, 2, ... with background 0, or to lists "
                f"of these (regions), and optionally `ignore`. Received: {labels!r}.",
                path="dataset.json",
            )
        )
        return 2, None, {}
    classes = len(set(numbers))
    if classes > 255 or (ignore is not None and not classes <= ignore <= 255):
        problems.append(
            error(
                "labels",
                "Expected at most 255 classes and an `ignore` label above them, at most 255. "
                f"Received: {classes} classes, ignore {ignore}.",
                path="dataset.json",
            )
        )
        return 2, None, {}
    regions = {name: group for name, group in groups.items() if len(group) > 1}
    taken = {name for name in regions if name == "all" or name.isdigit()}
    return classes, ignore, {f"region {n}" if n in taken else n: g for n, g in regions.items()}


def inside(folders: tuple[Path, ...], path: Path) -> bool:
    """Whether `path`, its links followed, lies in one of the (resolved) folders."""
    resolved = real_path(path)
    return any(resolved.is_relative_to(folder) for folder in folders)


def read_description(root: Path, problems: list[Problem]) -> dict[str, Any]:
    """What dataset.json says; nothing where there is none."""
    file = root / "dataset.json"
    try:
        return read_json(file, dict)
    except FileNotFoundError:
        pass
    except UnreadableFileError as found:
        problems.append(error("dataset.json", found.reason, path=file.name))
    except OSError as found:
        problems.append(error("dataset.json", f"cannot be read: {found}", path=file.name))
    return {}


def read_sources(root: Path, sources: Any, problems: list[Problem]) -> list[Path]:
    """The folders of `sources` in dataset.json, to whose files the dataset may refer."""
    folders = []
    if not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
        problems.append(
            error(
                "dataset.json",
                f"Expected `sources` as a list of folders. Received: {sources!r}.",
                path="dataset.json",
            )
        )
        return []
    for source in sources:
        folder = Path(os.path.normpath(real_path(root) / source))
        if real_path(root).is_relative_to(real_path(folder)):
            # Otherwise a downloaded dataset.json could say "/" and reach every file.
            message = f"source {source!r} contains the dataset itself; name a folder beside it"
            problems.append(error("outside", message, path="dataset.json"))
        elif not folder.is_dir():
            message = f"source {source!r} is not there ({folder}); restore it or correct the path"
            problems.append(error("missing-file", message, path="dataset.json"))
        else:
            folders.append(folder)
    return folders


def _read_soft(soft: Any, problems: list[Problem]) -> tuple[str, ...]:
    if isinstance(soft, list) and all(isinstance(name, str) for name in soft):
        return tuple(soft)
    message = f"Expected `soft` as a list of annotators. Received: {soft!r}."
    problems.append(error("dataset.json", message, path="dataset.json"))
    return ()


def _read_row(
    root: Path,
    folders: tuple[Path, ...],
    number: int,
    row: dict[str, str],
    problems: list[Problem],
) -> Case | None:
    """A row as a case; None, with problems noted, where it is not sound."""
    id, annotator, known = row["id"], row["annotator"], len(problems)

    def note(kind: str, message: str, path: str = "") -> None:
        problems.append(error(kind, f"row {number}: {message}", id=id, path=path))

    for kind, name in (("id", id), ("annotator", annotator)):
        message = name_problem(kind, name) if name or kind == "id" else None
        if message:
            note("name", message)
    paths: dict[str, list[Path]] = {"image": [], "mask": []}
    for column, files in paths.items():
        names = row[column].split(SEPARATOR) if column == "image" else [row[column]]
        for name in filter(None, (name.strip() for name in names)):
            anchored = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
            name = name.replace("\\", "/")
            # ".." leads elsewhere from a link than from what it links to.
            path = Path(os.path.normpath((folders[0] if ".." in name else root) / name))
            if anchored and len(folders) == 1 or not inside(folders, path):
                note(
                    "outside",
                    f"{column} {name!r} leaves the dataset folder. Copy the file into it, or name "
                    "its folder in `sources` of dataset.json",
                    name,
                )
            files.append(path)
    if not paths["image"]:
        note("manifest", "has no image")
    if paths["mask"] and not annotator:
        note("manifest", "has a mask, but no annotator; name one")
    axes = 3 if paths["image"] and is_volume(paths["image"][0]) else 2
    spacing = _read_spacing(row.get("spacing", ""), axes)
    if isinstance(spacing, str):
        note("manifest", spacing)
    if len(problems) > known:
        return None
    standard = (*REQUIRED, "group", "spacing")
    return Case(
        id=id,
        image=paths["image"][0],
        mask=paths["mask"][0] if paths["mask"] else None,
        annotator=annotator if paths["mask"] else "",
        split=row["split"],
        group=row.get("group") or None,
        spacing=None if isinstance(spacing, str) else spacing,
        extra={key: value for key, value in row.items() if key not in standard},
        channels=tuple(paths["image"]),
    )


def _read_spacing(text: str, axes: int) -> tuple[float, ...] | str | None:
    if not text:
        return None
    try:
        spacing = tuple(float(part) for part in text.replace("×", "x").split("x"))
    except ValueError:
        spacing = ()
    if len(spacing) == axes and all(0 < value < float("inf") for value in spacing):
        return spacing
    example = "x".join(["0.5"] * axes)
    return f"spacing: Expected millimetres above 0, as in {example}. Received: {text!r}"


def _without_duplicates(cases: list[Case], problems: list[Problem]) -> list[Case]:
    """One case per id and annotator, and ids that agree about everything but the mask."""
    seen: dict[tuple[str, str], Case] = {}
    first: dict[str, Case] = {}
    for case in cases:
        known = first.setdefault(case.id, case)
        if (case.id, case.annotator) in seen:
            message = f"annotator {case.annotator!r} has more than one row; keep one"
            problems.append(error("duplicate-row", message, id=case.id, path=MANIFEST))
            continue
        if case.split != known.split:
            message = f"is in the splits {known.split!r} and {case.split!r}; choose one"
            problems.append(error("leak-id", message, id=case.id, path=MANIFEST))
        if case.channels != known.channels or case.group != known.group:
            message = "its rows name different images or groups; give other images another id"
            problems.append(error("manifest", message, id=case.id, path=MANIFEST))
        seen[case.id, case.annotator] = case
    return list(seen.values())
