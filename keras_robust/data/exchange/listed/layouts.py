"""What is read in place as a layout: imported as it is, with files of other kinds converted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_robust.common.files import atomic_write_json, atomic_write_text
from keras_robust.common.opening import read_json
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Entry, Found
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.volumes import Masks, image_as_read
from keras_robust.data.files.images import mask_suffix, write_mask
from keras_robust.data.layouts.folders import ANNOTATOR, is_folders, read_folders
from keras_robust.data.layouts.manifest_writing import description_of
from keras_robust.data.layouts.registry import layout_of, read_layout
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error

__all__ = ["FOLDERS", "LAYOUT", "NNUNET", "found_listing", "write_folders", "write_nnunet"]

Read = tuple[Listing | None, list[Problem]]


def found_listing(
    title: str,
    root: Path,
    read: Read,
    given: Given,
    masks: Callable[[Path], Any] | None = None,
) -> Found:
    """What a layout lists, with files that are not read in place to be converted.

    Args:
        title, root: See `Found`.
        read: Listing and problems, as layouts return them.
        given: What the user said.
        masks: Makes of a mask what it is imported as; by default volumes of other formats are
            converted.
    """
    listing, problems = read
    if listing is None:
        return Found(root, title, (), problems=tuple(problems))
    known = Masks()
    convert = masks or known.as_read
    rename = given.annotator != ANNOTATOR and len({c.annotator for c in listing.cases} - {""}) == 1
    channels: dict[str, tuple] = {}
    entries = []
    for case in listing.cases:
        try:
            if case.id not in channels:
                read_channels = [image_as_read(path) for path in case.channels]
                channels[case.id] = tuple(file for files in read_channels for file in files)
            mask = None if case.mask is None else convert(case.mask)
        except (OSError, ValueError) as reason:
            problems.append(error("unreadable", str(reason), id=case.id))
            continue
        annotator = given.annotator if rename and case.annotator else case.annotator
        entries.append(
            Entry(
                case.id,
                channels[case.id],
                mask,
                annotator,
                case.split,
                case.group,
                case.spacing if channels[case.id] == case.channels else None,
                case.extra,
            )
        )
    description = description_of(Dataset.of(listing))
    description.pop("name")
    if known.labels(description):
        description["labels"] = known.labels(description)
    description |= _channel_names(root)
    return Found(root, title, tuple(entries), description, tuple(known.notes()), tuple(problems))


def _channel_names(root: Path) -> dict[str, Any]:
    """`modality` of the Decathlon, by which a plan normalises images."""
    try:
        named = read_json(root / "dataset.json", dict).get("modality")
    except (OSError, ValueError):
        return {}
    return {"channel_names": named} if isinstance(named, dict) and named else {}


def _is_layout(source: Path) -> bool:
    layout = layout_of(source)
    return layout is not None and layout.read is not read_folders


def read_any_layout(source: Path, given: Given) -> Found:
    """A folder in one of the layouts, referred to from a new manifest."""
    layout = layout_of(source)
    title = "folder" if layout is None else layout.name
    return found_listing(title, source, read_layout(source), given)


def _is_plain(source: Path) -> bool:
    return source.is_dir() and is_folders(source, foreign=True)


def read_plain(source: Path, given: Given) -> Found:
    """Folders of images and masks, by their usual names or those given."""
    said: dict[str, Any] = {"masks": given.masks} if given.masks else {}
    if given.masks and (Path(given.masks).is_dir() or (source / given.masks).is_dir()):
        said["masks"] = (
            source / given.masks if (source / given.masks).is_dir() else Path(given.masks)
        )
    if given.images is not None:
        said["images"] = given.images
    return found_listing("folders", source, read_folders(source, said, foreign=True), given)


def write_folders(dataset: Dataset, export: Export) -> None:
    """images/ and masks/, the splits as lists, and the classes in dataset.json."""
    by_split: dict[str, list[str]] = {}
    for case in export.cases(volumes=None):
        export.require_copy()
        export.image(case, Path("images"))
        write_labels(export, case, Path("masks") / f"{case.id}{mask_suffix(case.image)}")
        by_split.setdefault(case.split, []).append(case.id)
    for split, ids in by_split.items():
        if split:
            atomic_write_text(export.folder / f"{split}.txt", "\n".join(ids) + "\n")
    labels = {"background": 0, **{name: number for number, name in export.names.items()}}
    atomic_write_json(export.folder / "dataset.json", {"name": dataset.name, "labels": labels})


def write_nnunet(dataset: Dataset, export: Export) -> None:
    """nnU-Net's raw folder: imagesTr, labelsTr; imagesTs and labelsTs of the split `test`."""
    suffixes, count, most = set(), 0, 1
    for case in export.cases(volumes=None):
        part = "Ts" if case.split == "test" else "Tr"
        count += part == "Tr"
        most = max(most, len(case.channels))
        for number, channel in enumerate(case.channels):
            suffix = mask_suffix(channel)
            export.picture(channel, Path(f"images{part}") / f"{case.id}_{number:04d}{suffix}")
            suffixes.add(suffix)
        write_labels(export, case, Path(f"labels{part}") / f"{case.id}{mask_suffix(case.image)}")
    description = description_of(dataset)
    named = description.get("channel_names") or description.get("modality")
    atomic_write_json(
        export.folder / "dataset.json",
        {
            "name": dataset.name,
            "channel_names": named or {str(n): f"channel {n}" for n in range(most)},
            "labels": {"background": 0, **{name: n for n, name in export.names.items()}},
            "numTraining": count,
            "file_ending": suffixes.pop() if len(suffixes) == 1 else ".png",
        },
    )


def write_labels(export: Export, case: Any, target: Path) -> None:
    """The mask of a case, as a file of labels on the grid of its image."""
    classes = len(export.names) + 1
    write_mask(export.folder / target, export.labels(case), case.image, classes)


LAYOUT = Format(
    "a folder that is read in place",
    "see keras-robust verify --help",
    _is_layout,
    read_any_layout,
)
FOLDERS = Format(
    "folders",
    "images/ beside masks/, or a.png beside a_mask.png",
    _is_plain,
    read_plain,
    write_folders,
)
NNUNET = Format(
    "nnU-Net raw",
    "imagesTr",
    lambda source: False,  # read as a layout
    read_any_layout,
    write_nnunet,
)
