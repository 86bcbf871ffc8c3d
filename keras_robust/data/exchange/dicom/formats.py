"""Folders of DICOM: each series a case, with the segmentations and structure sets of it."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import real_path
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.dicom.segmentation import (
    segment_names,
    segmentation_labels,
    write_segmentation,
)
from keras_robust.data.exchange.dicom.series import (
    MASKS,
    Series,
    by_series,
    find_files,
    make_series,
    read_header,
)
from keras_robust.data.exchange.dicom.structures import (
    structure_labels,
    structure_names,
    write_structures,
)
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Draw, Entry, Found, Made, labels_of
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.volumes.itk import to_ras
from keras_robust.data.exchange.volumes.writing import write_image
from keras_robust.data.files.volume_header import make_header
from keras_robust.data.layouts.manifest import inside
from keras_robust.data.problems import Problem, error

__all__ = ["DICOM_SEG", "RTSTRUCT", "read_dicom", "write_dicom_seg", "write_rtstruct"]

LOOKED_AT = 200  # of the files of a folder, to see whether it is one of DICOM
FOLDER, UID = "dicom", "dicom_series"  # columns by which an export finds the series again


def _fits(source: Path) -> bool:
    return source.is_dir() and any(True for _ in find_files(source, LOOKED_AT))


def read_dicom(source: Path, given: Given) -> Found:
    """Series of slices in folders below `source`, each with the masks that refer to it."""
    problems: list[Problem] = []
    notes: Counter[str] = Counter()
    headers = []
    for file in find_files(source):
        try:
            headers.append((file, read_header(file)))
        except ValueError as reason:
            problems.append(error("unreadable", str(reason), path=file.name))
    series = _series(headers, problems)
    masks, names = [], []
    for file, header in headers:
        if header.get("Modality") in MASKS:
            try:
                names += _names(header)
                masks.append((file, header))
            except (AttributeError, TypeError, ValueError) as reason:
                problems.append(error("unreadable", str(reason), path=file.name))
    of_series = _masks_of(masks, series, problems)
    labels, numbers = labels_of(names)
    ids = _ids(series, source)
    who = _annotators(of_series, given)
    patients = _patients(series)
    entries = []
    for uid, one in series.items():
        if one.lps is None:
            notes["series that do not say where they lie: no orientation is kept"] += 1
        about: dict[str, Any] = {
            "id": ids[uid],
            "channels": (Made(one.files[0], ".nii.gz", _writer(one)),),
            "group": patients.get(uid),
            "extra": {FOLDER: one.files[0].parent, UID: uid},
        }
        for file, header in of_series.get(uid, []):
            draw = _draw(file, header, numbers, one)
            entries.append(Entry(mask=draw, annotator=who[file], **about))
        if not of_series.get(uid):
            entries.append(Entry(**about))
    told = tuple(f"{count} {what}" for what, count in notes.items())
    description = {"labels": labels} if names else {}
    return Found(source, DICOM_SEG.title, tuple(entries), description, told, tuple(problems))


def _series(headers: Sequence[tuple[Path, Any]], problems: list[Problem]) -> dict[str, Series]:
    found = {}
    for uid, slices in by_series(headers).items():
        try:
            found[uid] = make_series(slices)
        except ValueError as reason:
            problems.append(error("series", str(reason), path=slices[0][0].parent.name))
    return found


def _masks_of(
    masks: Sequence[tuple[Path, Any]], series: Mapping[str, Series], problems: list[Problem]
) -> dict[str, list[tuple[Path, Any]]]:
    """Segmentations and structure sets by the series that they refer to."""
    instances = {
        str(header.get("SOPInstanceUID")): uid for uid, one in series.items()
        for header in one.headers
    }  # fmt: skip
    frames: dict[str, list[str]] = defaultdict(list)
    for uid, one in series.items():
        frames[str(one.headers[0].get("FrameOfReferenceUID", ""))].append(uid)
    found: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for file, header in masks:
        named = [str(e.value) for e in header.iterall() if e.keyword == "SeriesInstanceUID"][1:]
        uids = [uid for uid in named if uid in series]
        if not uids:
            referred = (e for e in header.iterall() if e.keyword == "ReferencedSOPInstanceUID")
            uids = [instances[str(e.value)] for e in referred if str(e.value) in instances]
        if not uids:
            frame = str(header.get("FrameOfReferenceUID", ""))
            uids = frames[frame] if len(frames.get(frame, [])) == 1 else []
        if uids:
            found[uids[0]].append((file, header))
        else:
            message = "is drawn on a series that is not there; add the slices"
            problems.append(error("missing-file", message, path=file.name))
    return found


def _names(header: Any) -> list[str]:
    is_segmentation = header.get("Modality") == "SEG"
    return segment_names(header) if is_segmentation else structure_names(header)


def _ids(series: Mapping[str, Series], root: Path) -> dict[str, str]:
    """Ids by the highest folder below `root` that holds a series alone, as that of a patient; what
    the files say of persons is not used."""
    folders = {uid: one.files[0].parent for uid, one in series.items()}
    counts = Counter(above for folder in folders.values() for above in (folder, *folder.parents))
    ids, seen = {}, Counter[Path]()
    for uid, folder in folders.items():
        while folder.parent != root and folder != root and counts[folder.parent] == 1:
            folder = folder.parent
        name = "_".join(folder.relative_to(root).parts) or root.resolve().name
        if counts[folder] > 1:
            seen[folder] += 1
            name += f"_{seen[folder]}"
        ids[uid] = name
    return ids


def _patients(series: Mapping[str, Series]) -> dict[str, str]:
    """A number for each patient, where there are several series of some."""
    ids = {uid: str(one.headers[0].get("PatientID", "")) for uid, one in series.items()}
    known = list(dict.fromkeys(id for id in ids.values() if id))
    if len(known) == len(series) or not known:
        return {}
    return {uid: f"patient-{known.index(id) + 1}" for uid, id in ids.items() if id}


def _annotators(
    of_series: Mapping[str, Sequence[tuple[Path, Any]]], given: Given
) -> dict[Path, str]:
    """One name where each series has one mask; else the files are called after them."""
    if all(len(masks) == 1 for masks in of_series.values()):
        return {file: given.annotator for masks in of_series.values() for file, _ in masks}
    return {file: file.stem for masks in of_series.values() for file, _ in masks}


def _writer(series: Series) -> Callable[[Path], Any]:
    return lambda path: write_image(path, _turned(series.read()), _header(series))


def _turned(array: NDArray) -> NDArray:
    """From (slice, row, column) to (column, row, slice), as NIfTI has it, and back."""
    return np.ascontiguousarray(array.transpose(2, 1, 0))


def _header(series: Series) -> Any:
    if series.lps is None:
        between, down, across = series.spacing or (1.0, 1.0, 1.0)
        unit = "mm" if series.spacing else "unknown"
        affine = np.diag([-across, -down, between, 1.0])
        return make_header(series.shape[::-1], affine, unit=unit)
    return make_header(series.shape[::-1], to_ras(series.lps)[:, [2, 1, 0, 3]], code="scanner")


def _draw(file: Path, header: Any, numbers: Mapping[str, int], series: Series) -> Draw:
    if header.get("Modality") == "SEG":
        return lambda image: segmentation_labels(file, numbers, image)
    return lambda image: _turned(structure_labels(file, numbers, series))


def _series_of(dataset: Dataset, case: Case) -> Series:
    """The series that a case was imported from."""
    told, uid = case.extra.get(FOLDER, ""), case.extra.get(UID, "")
    folder = Path(os.path.normpath(real_path(dataset.root) / told))
    homes = tuple(real_path(home) for home in (dataset.root, *dataset.sources))
    if told and inside(homes, folder) and folder.is_dir():
        headers = [(f, read_header(f)) for f in find_files(folder) if f.parent == folder]
        slices = by_series(headers).get(uid)
        if slices:
            return make_series(slices)
    raise invalid(
        "dataset",
        "one imported from DICOM, its series where it was (not --copy)",
        said=f"the case {case.id!r} without its series",
    )


def _written(
    export: Export, ending: str, write: Callable[[Path, NDArray, Mapping[int, str], Series], Any]
) -> None:
    dataset = export.dataset
    for case in export.cases(volumes=True):
        series = _series_of(dataset, case)
        labels = _turned(export.labels(case))
        if labels.shape != series.shape:
            raise invalid("dataset", f"masks of {series.shape}", said=f"{labels.shape}")
        target = export.folder / case.id / f"{ending}.dcm"
        if export.copy:
            for file in series.files:
                export.file(file, Path(case.id, "slices", file.name))
        if labels.any():
            write(target, labels, export.names, series)


def write_dicom_seg(dataset: Dataset, export: Export) -> None:
    """A segmentation for each case, beside its slices; none of an empty mask."""
    _written(
        export,
        "segmentation",
        lambda path, labels, names, one: write_segmentation(path, labels, names, one.files),
    )


def write_rtstruct(dataset: Dataset, export: Export) -> None:
    """A structure set for each case, beside its slices; none of an empty mask."""
    _written(export, "structures", write_structures)


DICOM_SEG = Format(
    "DICOM (series, SEG, RTSTRUCT)",
    "folders of DICOM slices",
    _fits,
    read_dicom,
    write_dicom_seg,
)
RTSTRUCT = Format(
    "DICOM (RTSTRUCT)",
    "folders of DICOM slices",
    lambda source: False,  # read as the one above
    read_dicom,
    write_rtstruct,
)
