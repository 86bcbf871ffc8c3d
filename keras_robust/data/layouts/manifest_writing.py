"""Writing manifests: rows for a new annotator, and a manifest that refers to another dataset."""

import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_json, locked
from keras_robust.common.opening import read_bytes, read_json
from keras_robust.common.tables import read_table, rows_csv
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.images import mask_suffix
from keras_robust.data.layouts.manifest import MANIFEST, REQUIRED, SEPARATOR

__all__ = [
    "add_soft_annotator",
    "append_rows",
    "description_of",
    "manifest_text",
    "reference",
    "remove_rows",
    "writable_home",
    "write_view",
]

CHANNELS = ("channel_names", "modality")  # nnU-Net's, by which a plan normalises images
FOREIGN = ("datalist",)  # layouts whose dataset.json has other `labels`


def append_rows(
    home: Path,
    cases: Sequence[Case],
    annotator: str,
    masks: Mapping[str, Path] | None = None,
) -> None:
    """Add a row for each case's mask by `annotator`; the bytes of the other rows stay.

    Columns that say something about the image are copied; further ones may be about the mask they
    stand beside, and are left empty. Rows that are there already are not added again.

    Args:
        home: Manifest folder; the caller holds its lock.
        cases: Cases whose mask the new annotator's stands beside.
        annotator: The new one, whose masks are masks/ANNOTATOR/ID.png, or .nii.gz of volumes.
        masks: Other files of the masks, by id.
    """
    content = read_bytes(home / MANIFEST)
    columns, rows = read_table(content)
    by_key = {(row["id"], row["annotator"]): row for row in rows}
    of_image = {row["id"]: row for row in reversed(rows)}
    about_image = ("id", "image", "split", "group", "spacing")
    added = []
    for case in cases:
        if (case.id, annotator) not in by_key:
            row = by_key.get((case.id, case.annotator)) or of_image[case.id]
            copied = {column: row[column] for column in about_image if column in row}
            mask = (
                f"masks/{annotator}/{case.id}{mask_suffix(case.image)}"
                if masks is None
                else reference(masks[case.id], home)
            )
            added.append({**copied, "mask": mask, "annotator": annotator})
    if added:
        newline = "\r\n" if b"\r\n" in content else "\n"
        between = "" if content.endswith(b"\n") else newline
        text = between + _table(columns, added, newline)
        atomic_write_bytes(home / MANIFEST, content + text.encode("utf-8"))


def remove_rows(home: Path, ids: Collection[str], annotator: str) -> None:
    """Remove the rows of masks that `annotator` has withdrawn; the bytes of the others stay.

    Args:
        home: Manifest folder; the caller holds its lock.
        ids: Ids of the images.
        annotator: Whose rows go.
    """
    content = read_bytes(home / MANIFEST)
    columns, _ = read_table(content)
    lines = list(io.StringIO(content.decode("utf-8"), newline=""))
    reader, kept, start = csv.reader(lines), [], 0
    for cells in reader:
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        if start == 0 or row.get("id") not in ids or row.get("annotator") != annotator:
            kept += lines[start : reader.line_num]
        start = reader.line_num
    text = "".join(kept)
    if len(kept) < len(lines):
        atomic_write_bytes(home / MANIFEST, text.encode("utf-8"))


def writable_home(dataset: Dataset, output: str | os.PathLike[str] | None = None) -> Path:
    """The manifest folder in which new masks for `dataset` belong.

    Args:
        dataset: The dataset.
        output: Folder for a view (see `write_view`); `None` for the dataset's own.

    Raises:
        ValueError: The dataset has no table for a new annotator, and `output` is not given.
        PermissionError: The dataset folder is read-only, and `output` is not given.
        FileExistsError: `output` holds something else.
    """
    if output is not None:
        return write_view(dataset, Path(output))
    if dataset.layout != "manifest":
        raise invalid(
            "output",
            (
                f"a folder for the new dataset, since {str(dataset.root)!r} has the "
                f"layout {dataset.layout!r}, which has no manifest.csv"
            ),
            said="none",
            remedy="Name one (--output DIR); it refers to the images where they are.",
        )
    if not os.access(dataset.root, os.W_OK):
        raise PermissionError(
            f"The dataset folder {str(dataset.root)!r} is read-only. Name another folder as "
            "`output` (--output DIR); it refers to the images where they are."
        )
    return dataset.root


