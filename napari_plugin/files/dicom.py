"""DICOM: a series of slices read, a segmentation written.

No path is made of what a DICOM file says, and nothing that it says of a person reaches names of
layers or messages.
"""

from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.opening import open_plain
from keras_robust.data.layouts.labels import class_name
from napari_plugin.files.dicom_grid import refused, series_grid
from napari_plugin.files.grids import noted
from napari_plugin.viewer.anatomy import towards
from napari_plugin.viewer.case_layers import LayerData, image_layer
from napari_plugin.viewer.windows import window_limits

__all__ = ["is_dicom", "read_series", "write_segmentation"]

MAX_VOXELS = 2**31


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM, 128 bytes from its start."""
    try:
        with open_plain(path) as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def read_series(paths: Sequence[Path]) -> list[LayerData]:
    """The series among DICOM files, each as one volume (slice, row, column).

    Slices are ordered by where they lie; each may be shifted against the one before, as by a tilted
    gantry. Values are rescaled as the files say (CT: Hounsfield units); where a file says that its
    least value is white (MONOCHROME1), they are inverted. Folders in folders and files that are not
    DICOM are left out.

    Args:
        paths: Files, or one folder of them.

    Raises:
        ValueError: No slices, or a series whose slices do not make a volume.
        ImportError: pydicom is not installed.
    """
    pydicom = _optional("pydicom")
    files = [f for p in paths for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    series: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for file in files:
        if file.is_file() and is_dicom(file):
            header = _header(pydicom, file)
            if "Rows" in header and header.get("Modality") != "SEG":
                series[str(header.get("SeriesInstanceUID", ""))].append((file, header))
    if not series:
        raise invalid(
            "paths",
            "a series of DICOM images",
            said=f"{len(files)} file(s), none of which is one",
            remedy="Choose the folder that holds the slices.",
        )
    return [_volume(pydicom, slices) for slices in series.values()]


def _header(pydicom: Any, file: Path) -> Any:
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise _damaged(file, error) from None


def _damaged(file: Path, error: BaseException) -> ValueError:
    return invalid(
        "paths",
        "readable DICOM files",
        said=f"{str(file)!r} ({type(error).__name__})",
        remedy=(
            "Restore it from its source, or, where its compression needs it, install pylibjpeg."
        ),
    )


def _volume(pydicom: Any, slices: list[tuple[Path, Any]]) -> LayerData:
    if any(int(header.get("NumberOfFrames", 1)) > 1 for _, header in slices):
        raise refused("slices in one file each", "a file of several frames; convert it to NIfTI")
    shapes = {(int(header.Rows), int(header.Columns)) for _, header in slices}
    if len(shapes) != 1:
        raise refused("slices of one size, direction and spacing", f"{len(shapes)} sizes")
    shape = rows, columns = next(iter(shapes))
    if rows * columns * len(slices) > MAX_VOXELS:
        raise refused(f"at most {MAX_VOXELS:,} voxels", f"{rows * columns * len(slices):,}")
    order, lps, spacing = series_grid([header for _, header in slices])
    ordered = [slices[i][0] for i in order]
    array = np.stack([_pixels(pydicom, file, shape) for file in ordered])
    notes: dict[str, Any] = {
        "dataset": "",
        "id": "",
        "annotator": "",
        "spacing_mm": None if spacing is None else list(spacing),
        # DICOM's world points to the left and the back of the patient, NIfTI's to the others.
        "affine": None if lps is None else (np.diag([-1, -1, 1, 1]) @ lps).tolist(),
        "dicom": [str(file) for file in ordered],
    }
    notes["towards"] = "" if lps is None else towards(notes["affine"])
    modality = str(slices[0][1].get("Modality", "")) if "Modality" in slices[0][1] else ""
    name = f"{modality if modality.isalpha() else 'DICOM'} series"
    image, options, kind = image_layer(array[..., np.newaxis], name, notes)
    window = _window(slices[order[len(order) // 2]][1])
    if window is not None:
        options["contrast_limits"] = window
    return image, options, kind


def _window(header: Any) -> tuple[float, float] | None:
    """The first window of a header; `None` without one, or where values are inverted."""
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        return None
    found = []
    for name in ("WindowCenter", "WindowWidth"):
        value = header.get(name)
        try:
            first = value if isinstance(value, int | float) else list(value)[0]
            found.append(float(first))
        except (TypeError, ValueError, IndexError):  # absent, empty, or not a number
            return None
    centre, width = found
    return window_limits(centre, width) if np.isfinite(found).all() and width > 0 else None


def _pixels(pydicom: Any, file: Path, shape: tuple[int, int]) -> NDArray:
    """The values of one slice, rescaled as the file says, with the greatest to be shown white."""
    try:
        dataset = pydicom.dcmread(file)
        array = np.asarray(dataset.pixel_array)
        kind = str(dataset.PhotometricInterpretation)
    except Exception as error:
        raise _damaged(file, error) from None
    if array.shape != shape or kind not in ("MONOCHROME1", "MONOCHROME2"):
        found = f"pixels of shape {array.shape}, {kind}"
        raise refused("slices of one grey value per pixel", found)
    if kind == "MONOCHROME1":
        array = _inverted(array, dataset)
    slope = float(dataset.get("RescaleSlope", 1) or 1)
    intercept = float(dataset.get("RescaleIntercept", 0) or 0)
    if (slope, intercept) == (1.0, 0.0) and "ModalityLUTSequence" not in dataset:
        return array
    return pydicom.pixels.apply_modality_lut(array, dataset).astype(np.float32)


def _inverted(array: NDArray, dataset: Any) -> NDArray:
    """Within what the bits of the file can hold, the same for every slice."""
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    ends = -1 if signed else 2**bits - 1  # the least and the greatest together
    return (ends - array.astype(np.int64)).astype(array.dtype)


def write_segmentation(path: Path, labels: NDArray, meta: dict[str, Any]) -> Path:
    """Write labels as a DICOM segmentation of the series that they were drawn on.

    It belongs to the same patient and study as the series and refers to its slices. Each label
    becomes a segment.

    Args:
        path: File to write, atomically.
        labels: (slice, row, column), of the shape of the series.
        meta: Arguments of the layer; it, or one of the same shape beside it, was read from DICOM.

    Raises:
        ValueError: No series belongs to the labels, or there is no label.
        ImportError: highdicom is not installed.
    """
    labels = np.asarray(labels)
    sources = noted(meta, labels.shape, "dicom")
    if not sources or len(sources) != len(labels):
        raise invalid(
            "labels",
            "labels drawn on a DICOM series that is open",
            said=f"labels of shape {labels.shape} without one",
            remedy="Open the series first, or save as .nii.gz.",
        )
    values = [int(value) for value in np.unique(labels) if value]
    if not values:
        raise invalid(
            "labels",
            "at least one labelled voxel",
            said="an empty mask, which a DICOM segmentation cannot hold",
        )
    pydicom, highdicom = _optional("pydicom"), _optional("highdicom")
    codes = import_module("pydicom.sr.codedict").codes
    names = noted(meta, labels.shape, "class_names") or ()
    slices = [pydicom.dcmread(source) for source in sources]
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=(class_name(value, names) or f"Label {value}")[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, value in enumerate(values, start=1)
    ]
    numbers = np.searchsorted(values, labels) + 1
    version = import_module("keras_robust").__version__
    segmentation = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=np.where(labels > 0, numbers, 0).astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=900,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="keras-robust",
        manufacturer_model_name="keras-robust",
        software_versions=version,
        device_serial_number="0",
        content_label="SEGMENTATION",
        series_description="Segmentation",
    )
    buffer = import_module("io").BytesIO()
    segmentation.save_as(buffer, enforce_file_format=True)
    return atomic_write_bytes(path, buffer.getvalue())


def _optional(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(
            f"DICOM needs {name}. Install it with: pip install 'keras-robust[dicom]'"
        ) from None
