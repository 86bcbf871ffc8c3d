"""DICOM segmentations: segments of voxels, read and written by highdicom."""

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.exchange.dicom.series import damaged
from keras_robust.data.exchange.optional import optional
from keras_robust.data.exchange.volumes.itk import to_ras
from keras_robust.data.exchange.volumes.segments import on_grid
from keras_robust.data.files.volume_header import read_header

__all__ = ["segment_names", "segmentation_labels", "write_segmentation"]

HALF = 0.5  # of a fraction of a voxel


def segment_names(header: Any) -> list[str]:
    """Names of the segments of a file, in its order."""
    found: list[str] = []
    for item in header.get("SegmentSequence") or []:
        number = int(item.get("SegmentNumber", len(found) + 1))
        found.append(str(item.get("SegmentLabel", "") or f"Segment {number}"))
    return found


def segmentation_labels(path: Path, numbers: Mapping[str, int], image: Path) -> NDArray[np.uint8]:
    """Labels on the grid of an image; of segments that overlap, the later one wins.

    Args:
        path: The segmentation, on whatever grid.
        numbers: The label of each name of a segment.
        image: The volume that was made of the series.

    Raises:
        ValueError: Damaged.
        ImportError: highdicom is not installed.
    """
    highdicom = optional("highdicom")
    try:
        segmentation = highdicom.seg.segread(path)
        names = segment_names(segmentation)
        labels, affine = None, np.eye(4)
        for number, name in zip(segmentation.segment_numbers, names, strict=True):
            volume = segmentation.get_volume(segment_numbers=[int(number)])
            drawn = np.asarray(volume.array)[..., 0] >= HALF
            if labels is None:
                labels, affine = np.zeros(drawn.shape, np.uint8), np.array(volume.affine, float)
            labels[drawn] = numbers[name]
    except Exception as error:  # highdicom and pydicom raise many kinds on damaged files
        raise damaged(path, error) from None
    if labels is None:
        raise invalid("source", "a segmentation with segments", said=f"{str(path)!r} without any")
    return on_grid(labels, to_ras(affine), read_header(image))


def write_segmentation(
    path: Path, labels: NDArray, names: Mapping[int, str], sources: Sequence[Path]
) -> Path:
    """Write labels as a DICOM segmentation of the series that they were drawn on.

    It belongs to the same patient and study as the series and refers to its slices. Each label
    becomes a segment.

    Args:
        path: File to write, atomically.
        labels: (slice, row, column), of the shape of the series.
        names: Of the labels.
        sources: The slices, in order.

    Raises:
        ValueError: There is no label.
        ImportError: highdicom is not installed.
    """
    values = [int(value) for value in np.unique(labels) if value]
    if not values:
        raise invalid(
            "labels",
            "at least one labelled voxel",
            said="an empty mask, which a DICOM segmentation cannot hold",
        )
    pydicom, highdicom = optional("pydicom"), optional("highdicom")
    codes = import_module("pydicom.sr.codedict").codes
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=(names.get(value) or f"Label {value}")[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, value in enumerate(values, start=1)
    ]
    numbers = np.searchsorted(values, labels) + 1
    segmentation = highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(source) for source in sources],
        pixel_array=np.where(labels > 0, numbers, 0).astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=900,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="keras-robust",
        manufacturer_model_name="keras-robust",
        software_versions=import_module("keras_robust").__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        series_description="Segmentation",
    )
    buffer = io.BytesIO()
    segmentation.save_as(buffer, enforce_file_format=True)
    return atomic_write_bytes(path, buffer.getvalue())
