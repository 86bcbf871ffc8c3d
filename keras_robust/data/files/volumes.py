"""Volumes: NIfTI files, in the voxel grid and axis order as stored."""

import gzip
import os
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.data.files.unreadable import UnreadableImageError
from keras_robust.data.files.volume_header import VolumeHeader, header_of, open_volume, read_header

__all__ = [
    "encode_volume",
    "is_whole",
    "plain_header",
    "read_slice",
    "read_volume",
    "resized_header",
    "volume_parts",
    "whole_numbers",
    "write_mask_like",
]


def read_volume(
    path: str | os.PathLike[str], channels: bool = False
) -> tuple[NDArray, NDArray[np.float64], VolumeHeader]:
    """Read a NIfTI volume.

    Axes are neither flipped nor reordered: `array[i, j, k]` is the voxel (i, j, k) of the file,
    whatever its orientation; `affine` says where it lies. The header is checked against the size
    of the file before memory is taken.

    Args:
        path: A .nii or .nii.gz file of three dimensions; further ones may have the length 1.
        channels: Whether it may have a fourth dimension, as soft masks of several classes have.

    Returns:
        The voxels, in the file's own number type (float32 where it scales them), above 1 GiB as a
        memory map of a temporary file; the affine (4, 4) from voxel indices to world coordinates;
        the header.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: Damaged, truncated, not a volume, or larger than 4 GiB (a
            ValueError).

    >>> import tempfile
    >>> import nibabel
    >>> path = Path(tempfile.mkdtemp()) / "a.nii.gz"
    >>> nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([2, 1, 1, 1])).to_filename(path)
    >>> array, affine, header = read_volume(path)
    >>> array.shape, array.dtype, header.spacing_mm
    ((4, 5, 6), dtype('int16'), (2.0, 1.0, 1.0))
    """
    array, header = None, None
    for header, start, part in volume_parts(path, channels):
        if array is None:
            # As the file has them: the last axis changes slowest.
            array = large_array(_stored_shape(header)[::-1], part.dtype.newbyteorder("="))
        array.reshape(-1)[start : start + part.size] = part
    if array is None or header is None:
        raise UnreadableImageError(Path(path), "it holds no voxels")
    return array.T, header.affine, header


def read_slice(path: str | os.PathLike[str]) -> NDArray:
    """The slice of a NIfTI volume that is in the middle of its last axis; it is read no further.

    Args:
        path: See `read_volume`.

    Returns:
        `(shape[0], shape[1])`.

    Raises:
        As `read_volume`, but for damage further on.

    >>> import tempfile
    >>> import nibabel
    >>> path, values = Path(tempfile.mkdtemp()) / "a.nii.gz", np.arange(24, dtype=np.int16)
    >>> nibabel.Nifti1Image(values.reshape(2, 4, 3), np.eye(4)).to_filename(path)
    >>> read_slice(path).tolist()
    [[1, 4, 7, 10], [13, 16, 19, 22]]
    """
    found = np.zeros((0, 0))
    for header, start, part in volume_parts(path):
        rows, columns, slices = _stored_shape(header)
        size = rows * columns
        first = slices // 2 * size
        if not start:
            found = np.zeros((columns, rows), part.dtype)
        low, high = max(first, start), min(first + size, start + part.size)
        if low < high:
            found.reshape(-1)[low - first : high - first] = part[low - start : high - start]
        if high == first + size:
            break
    return found.T


def volume_parts(
    path: str | os.PathLike[str], channels: bool = False
) -> Iterator[tuple[VolumeHeader, int, NDArray]]:
    """The voxels of a volume in the order of the file (the first axis changes fastest), some four
    million at a time: the header, the number of voxels before, and the part.

    Args:
        path, channels: See `read_volume`.

    Raises:
        As `read_volume`; damage further on only when it is reached.
    """
    path = Path(path)
    with open_volume(path) as file:
        header = header_of(path, file, channels)
        nifti = header.nifti
        dtype = nifti.get_data_dtype()
        slope, intercept = float(nifti["scl_slope"]), float(nifti["scl_inter"])
        if not np.isfinite(slope) or slope == 0 or not np.isfinite(intercept):
            slope, intercept = 1.0, 0.0  # as the format says: not scaled
        scaled = (slope, intercept) != (1.0, 0.0)
        file.seek(int(nifti["vox_offset"]))
        total = prod(_stored_shape(header))
        for rows in slabs((total,)):
            wanted = (rows.stop - rows.start) * dtype.itemsize
            content = file.read(wanted)
            if len(content) < wanted:
                raise UnreadableImageError(path, "truncated: it ends within its voxels")
            part = np.frombuffer(content, dtype)
            if scaled:
                part = (part * np.float64(slope) + intercept).astype(np.float32)
            yield header, rows.start, part.astype(part.dtype.newbyteorder("="), copy=False)
        # At the end of compressed data their checksum is looked at as well.
        if file.read(1):
            listed = " x ".join(map(str, _stored_shape(header)))
            raise UnreadableImageError(path, f"it holds more than the {listed} voxels it promises")


def _stored_shape(header: VolumeHeader) -> tuple[int, ...]:
    return header.shape if header.channels == 1 else (*header.shape, header.channels)