def write_view(dataset: Dataset, output: Path) -> Path:
    """Make `output` a manifest folder that refers to the images and masks of `dataset`.

    Nothing is done where it is one already.

    Raises:
        ValueError: `output` lies in the dataset.
        FileExistsError: `output` holds something else.
    """
    root = dataset.root.resolve()
    if output.resolve().is_relative_to(root):
        within = ", or leave `output` out to write into the dataset" if _is_manifest(root) else ""
        remedy = f"Choose one beside it{within}."
        raise invalid("output", "a folder outside the dataset's", str(output), remedy)
    meta = description_of(dataset)
    meta["sources"] = [reference(folder, output) for folder in (root, *dataset.sources)]
    with locked(output / ".manifest.lock"):
        if _is_manifest(output) or (output / "dataset.json").exists():
            try:
                there = read_json(output / "dataset.json")
            except (OSError, ValueError):
                there = None
            if not _is_view(there, meta):
                raise invalid(
                    "output",
                    "a new folder, or one that was written for the same dataset",
                    said=f"output={str(output)!r}, which holds another one",
                    remedy="Choose another folder.",
                    kind=FileExistsError,
                )
            meta |= there
        atomic_write_json(output / "dataset.json", meta)
        if not _is_manifest(output):
            text = manifest_text(dataset.cases, output)
            atomic_write_bytes(output / MANIFEST, text.encode("utf-8"))
    return output


def description_of(dataset: Dataset) -> dict[str, Any]:
    """What dataset.json says of a dataset, but for the folders that it refers to."""
    meta: dict[str, Any] = {"name": dataset.name}
    if (dataset.root / "dataset.json").is_file() and dataset.layout not in FOREIGN:
        given = read_json(dataset.root / "dataset.json", dict)
        kept = ("labels", "regions_class_order", *CHANNELS)
        meta |= {key: given[key] for key in kept if given.get(key)}
    if "labels" not in meta and (dataset.classes > 2 or dataset.class_names):
        numbered = range(1, dataset.classes)
        names = dataset.class_names or ("background", *map(str, numbered))
        meta["labels"] = {names[n] or str(n): n for n in range(dataset.classes)}
        if dataset.ignore_label is not None:
            meta["labels"]["ignore"] = dataset.ignore_label
    if dataset.soft_annotators:
        meta["soft"] = list(dataset.soft_annotators)
    return meta


def add_soft_annotator(home: Path, annotator: str) -> None:
    """Name an annotator whose masks are probabilities in dataset.json, where it is not yet.

    Args:
        home: Manifest folder; the caller holds its lock.
        annotator: Its name.
    """
    file = home / "dataset.json"
    meta = read_json(file, dict) if file.is_file() else {}
    if annotator not in meta.get("soft", []):
        atomic_write_json(file, {**meta, "soft": [*meta.get("soft", []), annotator]})


def _is_view(there: Any, meta: Mapping[str, Any]) -> bool:
    """Whether dataset.json is that of the view, to which soft annotators may have been added, and
    which may be of a version that left the names of the channels out."""
    apart = dict.fromkeys(("soft", *CHANNELS))
    return isinstance(there, dict) and {**there, **apart} == {**meta, **apart}


def manifest_text(cases: Sequence[Case], output: Path) -> str:
    """manifest.csv of the cases, for a folder from which their files are referred to."""
    extra = list(dict.fromkeys(key for case in cases for key in case.extra))
    columns = [*REQUIRED, "group", "spacing", *extra]
    rows = [
        {
            **case.extra,
            "id": case.id,
            "image": SEPARATOR.join(reference(path, output) for path in case.channels),
            "mask": reference(case.mask, output) if case.mask else "",
            "annotator": case.annotator,
            "split": case.split,
            "group": case.group or "",
            "spacing": "x".join(map(str, case.spacing or ())),
        }
        for case in cases
    ]
    return _table(columns, [dict(zip(columns, columns, strict=True)), *rows], "\n")


def reference(path: Path, folder: Path) -> str:
    """`path` from `folder` on, where there is such a way, with slashes on every system."""
    absolute = Path(os.path.abspath(path))
    if SEPARATOR in str(absolute):
        raise invalid(
            "path",
            (
                f"paths without {SEPARATOR!r}, which separates the channels of an image "
                "in a manifest"
            ),
            said=f"{str(absolute)!r}",
            remedy="Rename it.",
        )
    try:
        # Links resolved on both sides: ".." from inside a link leads elsewhere.
        return Path(os.path.relpath(absolute, folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return absolute.as_posix()


def _table(columns: list[str], rows: Iterable[Mapping[str, str]], newline: str) -> str:
    return rows_csv(columns, rows, newline, header=False)


def _is_manifest(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()
