"""Anybody's folders: images beside masks, told by the names of folders or of files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_robust.common.opening import real_path, shown
from keras_robust.common.words import quote
from keras_robust.data.cases import Case, ordered
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES, VOLUME_SUFFIXES
from keras_robust.data.layouts.labels import class_names, read_regions
from keras_robust.data.layouts.manifest import inside, read_description, read_labels
from keras_robust.data.layouts.split_lists import SPLITS, read_split_lists
from keras_robust.data.layouts.volume_facts import classes_of_volumes
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["ANNOTATOR", "is_folders", "read_folders"]

ANNOTATOR = "annotator"  # where there is one alone, whose name nothing tells
# As people call them, in any case of letters.
IMAGES = ("images", "image", "imgs", "img", "scans")
MASKS = (
    *("masks", "mask", "labels", "label", "segmentations", "segmentation", "annotations"),
    *("annotation", "groundtruth", "ground_truth", "ground-truth", "gt"),
)
OF_MASK = re.compile(
    r"(.+)[_.-](masks?|seg|segmentations?|labels?|labelmap|annotations?|gt|ground_?truth)", re.I
)
OF_IMAGE = ("_image", "-image", "_img", "-img")
SUFFIXES = (*VOLUME_SUFFIXES, *IMAGE_SUFFIXES)
FOREIGN = (".nrrd", ".nhdr", ".mha", ".mhd")  # read once they are imported
LISTS = ("", "splits", "lists")  # folders of train.txt and the like

Files = dict[str, list[Path]]  # by their names without suffix


@dataclass
class _Part:
    """The images of one split, with the masks of each annotator."""

    split: str
    images: Files = field(default_factory=dict)
    masks: dict[str, Files] = field(default_factory=dict)


@dataclass(frozen=True)
class _Names:
    """How a folder is read: what dataset.json and the user say, and which files count.

    Args:
        said: Folders of images and masks, by `images` and `masks`.
        of_mask: What the names of masks are, around those of their images.
        suffixes: Endings of files that count.
    """

    said: Mapping[str, Any]
    of_mask: re.Pattern[str] = OF_MASK
    suffixes: tuple[str, ...] = SUFFIXES

    @classmethod
    def of(cls, said: Mapping[str, Any], root: Path, foreign: bool) -> "_Names":
        suffixes = (*FOREIGN, *SUFFIXES) if foreign else SUFFIXES
        ending = said.get("masks")
        if isinstance(ending, str) and ending[:1] in ("_", "-", ".") and "\0" not in ending:
            if not (root / ending).is_dir():
                rest = {key: value for key, value in said.items() if key != "masks"}
                return cls(rest, re.compile(f"(.+){re.escape(ending)}", re.I), suffixes)
        return cls(said, OF_MASK, suffixes)


def is_folders(root: Path, foreign: bool = False) -> bool:
    """Whether a folder pairs images with masks in one of the ways that `read_folders` reads.

    Args:
        root: The folder.
        foreign: Whether volumes of other formats than NIfTI count.
    """
    unclear: list[Problem] = []
    parts = _parts(root, _Names.of(read_description(root, []), root, foreign), unclear)
    images = any(part.images for part in parts)
    # images/ beside annotations/ with other files than masks is a data set of another tool.
    return images and any(map(any, (part.masks.values() for part in parts))) or bool(unclear)


def read_folders(
    root: Path, said: Mapping[str, Any] | None = None, foreign: bool = False
) -> tuple[Listing | None, list[Problem]]:
    """Read a folder of images and masks that has no table.

    Images and masks are paired by their names: masks have that of their image, or further
    `_mask`, `_segmentation`, `-labels` and the like. They lie in two folders, such as images/ and
    masks/, or together, told by that ending. Folders inside masks/ are annotators; train, val and
    test are splits, as folders of such folders or inside both of them, or lists such as train.txt.
    dataset.json may name the two folders (`images`, `masks`; also how the names of masks end, as in
    "_lesion") and the classes (`labels`), without which masks are binary, but those of volumes have
    the classes found in some of them.

    Args:
        root: The folder.
        said: `images` and `masks`, in place of what dataset.json says.
        foreign: Whether volumes of other formats than NIfTI count.

    Returns:
        Its listing (None where it is not clear what belongs together) and every problem.
    """
    problems: list[Problem] = []
    meta = read_description(root, problems)
    labels = meta.get("labels", {"background": 0, "object": 1})
    classes, ignore_label, regions = read_labels(labels, problems)
    names = _Names.of({**meta, **(said or {})}, root, foreign)
    parts = _parts(root, names, problems)
    if not parts:
        problems.append(error("ambiguous", "has no images beside masks", path=root.name))
    if any(problem.kind == "ambiguous" for problem in problems):
        return None, problems
    cases = [case for part in parts for case in _paired(part, names, problems)]
    if all(not part.split for part in parts):
        ids = {case.id for case in cases}
        listed = read_split_lists([root / folder for folder in LISTS], ids, problems)
        cases = [replace(case, split=listed.get(case.id, "")) for case in cases]
    splits: dict[str, dict[str, None]] = {}
    for case in cases:
        splits.setdefault(case.id, {})[case.split] = None
    for id, several in splits.items():
        if len(several) > 1:
            where = ", ".join(map(repr, several))
            message = f"is the name of an image in each of {where}; where these differ, give "
            message += f"each a name of its own, as {next(iter(several))}_{id}, else keep one"
            problems.append(error("leak-id", message, id=id))
    for id in dict.fromkeys(case.id for case in cases):
        if message := name_problem("id", id) or "":
            problems.append(error("name", message, id=id))
    listing = Listing(
        root,
        str(meta.get("name") or root.resolve().name),
        classes if "labels" in meta else classes_of_volumes(cases),
        ordered(cases),
        "folders",
        ignore_label,
        regions=regions,
        learned_regions=read_regions(labels, meta.get("regions_class_order"), problems),
        class_names=class_names(labels, classes) if "labels" in meta else (),
    )
    return listing, problems


def _parts(root: Path, names: _Names, problems: list[Problem]) -> list[_Part]:
    """The splits of a folder, or one of no name; none where it does not pair images with masks."""
    here = _part("", root, names, problems)
    if here:
        return here
    found, other = [], []
    for folder in _folders(root):
        split = SPLITS.get(folder.name.lower())
        own = _part(split, folder, names, problems) if split else []
        found += own
        if split and not own:
            images = _chosen(folder, "images", IMAGES, names.said, []) or folder
            other.append(_Part(split, _files(images, names)))  # without masks, as of a hidden test
    return found + other if found else []


def _part(split: str, root: Path, names: _Names, problems: list[Problem]) -> list[_Part]:
    """What one folder pairs, in two folders or by the ends of names."""
    images = _chosen(root, "images", IMAGES, names.said, problems)
    masks = _chosen(root, "masks", MASKS, names.said, problems)
    if images and masks:
        return _two_folders(split, images, masks, names, problems)
    files = _files(root, names)
    ends = {name: names.of_mask.fullmatch(name) for name in files}
    bases = {match[1] for match in ends.values() if match}
    if not any(_image_of(base, files) for base in bases):
        return []
    of_masks = {name: found for name, found in files.items() if ends[name]}
    of_images = {name: found for name, found in files.items() if not ends[name]}
    return [_Part(split, of_images, {ANNOTATOR: of_masks})]


def _chosen(
    root: Path,
    key: str,
    names: tuple[str, ...],
    meta: Mapping[str, Any],
    problems: list[Problem],
) -> Path | None:
    """The folder of the images or of the masks: as dataset.json names it, else by its name."""
    if isinstance(meta.get(key), Path):  # of the user, not of a file
        return meta[key]
    if key in meta:
        given = meta[key] if isinstance(meta[key], str) and "\0" not in meta[key] else ""
        folder = root / given
        if given and inside((real_path(root),), folder) and folder.is_dir():
            return folder
        message = f"Expected `{key}` as a folder inside. Received: {shown(meta[key])}."
        problems.append(error("ambiguous", message, path="dataset.json"))
    found = [folder for folder in _folders(root) if folder.name.lower() in names]
    if len(found) > 1:
        listed = " and ".join(f"{folder.name}/" for folder in found)
        message = (
            f"Expected one folder of {key}. Received: {listed}. Name the one that is meant in "
            f'dataset.json, as in {{"{key}": "{found[0].name}"}}.'
        )
        problems.append(error("ambiguous", message, path=root.name))
    return found[0] if found else None


def _two_folders(
    split: str, images: Path, masks: Path, names: _Names, problems: list[Problem]
) -> list[_Part]:
    inner = {folder.name.lower(): folder for folder in _folders(images)}
    if inner and not split and set(inner) <= set(SPLITS) and not _files(images, names):
        parts = []
        for name, folder in inner.items():
            own = next(
                (f for f in _folders(masks) if SPLITS.get(f.name.lower()) == SPLITS[name]), None
            )
            drawn = _annotators(own, names, problems) if own else {}
            parts.append(_Part(SPLITS[name], _files(folder, names), drawn))
        return parts
    if inner and not _files(images, names):
        message = (
            f"Expected images, or the folders train, val and test. Received: "
            f"{', '.join(sorted(quote(f.name) for f in inner.values())[:6])}. Write a manifest.csv "
            "that says what these are."
        )
        problems.append(error("ambiguous", message, path=images.name))
    return [_Part(split, _files(images, names), _annotators(masks, names, problems))]


def _annotators(masks: Path, names: _Names, problems: list[Problem]) -> dict[str, Files]:
    """Masks by annotator: folders inside are annotators."""
    files = _files(masks, names)
    folders = [folder for folder in _folders(masks) if _files(folder, names)]
    if files and folders:
        listed = ", ".join(quote(folder.name) for folder in folders[:6])
        message = (
            f"Expected masks, or folders of annotators. Received: both, {len(files)} mask(s) "
            f"beside {listed}. Put the masks into a folder of their annotator, or the folders "
            "elsewhere."
        )
        problems.append(error("ambiguous", message, path=masks.name))
    if folders and all(folder.name.lower() in SPLITS for folder in folders):
        message = (
            "Expected masks, or folders of annotators. Received: "
            f"{', '.join(folder.name for folder in folders)}, which the images are not split into. "
            "Split them alike, or write a manifest.csv."
        )
        problems.append(error("ambiguous", message, path=masks.name))
    for folder in folders:
        if message := name_problem("annotator", folder.name) or "":
            problems.append(error("name", message, path=folder.name))
    return {folder.name: _files(folder, names) for folder in folders} or {ANNOTATOR: files}


def _paired(part: _Part, names: _Names, problems: list[Problem]) -> list[Case]:
    """The cases of a part: a mask belongs to the image of its name, with or without an ending."""
    for name, found in part.images.items():
        if len(found) > 1:
            listed = " and ".join(quote(path.name) for path in found)
            message = f"one name, two images: {listed}; rename or remove one"
            problems.append(error("duplicate-row", message, id=name))
    cases: list[Case] = []
    drawn = set()
    for annotator, masks in part.masks.items():
        of_image: dict[str, list[Path]] = {}
        for name, found in masks.items():
            match = names.of_mask.fullmatch(name)
            image = name if name in part.images else match and _image_of(match[1], part.images)
            if not image:
                message = f"has no image of its name; rename {quote(found[0].name)}, or add it"
                problems.append(error("missing-file", message, id=name, path=found[0].name))
                continue
            of_image.setdefault(image, []).extend(found)
        for image, found in of_image.items():
            if len(found) > 1:
                listed = " and ".join(quote(path.name) for path in found)
                message = f"has two masks by {annotator!r}: {listed}; keep one"
                problems.append(error("duplicate-row", message, id=image))
            cases.append(Case(image, part.images[image][0], found[0], annotator, part.split))
            drawn.add(image)
    without = [name for name in part.images if name not in drawn]
    if without:
        some = ", ".join(map(quote, without[:6])) + (", ..." if len(without) > 6 else "")
        message = f"{len(without)} image(s) without a mask: {some}; add the masks to use them"
        problems.append(Problem("warning", "", part.split, "missing-file", message))
    cases += [Case(name, part.images[name][0], None, "", part.split) for name in without]
    return cases


def _image_of(base: str, images: Files) -> str | None:
    """The name of the image whose mask is called `base` with an ending."""
    return next((n for n in (base, *(base + end for end in OF_IMAGE)) if n in images), None)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def _files(folder: Path, names: _Names) -> Files:
    """Images and volumes of a folder by their names without suffix, but for hidden files."""
    found: Files = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in names.suffixes if path.name.lower().endswith(s)), None)
        if suffix and path.name[0] != "." and path.is_file():
            found.setdefault(path.name[: -len(suffix)], []).append(path)
    return found