def whole_numbers(voxels: NDArray) -> NDArray | None:
    """Voxels as labels are stored, uint8 or, beyond it, int64; `None` where some are not whole.

    >>> whole_numbers(np.array([0.0, 1.0000001, 2])), whole_numbers(np.array([0, 0.5]))
    (array([0, 1, 2], dtype=uint8), None)
    """
    if voxels.dtype.kind == "f":
        if not is_whole(voxels).all():
            return None
        voxels = np.rint(voxels)
    small = 0 <= voxels.min(initial=0) and voxels.max(initial=0) <= 255
    return voxels.astype(np.uint8 if small else np.int64)


def is_whole(voxels: NDArray) -> NDArray[np.bool_]:
    """Which voxels are whole numbers; scaled ones come back a rounding error away."""
    finite = np.nan_to_num(voxels, nan=0.5, posinf=0.5, neginf=0.5)
    return np.abs(finite - np.rint(finite)) <= 1e-3


def write_mask_like(
    path: str | os.PathLike[str], labels: NDArray, like: str | os.PathLike[str]
) -> Path:
    """Write a mask on the grid of another volume.

    The affine, qform and sform with their codes, spacing and units are those of `like`, bit for
    bit; labels are stored as uint8. The write is atomic.

    Args:
        path: File to write, compressed where its name ends in .gz.
        labels: Whole numbers 0 to 255, of the shape of `like`, axes as stored.
        like: The volume, mostly the image.

    Returns:
        `path`.

    Raises:
        ValueError: `labels` has another shape than `like`, or values that uint8 does not hold.
        UnreadableImageError: `like` is damaged.

    >>> import tempfile
    >>> import nibabel
    >>> folder = Path(tempfile.mkdtemp())
    >>> image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([-2, 1, 1, 1]))
    >>> image.to_filename(folder / "image.nii.gz")
    >>> mask = np.eye(4, 5)[..., None] * np.ones(6)
    >>> _ = write_mask_like(folder / "mask.nii.gz", mask.astype(np.uint8), folder / "image.nii.gz")
    >>> nibabel.load(folder / "mask.nii.gz").affine[0, 0]
    np.float64(-2.0)
    """
    path = Path(path)
    return atomic_write_bytes(
        path, encode_volume(labels, read_header(like), compress=path.suffix.lower() == ".gz")
    )


def encode_volume(labels: NDArray, header: VolumeHeader, compress: bool = True) -> bytes:
    """A volume of uint8 as the bytes of a NIfTI file on the grid of `header`, to which it may add
    a fourth axis.

    The same labels and header give the same bytes.

    Raises:
        ValueError: Another shape than the header's, or values that are not 0 to 255.
    """
    array = np.asarray(labels)
    if array.shape[:3] != header.shape or array.ndim > 4:
        raise invalid(
            "labels",
            f"the shape of the volume it belongs to, {header.shape}",
            said=f"labels of shape {array.shape}",
        )
    stored = array.astype(np.uint8)
    if array.dtype != bool and (stored != array).any():
        raise invalid(
            "labels",
            "whole numbers from 0 to 255",
            said=f"labels from {array.min()} to {array.max()} of {array.dtype}",
        )
    nifti = plain_header(header, array.shape, np.dtype(np.uint8))
    content = b"".join((nifti.binaryblock, bytes(4), stored.tobytes(order="F")))
    # Without the time of writing, so that equal masks are equal files.
    return gzip.compress(content, compresslevel=6, mtime=0) if compress else content


def plain_header(header: VolumeHeader, shape: Sequence[int], dtype: np.dtype) -> Any:
    """A header of the same grid for numbers of another shape and type, as nibabel has it, without
    what describes the image or whom it shows."""
    nifti = header.nifti.as_byteswapped("<") if header.nifti.endianness == ">" else header.nifti
    nifti = nifti.copy()
    nifti.set_data_dtype(dtype)
    nifti["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    if len(shape) == 4:
        nifti["pixdim"][4] = 1  # classes have no spacing
    nifti["vox_offset"] = nifti.single_vox_offset
    nifti["scl_slope"], nifti["scl_inter"] = 1, 0
    # What else a header holds describes the image, or whom it shows.
    for name in ("cal_min", "cal_max", "intent_code", "intent_p1", "intent_p2", "intent_p3"):
        nifti[name] = 0
    for name in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        if name in nifti.keys():
            nifti[name] = b""
    return nifti


def resized_header(header: VolumeHeader, shape: Sequence[int]) -> VolumeHeader:
    """The header of the same box in the world, cut into another number of voxels.

    >>> import tempfile
    >>> import nibabel
    >>> path = Path(tempfile.mkdtemp()) / "a.nii"
    >>> nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_filename(path)
    >>> resized_header(read_header(path), (8, 4, 2)).spacing_mm
    (0.5, 1.0, 2.0)
    """
    scale = np.array(header.shape) / np.array(shape)
    # The first voxel's centre lies half a voxel inside the box, before and after.
    change = np.diag([*scale, 1.0])
    change[:3, 3] = (scale - 1) / 2
    affine = header.affine @ change
    nifti = header.nifti.copy()
    nifti["dim"] = [3, *shape, 1, 1, 1, 1]
    nifti["pixdim"][1:4] *= scale
    for code, set_form in (("qform_code", nifti.set_qform), ("sform_code", nifti.set_sform)):
        if nifti[code] > 0:
            set_form(affine, int(nifti[code]))
    spacing = tuple(float(s) for s in np.array(header.spacing_mm) * scale)
    return VolumeHeader(tuple(shape), affine, spacing, header.oriented, nifti)
