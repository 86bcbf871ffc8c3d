"""Structure sets of radiotherapy (RTSTRUCT): contours on slices, read and written by pydicom."""

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.exchange.dicom.series import Series, read_header
from keras_robust.data.exchange.geojson import polygons_of
from keras_robust.data.exchange.optional import optional
from keras_robust.data.exchange.shapes import Polygon, paint

__all__ = ["structure_labels", "structure_names", "write_structures"]

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
ON_EDGE = 1e-3  # of a pixel: programs write contours through the centres of border pixels
INSET = 0.02  # of a pixel: programs that round points to voxels take those inside
OFF_SLICE = 0.6  # of the distance between slices
COLOURS = ((220, 60, 60), (60, 160, 220), (60, 180, 80), (220, 170, 40), (160, 80, 200))


def structure_names(header: Any) -> list[str]:
    """Names of the structures that have contours, in the order of the file."""
    return [name for name, _ in _structures(header)]


def _structures(header: Any) -> Iterator[tuple[str, Any]]:
    """Names and contours of the structures that have some."""
    contours = {
        str(item.get("ReferencedROINumber", "")): item.get("ContourSequence") or []
        for item in header.get("ROIContourSequence") or []
    }
    for item in header.get("StructureSetROISequence") or []:
        number = str(item.get("ROINumber", ""))
        closed = [c for c in contours.get(number, []) if c.get("ContourGeometricType") in CLOSED]
        if closed:
            yield str(item.get("ROIName", "") or f"ROI {number}"), closed


def structure_labels(path: Path, numbers: Mapping[str, int], series: Series) -> NDArray[np.uint8]:
    """Labels (slice, row, column) on the grid of a series.

    A voxel belongs to a structure where its centre is inside an odd number of its contours of that
    slice, or on one of them, as programs draw them through the centres of the voxels at the border.
    Of structures that overlap, the later one wins.

    Raises:
        ValueError: Contours that are damaged, or do not lie in the slices of the series.
    """
    if series.lps is None:
        raise invalid("source", "slices that say where they lie", said=f"{str(path)!r} on others")
    labels = np.zeros(series.shape, np.uint8)
    to_index: NDArray[np.float64] = np.linalg.inv(series.lps).astype(np.float64)
    for name, contours in _structures(read_header(path)):
        rings: dict[int, list[NDArray]] = defaultdict(list)
        for contour in contours:
            slice_number, ring = _ring(contour, to_index, series, name)
            rings[slice_number].append(ring)
        for slice_number, of_slice in rings.items():
            labels[slice_number][_closed(of_slice, series.shape[1:])] = numbers[name]
    return labels


def _ring(
    contour: Any, to_index: NDArray[np.float64], series: Series, name: str
) -> tuple[int, NDArray[np.float64]]:
    """The slice of a contour, and its points as column and row, voxels' centres at whole ones."""
    try:
        points = np.array([float(text) for text in contour.ContourData]).reshape(-1, 3)
    except (AttributeError, TypeError, ValueError):
        points = np.empty((0, 3))
    index = points @ to_index[:3, :3].T + to_index[:3, 3]
    if not len(points) or not (np.abs(index) < 1e6).all():
        raise invalid("source", "contours of points in mm", said=f"others of {name[:64]!r}")
    slice_number = round(float(index[:, 0].mean()))
    if np.abs(index[:, 0] - slice_number).max() > OFF_SLICE:
        said = f"one of {name[:64]!r} across them"
        raise invalid("source", "contours that lie in the slices of the series", said=said)
    if not 0 <= slice_number < series.shape[0]:
        said = f"one of {name[:64]!r} beyond them"
        raise invalid("source", "contours on the slices of the series", said=said)
    return slice_number, index[:, :0:-1]


