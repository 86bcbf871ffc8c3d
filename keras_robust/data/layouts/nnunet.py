"""The raw layout of nnU-Net v2, with images or volumes."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from keras_robust.common.opening import read_json
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.images import channel_count
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.layouts.labels import read_regions
from keras_robust.data.layouts.manifest import read_labels
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["ANNOTATOR", "read_nnunet"]

ANNOTATOR = "nnunet_gt"
ENDINGS = (".nii.gz", ".nii", ".png", ".bmp", ".tif")  # of nnU-Net's readers, but stacks in TIFF


def read_nnunet(root: Path) -> tuple[Listing | None, list[Problem]]:
    """Read dataset.json, imagesTr/ID_0000.png (one file per channel, or one of three in colour),
    labelsTr/ID.png.

    imagesTr is the split `train`; imagesTs, where present, `test`, with or without labelsTs.

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
    cases = []
    for split, images, masks in (
        ("train", root / "imagesTr", root / "labelsTr"),
        ("test", root / "imagesTs", root / "labelsTs"),
    ):
        if split == "test" and not images.is_dir():
            continue
        cases += _read_split(split, images, masks, ending, channels, problems)
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
    )
    return listing, problems


def _read_split(
    split: str, images: Path, masks: Path, ending: str, channels: int, problems: list[Problem]
) -> list[Case]:
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
    except UnreadableImageError:
        return True  # which `verify` tells of


def _files(folder: Path) -> list[Path]:
    """What is in a folder, but for hidden files, such as macOS lays beside each of its own."""
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []
