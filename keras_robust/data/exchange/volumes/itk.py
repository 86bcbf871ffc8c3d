"""NRRD and MetaImage, read by SimpleITK once their header has been looked at."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.opening import open_plain
from keras_robust.data.exchange.optional import optional
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.files.volume_header import BEST_DEFLATE, MAX_BYTES, VolumeHeader, make_header

__all__ = ["SUFFIXES", "Itk", "is_itk", "read_itk", "read_itk_header", "to_ras"]

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
# The file that holds the voxels, where that is another.
DATA_FILE = re.compile(rb"^\s*(?:elementdatafile\s*=|data ?file\s*:)\s*(.*?)\s*$", re.I | re.M)
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world points left and back, NIfTI's right and front


@dataclass(frozen=True)
class Itk:
    """What the header of a file says, in NIfTI's world.

    Args:
        header: Grid of the voxels.
        components: Values of each voxel.
        meta: Further keys of the file.
    """

    header: VolumeHeader
    components: int
    meta: dict[str, str] = field(default_factory=dict, repr=False)


def is_itk(path: Path) -> bool:
    """Whether a file is one of those that SimpleITK reads for the project, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def read_itk_header(path: Path) -> Itk:
    """The header of a file, checked against its size.

    Raises:
        UnreadableImageError: Damaged, of other dimensions, or with voxels outside of its folder.
        ImportError: SimpleITK is not installed.
    """
    reader = _reader(path)
    size, spacing = reader.GetSize(), np.array(reader.GetSpacing())
    if len(size) != 3:
        raise UnreadableImageError(path, f"it has {len(size)} dimensions {size}, where 3 are read")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * spacing
    affine[:3, 3] = reader.GetOrigin()
    affine = to_ras(affine)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not (lengths > 0).all():
        raise UnreadableImageError(path, "its header says nowhere that its voxels lie")
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise UnreadableImageError(path, "two of its axes point the same way")
    # A damaged key is no text, and no key.
    keys = [key for key in reader.GetMetaDataKeys() if isinstance(key, str) and key.isprintable()]
    meta = {key: str(reader.GetMetaData(key)) for key in keys}
    header = make_header(size, affine, code="scanner")
    return Itk(header, reader.GetNumberOfComponents(), meta)


def read_itk(path: Path) -> tuple[NDArray, Itk]:
    """The voxels (I, J, K), or with components along a fourth axis, and the header.

    Raises:
        As `read_itk_header`.
    """
    found = read_itk_header(path)
    sitk = optional("SimpleITK")
    try:
        array = sitk.GetArrayFromImage(_reader(path).Execute())
    except RuntimeError as reason:
        raise UnreadableImageError(path, _short(reason)) from None
    order = (2, 1, 0, 3)[: array.ndim]
    return np.ascontiguousarray(array.transpose(order)), found


def to_ras(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """An affine to DICOM's and ITK's world (left, back, up), to NIfTI's (right, front, up)."""
    return FLIP @ lps


def _reader(path: Path) -> Any:
    """SimpleITK's reader, its header read and found possible."""
    _check_data_file(path)
    sitk = optional("SimpleITK")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("MetaImageIO" if path.suffix.lower() in (".mha", ".mhd") else "NrrdImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as reason:
        raise UnreadableImageError(path, _short(reason)) from None
    size = [int(n) for n in reader.GetSize()]
    itemsize = _itemsize(sitk, reader.GetPixelID())
    wanted = int(np.prod(size, dtype=object)) * reader.GetNumberOfComponents() * itemsize
    files = [path, *path.parent.glob(f"{path.stem}.*")]
    there = sum(file.stat().st_size for file in set(files) if file.is_file())
    listed = " x ".join(map(str, size))
    if wanted > MAX_BYTES:
        raise UnreadableImageError(
            path, f"{listed} voxels take more than {MAX_BYTES / 2**30:g} GiB"
        )
    if wanted > there * BEST_DEFLATE:
        raise UnreadableImageError(path, f"truncated: {listed} voxels do not fit into the file")
    return reader


def _itemsize(sitk: Any, pixel: int) -> int:
    name = sitk.GetPixelIDValueAsString(pixel)
    bits = re.search(r"(\d+)-bit", name)
    return int(bits[1]) // 8 if bits else 8


def _check_data_file(path: Path) -> None:
    """Refuse a header whose voxels lie elsewhere: it could name any file there is."""
    with open_plain(path) as file:
        head = file.read(2**16)
    for match in DATA_FILE.finditer(head):
        name = match[1].decode("utf-8", "replace")
        if name.upper() == "LOCAL":
            continue
        plain = name.upper() not in ("LIST", "SKIPLIST") and not re.search(r"[/\\%]|^\.\.", name)
        if not plain or name.split()[0].upper() in ("LIST", "SKIPLIST"):
            raise UnreadableImageError(path, f"its voxels lie in {name[:100]!r}, not beside it")
        with open_plain(path.parent / name):
            pass


def _short(reason: BaseException) -> str:
    """The last line of ITK's errors, which begin with places in its source."""
    lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
    return (lines[-1] if lines else type(reason).__name__)[-300:]