def _closed(rings: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels inside an odd number of rings, or on one."""
    covered = np.zeros(shape, bool)
    areas = [ring for ring in rings if len(ring) > 2]
    for across in (-ON_EDGE, ON_EDGE):
        for down in (-ON_EDGE, ON_EDGE):
            if areas:
                moved = Polygon([ring + (0.5 + across, 0.5 + down) for ring in areas])
                covered |= paint(shape, [(1, moved)]) > 0
    for ring in rings:  # of those without an area, such as one voxel, the centres that they pass
        ends = np.roll(ring, -1, axis=0)
        steps = int(np.ceil(np.abs(ends - ring).max())) or 1
        along = np.linspace(ring, ends, steps + 1).reshape(-1, 2)
        near = np.rint(along)
        on = np.abs(along - near).max(axis=1) <= ON_EDGE
        columns, rows = near[on].astype(int).T
        inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
        covered[rows[inside], columns[inside]] = True
    return covered


def write_structures(path: Path, labels: NDArray, names: Mapping[int, str], series: Series) -> Path:
    """Write labels as a structure set of the series that they were drawn on.

    Contours run along the edges of voxels, just inside; those of holes are apart, and count by the
    odd-even rule.

    Args:
        path: File to write, atomically.
        labels: (slice, row, column), of the shape of the series.
        names: Of the labels.
        series: The series.

    Raises:
        ValueError: The slices do not say where they lie.
        ImportError: pydicom or shapely is not installed.
    """
    if series.lps is None:
        raise invalid("source", "slices that say where they lie", said="others")
    dataset, item = _new(series), import_module("pydicom.dataset").Dataset
    for place, (value, name) in enumerate(names.items()):
        structure, contour, observation = item(), item(), item()
        structure.ROINumber = contour.ReferencedROINumber = place + 1
        structure.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
        structure.ROIName, structure.ROIGenerationAlgorithm = name[:64], "MANUAL"
        contour.ROIDisplayColor = list(COLOURS[place % len(COLOURS)])
        contour.ContourSequence = list(_contours(labels == value, series, series.lps, item))
        observation.ObservationNumber = observation.ReferencedROINumber = place + 1
        observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
        dataset.StructureSetROISequence.append(structure)
        dataset.ROIContourSequence.append(contour)
        dataset.RTROIObservationsSequence.append(observation)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return atomic_write_bytes(path, buffer.getvalue())


def _contours(
    mask: NDArray[np.bool_], series: Series, lps: NDArray[np.float64], item: Any
) -> Iterator[Any]:
    for number in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        drawn = polygons_of(mask[number]).buffer(-INSET, join_style="mitre")
        for polygon in getattr(drawn, "geoms", [drawn]):
            for ring in (polygon.exterior, *polygon.interiors):
                corners = np.array(ring.coords)[:-1] - 0.5  # column and row, centres at whole ones
                index = np.c_[np.full(len(corners), number), corners[:, ::-1]]
                points = index @ lps[:3, :3].T + lps[:3, 3]
                image, contour = item(), item()
                image.ReferencedSOPClassUID = series.headers[number].SOPClassUID
                image.ReferencedSOPInstanceUID = series.headers[number].SOPInstanceUID
                contour.ContourImageSequence = [image]
                contour.ContourGeometricType = "CLOSED_PLANAR"
                contour.NumberOfContourPoints = len(points)
                contour.ContourData = [f"{value:.10g}"[:16] for value in points.ravel()]
                yield contour


def _new(series: Series) -> Any:
    """A structure set of the patient and study of a series, without structures."""
    pydicom, datasets = optional("pydicom"), import_module("pydicom.dataset")
    uids, item = import_module("pydicom.uid"), datasets.Dataset
    meta = datasets.FileMetaDataset()
    meta.MediaStorageSOPClassUID = uids.RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = uids.generate_uid()
    meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    dataset = datasets.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    first = series.headers[0]
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
        "FrameOfReferenceUID",
    ):
        setattr(dataset, keyword, first.get(keyword, "") or "")
    if not dataset.FrameOfReferenceUID:
        dataset.FrameOfReferenceUID = uids.generate_uid()
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta[0x00020002].value, meta[0x00020003].value
    dataset.SeriesInstanceUID, dataset.SeriesNumber = uids.generate_uid(), 901
    dataset.Modality, dataset.Manufacturer = "RTSTRUCT", "keras-robust"
    dataset.OperatorsName, dataset.StructureSetLabel = "", "keras-robust"
    dataset.StructureSetDate, dataset.StructureSetTime = "", ""
    dataset.ApprovalStatus = "UNAPPROVED"
    images = []
    for header in series.headers:
        image = item()
        image.ReferencedSOPClassUID = header.SOPClassUID
        image.ReferencedSOPInstanceUID = header.SOPInstanceUID
        images.append(image)
    referred, study, frame = item(), item(), item()
    referred.SeriesInstanceUID, referred.ContourImageSequence = series.uid, images
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # of a study
    study.ReferencedSOPInstanceUID = dataset.StudyInstanceUID
    study.RTReferencedSeriesSequence = [referred]
    frame.FrameOfReferenceUID = dataset.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    for keyword in ("StructureSetROI", "ROIContour", "RTROIObservations"):
        setattr(dataset, f"{keyword}Sequence", pydicom.sequence.Sequence())
    return dataset
