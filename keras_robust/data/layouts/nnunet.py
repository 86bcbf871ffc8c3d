"""The raw layout of nnU-Net v2, with images or volumes."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.opening import read_json, real_path, shown
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.images import channel_count
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.layouts.labels import class_names, read_regions
from keras_robust.data.layouts.manifest import inside, read_labels, read_sources
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["ANNOTATOR", "is_nnunet", "read_nnunet"]

ANNOTATOR = "nnunet_gt"
LISTED = "dataset"  # key of dataset.json
ENDINGS = (".nii.gz", ".nii", ".png", ".bmp", ".tif")  # of nnU-Net's readers, but stacks in TIFF


def read_nnunet(root: Path) -> tuple[Listing | None, list[Problem]]:
    """Read dataset.json, imagesTr/ID_0000.png (one file per channel, or one of three in colour),
    labelsTr/ID.png.

    imagesTr is the split `train`; where dataset.json lists the cases to train on (`dataset`), these
    alone are. imagesTs, where present, is `test`, with or without labelsTs.

    Returns:
        Its listing (None where dataset.json does not describe one) and every problem.
    """
    problems: list[Problem] = []
    try:
        meta = read_json(root / "dataset.json", dict)
        ending, names = meta["file_ending"], meta.get("channel_names") or meta["modality"]
        labels, channels = meta["labels"], len(names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        message = (
            "Expected nnU-Net's keys channel_names, labels and file_ending. "
            f"Received: {getattr(reason, 'reason', repr(reason))}. Complete the file."
        )
        return None, [error("dataset.json", message, path="dataset.json")]
    if ending not in ENDINGS:
        message = (
            f"Expected a file_ending of {', '.join(ENDINGS)}. Received: {ending!r}. "
            "Convert the files to one of these."
        )
        return None, [error("dataset.json", message, path="dataset.json")]
    classes, ignore_label, regions = read_labels(labels, problems)
    learned = read_regions(labels, meta.get("regions_class_order"), problems)
    if LISTED in meta:
        cases = _read_listed(root, meta, channels, problems)
    else:
        cases = _read_split("train", root, "Tr", ending, channels, problems)
    _check_count(meta, len(cases), problems)
    if (root / "imagesTs").is_dir():
        cases += _read_split("test", root, "Ts", ending, channels, problems)
    seen: dict[str, str] = {}
    for case in cases:
        if seen.setdefault(case.id, case.split) != case.split:
            problems.append(error("leak-id", "is in imagesTr and imagesTs; choose one", id=case.id))
    name = str(meta.get("name") or root.resolve().name)
    listing = Listing(
        root,
        name,
        classes,
        ordered(cases),
        "nnunet",
        ignore_label,
        regions=regions,
        learned_regions=learned,
        class_names=class_names(labels, classes),
    )
    return listing, problems


def is_nnunet(root: Path) -> bool:
    """Whether a folder has imagesTr, or a dataset.json that lists cases."""
    if (root / "imagesTr").exists():
        return True
    try:
        return LISTED in read_json(root / "dataset.json", dict)
    except (OSError, ValueError):
        return False


def _check_count(meta: Mapping[str, Any], found: int, problems: list[Problem]) -> None:
    """nnU-Net stops where there are more or fewer cases than `numTraining` says."""
    said = meta.get("numTraining")
    if said is not None and said != found:
        where = f"`{LISTED}` lists" if LISTED in meta else "imagesTr holds"
        message = (
            f"Expected {found} as numTraining, since {where} {found} case(s). Received: "
            f"{shown(said)}. "
            "Copy the folder again if cases are missing, or correct the number."
        )
        problems.append(error("count", message, path="dataset.json"))


def _read_listed(
    root: Path, meta: Mapping[str, Any], channels: int, problems: list[Problem]
) -> list[Case]:
    """The cases of `dataset`, names to images and label, relative to the folder."""
    listed = meta[LISTED]
    if not isinstance(listed, dict) or not listed:
        message = (
            f'Expected `{LISTED}` as {{"ID": {{"images": [FILE, ...], "label": FILE}}, ...}}. '
            f"Received: {shown(listed)}. Correct it, or remove the key to take all of "
            "imagesTr."
        )
        problems.append(error("dataset.json", message, path="dataset.json"))
        return []
    sources = read_sources(root, meta.get("sources", []), problems)
    folders = tuple(map(real_path, (root, *sources)))
    read = (_read_entry(root, folders, id, listed[id], channels, problems) for id in sorted(listed))
    return [case for case in read if case is not None]


def _read_entry(
    root: Path,
    folders: tuple[Path, ...],
    id: str,
    entry: Any,
    channels: int,
    problems: list[Problem],
) -> Case | None:
    """A case of `dataset`; None, with problems noted, where it is not sound."""

    def note(kind: str, message: str, path: str = "dataset.json") -> None:
        problems.append(error(kind, message, id=id, path=path))

    images = entry.get("images") if isinstance(entry, dict) else None
    label = entry.get("label") if isinstance(entry, dict) else None
    texts = [*images, label] if isinstance(images, list) and images else []
    texts = [text for text in texts if isinstance(text, str) and text and "\0" not in text]
    if not isinstance(images, list) or len(texts) != len(images) + 1:
        note("dataset.json", f"Expected `images` and a `label`. Received: {shown(entry)}.")
        return None
    known = len(problems)
    if message := name_problem("id", id):
        note("name", message)
    # As nnU-Net does; of links, ".." leads elsewhere than of what they link to.
    paths = [Path(os.path.normpath(root / os.path.expandvars(text))) for text in texts]
    for text, path in zip(texts, paths, strict=True):
        if not inside(folders, path):
            message = (
                f"{shown(text)} leaves the dataset folder. Copy the file into it, or name "
                "its folder in `sources` of dataset.json"
            )
            note("outside", message)
    if len(problems) > known:
        return None
    *files, mask = paths
    if len(files) != channels and not _in_colour(dict(enumerate(files)), channels):
        note(
            "missing-file",
            f"Expected {channels} file(s), as in channel_names. Received: {len(files)}.",
        )
    return Case(id, files[0], mask, ANNOTATOR, "train", channels=tuple(files))


def _read_split(
    split: str, root: Path, part: str, ending: str, channels: int, problems: list[Problem]
) -> list[Case]:
    images, masks = root / f"images{part}", root / f"labels{part}"
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in _files(images):
        match = pattern.fullmatch(path.name)
        if match:
            found[match[1]][int(match[2])] = path
    if not found:
        message = f"Expected files like ID_0000{ending}. Received: none. Restore the folder."
        problems.append(error("missing-file", message, path=images.name))
    drawn = {p.name[: -len(ending)]: p for p in _files(masks) if p.name.endswith(ending)}
    unlabelled = split == "test" and not masks.is_dir()
    cases = []
    for id, files in sorted(found.items()):
        if sorted(files) != list(range(channels)) and not _in_colour(files, channels):
            message = (
                f"Expected {channels} channel(s), numbered from 0000, as in channel_names. "
                f"Received: {', '.join(f'{number:04d}' for number in sorted(files))}."
            )
            problems.append(error("missing-file", message, id=id, path=images.name))
        if id not in drawn and not unlabelled:
            message = f"has no mask {masks.name}/{id}{ending}; add it or move the image out"
            problems.append(error("missing-file", message, id=id, path=images.name))
        cases.append(
            Case(
                id=id,
                image=files[min(files)],
                mask=drawn.get(id),
                annotator=ANNOTATOR if id in drawn else "",
                split=split,
                channels=tuple(files[number] for number in sorted(files)),
            )
        )
    for id in sorted(set(drawn) - set(found)):
        message = f"has no image {images.name}/{id}_0000{ending}; add it or move the mask out"
        problems.append(error("missing-file", message, id=id, path=masks.name))
    return cases


def _in_colour(files: Mapping[int, Path], channels: int) -> bool:
    """Whether photographs, which hold three channels each, make up all: nnU-Net's one exception."""
    if sorted(files) != list(range(len(files))):
        return False
    try:
        return sum(channel_count(file) for file in files.values()) == channels
    except (OSError, UnreadableImageError):
        return True  # which `verify` tells of


def _files(folder: Path) -> list[Path]:
    """What is in a folder, but for hidden files, such as macOS lays beside each of its own."""
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []
