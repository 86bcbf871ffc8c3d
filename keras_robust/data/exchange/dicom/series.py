"""Series of slices: found among files, put in order, and read.

No path is made of what a DICOM file says, and nothing that it says of a person reaches messages.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import open_plain
from keras_robust.data.exchange.dicom.grid import Spacing, refused, series_grid
from keras_robust.data.exchange.optional import optional

__all__ = ["MASKS", "Series", "find_files", "is_dicom", "make_series", "read_header"]

MAX_VOXELS = 2**31
MASKS = ("SEG", "RTSTRUCT")  # modalities that are drawn on others
READ = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality"),
    *("FrameOfReferenceUID", "NumberOfFrames", "Rows", "Columns", "PhotometricInterpretation"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SliceThickness"),
    *("ImageOrientationPatient", "ImagePositionPatient", "WindowCenter", "WindowWidth"),
    # Of whom, for what is drawn on it.
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    # What is drawn, and on what.
    *("SegmentSequence", "ReferencedSeriesSequence", "SourceImageSequence"),
    *("ReferencedFrameOfReferenceSequence", "StructureSetROISequence", "ROIContourSequence"),
)


@dataclass(frozen=True)
class Series:
    """The slices of one volume, in order.

    Args:
        files: From slice to slice.
        headers: Of these, as pydicom has them.
        lps: (4, 4), from (slice, row, column) to DICOM's world in mm (left, back, up); None where
            the slices do not say how they lie.
        spacing: From slice to slice, of rows and of columns in mm; None where they do not tell it.
    """

    files: tuple[Path, ...]
    headers: tuple[Any, ...] = field(repr=False)
    lps: NDArray[np.float64] | None = field(repr=False)
    spacing: Spacing | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        return len(self.files), int(self.headers[0].Rows), int(self.headers[0].Columns)

    @property
    def uid(self) -> str:
        """What tells it from all other series."""
        return str(self.headers[0].get("SeriesInstanceUID", ""))

    def read(self) -> NDArray:
        """The voxels (slice, row, column), rescaled as the files say (CT: Hounsfield units), with
        the greatest to be shown white.

        Raises:
            ValueError: Damaged, or in colour.
        """
        pydicom = optional("pydicom")
        return np.stack([_pixels(pydicom, file, self.shape[1:]) for file in self.files])


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM, 128 bytes from its start."""
    try:
        with open_plain(path) as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def find_files(root: Path, most: int | None = None) -> Iterator[Path]:
    """The DICOM files of a folder and those below, but for hidden ones.

    Args:
        root: The folder.
        most: Files to look at; None for all.
    """
    return filter(is_dicom, islice(_files(root), most))


def _files(root: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            if name[0] != ".":
                yield Path(where, name)


def read_header(file: Path) -> Any:
    """What a file says of its place, and what is drawn on it, as pydicom has it.

    Raises:
        ValueError: Damaged.
        ImportError: pydicom is not installed.
    """
    pydicom = optional("pydicom")
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(READ))
        for _ in header.iterall():  # which reads values: else they fail wherever they are used
            pass
        if "Rows" in header:
            _ = int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)
        return header
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise damaged(file, error) from None


def make_series(slices: Sequence[tuple[Path, Any]]) -> Series:
    """The series of files with their headers, in any order.

    Slices are ordered by where they lie; each may be shifted against the one before, as by a tilted
    gantry.

    Raises:
        ValueError: The slices do not make a volume.
    """
    if any(int(header.get("NumberOfFrames", 1) or 1) > 1 for _, header in slices):
        raise refused("slices in one file each", "a file of several frames; convert it to NIfTI")
    shapes = {(int(header.Rows), int(header.Columns)) for _, header in slices}
    if len(shapes) != 1:
        raise refused("slices of one size, direction and spacing", f"{len(shapes)} sizes")
    rows, columns = next(iter(shapes))
    if rows * columns * len(slices) > MAX_VOXELS:
        raise refused(f"at most {MAX_VOXELS:,} voxels", f"{rows * columns * len(slices):,}")
    order, lps, spacing = series_grid([header for _, header in slices])
    chosen = [slices[i] for i in order]
    return Series(tuple(f for f, _ in chosen), tuple(h for _, h in chosen), lps, spacing)


def by_series(headers: Sequence[tuple[Path, Any]]) -> dict[str, list[tuple[Path, Any]]]:
    """Files of images and their headers by the series that they are of."""
    found: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for file, header in headers:
        if "Rows" in header and header.get("Modality") not in MASKS:
            found[str(header.get("SeriesInstanceUID", ""))].append((file, header))
    return found


def damaged(file: Path, error: BaseException) -> ValueError:
    """The error of a file that pydicom cannot read."""
    return invalid(
        "paths",
        "readable DICOM files",
        said=f"{str(file)!r} ({type(error).__name__})",
        remedy=(
            "Restore it from its source, or, where its compression needs it, install pylibjpeg."
        ),
    )


def _pixels(pydicom: Any, file: Path, shape: tuple[int, ...]) -> NDArray:
    try:
        dataset = pydicom.dcmread(file)
        array = np.asarray(dataset.pixel_array)
        kind = str(dataset.PhotometricInterpretation)
    except Exception as error:
        raise damaged(file, error) from None
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
