"""The header of a NIfTI volume, checked before memory is taken for what it promises."""

import gzip
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import UnreadableFileError, open_plain
from keras_robust.data.files.unreadable import VOLUME_SUFFIXES, UnreadableImageError

__all__ = [
    "MAX_BYTES",
    "VolumeHeader",
    "is_volume",
    "make_header",
    "open_volume",
    "read_header",
]

MAX_BYTES = 2**32  # of voxels as stored; 512 x 512 x 2,000 slices of 64 bits
MAX_OFFSET = 2**24  # header extensions before the voxels
BEST_DEFLATE = 1032  # bytes that one byte of deflate can stand for at most
SPACING_MM = (1e-5, 1e3)  # 10 nm to 1 m: further out is a mistake in the unit
SIZES = {348: 1, 540: 2}  # of the header of NIfTI-1 and NIfTI-2
SAME = 1e-5  # of numbers that were stored in float32
MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # unknown, metre, millimetre, micrometre


@dataclass(frozen=True)
class VolumeHeader:
    """What the header of a volume says.

    Args:
        shape: Voxels along each stored axis.
        affine: (4, 4), from voxel indices to world coordinates in the file's unit: the place and
            the directions of the sform where there is one, else of the qform, else none; the
            spacing always that of pixdim, as ITK and nnU-Net take it.
        spacing_mm: Distance of neighbouring voxels along each stored axis, by pixdim.
        oriented: Whether the header says how the axes lie in the world (a qform or an sform).
        nifti: The header as nibabel has it.
        channels: Values of each voxel, along a fourth axis.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64] = field(repr=False)
    spacing_mm: tuple[float, ...]
    oriented: bool
    nifti: Any = field(repr=False)
    channels: int = 1

    @property
    def affine_mm(self) -> NDArray[np.float64]:
        """`affine` with world coordinates in mm."""
        return np.diag([*[_unit(self.nifti)] * 3, 1.0]) @ self.affine


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a volume, by its name.

    >>> is_volume("brain.nii.gz"), is_volume("brain.png")
    (True, False)
    """
    return os.fspath(path).lower().endswith(VOLUME_SUFFIXES)


def read_header(path: str | os.PathLike[str], channels: bool = False) -> VolumeHeader:
    """The header of a NIfTI file (.nii, .nii.gz), checked against itself and the file's size.

    Args:
        path: The file.
        channels: Whether it may have a fourth axis, as soft masks of several classes have.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: No single-file NIfTI volume, or one whose header cannot be true.
    """
    with open_volume(path) as file:
        return header_of(Path(path), file, channels)


def make_header(
    shape: Sequence[int], affine: ArrayLike, *, code: str = "aligned", unit: str = "mm"
) -> VolumeHeader:
    """The header of a volume that comes from no NIfTI file.

    Args:
        shape: Voxels along each axis.
        affine: (4, 4), from voxel indices to world coordinates, x to the right, y to the front, z
            up.
        code: Whose these are: "scanner" or "aligned" (any).
        unit: Of these, "mm" or "unknown".

    >>> make_header((4, 5, 6), np.diag([-2, 1, 1, 1])).spacing_mm
    (2.0, 1.0, 1.0)
    """
    import nibabel

    affine = np.array(affine, np.float64)
    spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    nifti = nibabel.Nifti1Header()
    nifti.set_data_shape(shape)
    nifti.set_xyzt_units(unit)
    nifti.set_sform(affine, code=code)
    nifti.set_zooms(spacing)
    return VolumeHeader(tuple(shape), affine, spacing, True, nifti)


@contextmanager
def open_volume(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The bytes of a NIfTI file, unpacked; every way of failing becomes one of two errors."""
    path = Path(path)
    try:
        with open_plain(path) as raw:
            if raw.read(2) == b"\x1f\x8b":
                raw.seek(0)
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                raw.seek(0)
                yield raw
    except FileNotFoundError:
        raise invalid(
            "path",
            "an image file",
            said=f"path={str(path)!r}, which does not exist",
            remedy="Check the dataset's paths with `keras-robust verify`.",
            kind=FileNotFoundError,
        ) from None
    except UnreadableFileError as error:
        raise UnreadableImageError(path, error.reason) from None
    except EOFError:
        raise UnreadableImageError(path, "truncated: the compressed data end early") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableImageError(path, f"damaged compression: {error}") from None
    except OSError as error:
        raise UnreadableImageError(path, str(error) or type(error).__name__) from None


def header_of(path: Path, file: BinaryIO, channels: bool = False) -> VolumeHeader:
    """Read and check the header at the start of `file`, the unpacked content of `path`."""
    import nibabel  # not above: it costs a quarter of a second, which 2-D data need not pay

    def refuse(reason: str) -> UnreadableImageError:
        return UnreadableImageError(path, reason)

    start = file.read(4)
    if not start:
        raise refuse("it is empty")
    numbers = [struct.unpack(f"{order}i", start)[0] for order in "<>" if len(start) == 4]
    size = next((number for number in numbers if number in SIZES), None)
    if size is None:
        raise refuse("not a NIfTI volume")
    block = start + file.read(size - 4)
    if len(block) < size:
        raise refuse("truncated: it ends within its header")
    kind = nibabel.Nifti1Header if SIZES[size] == 1 else nibabel.Nifti2Header
    nifti = kind(block, check=False)
    if nifti["pixdim"][0] == 0:
        nifti["pixdim"][0] = 1  # as the format says of a handedness that is not told
    magic = bytes(nifti["magic"].tobytes())
    if magic[:2] != b"n+":
        raise refuse("not a NIfTI volume of one file (.nii or .nii.gz); convert .hdr and .img")
    shape = _checked_shape(nifti, refuse, 4 if channels else 3)
    dtype = _checked_dtype(nifti, refuse)
    _check_bytes(path, file, nifti, shape, dtype, refuse)
    affine, spacing = _checked_geometry(nifti, refuse)
    oriented = bool(nifti["qform_code"] > 0 or nifti["sform_code"] > 0)
    return VolumeHeader(shape[:3], affine, spacing, oriented, nifti, *shape[3:])


def _checked_shape(nifti: Any, refuse: Any, most: int) -> tuple[int, ...]:
    dims = [int(n) for n in nifti["dim"]]
    rank, shape = dims[0], tuple(dims[1 : 1 + max(dims[0], 0)])
    if not 1 <= rank <= 7 or min(shape) < 1:
        raise refuse(f"its header has the impossible dimensions {dims}")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 3 <= len(shape) <= most:
        advice = (
            "save each channel or time point as a volume of its own, as `keras-robust import` does"
            if len(shape) > 3
            else "save images of two dimensions as PNG or TIFF"
        )
        raise refuse(f"it has {len(shape)} dimensions {shape}, where 3 are read; {advice}")
    return shape


def _checked_dtype(nifti: Any, refuse: Any) -> np.dtype:
    try:
        dtype = nifti.get_data_dtype()
    except Exception:  # nibabel's own kinds of error
        dtype = None
    if dtype is None or dtype.kind not in "iuf" or dtype.itemsize > 8:
        code = int(nifti["datatype"])
        raise refuse(f"its voxels are of data type {code}, not whole or floating-point numbers")
    return dtype


def _check_bytes(
    path: Path, file: BinaryIO, nifti: Any, shape: tuple[int, ...], dtype: np.dtype, refuse: Any
) -> None:
    """Refuse voxels that the file cannot hold, or memory cannot."""
    wanted = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    offset = float(nifti["vox_offset"])
    if not nifti.sizeof_hdr <= offset <= MAX_OFFSET or offset != int(offset):
        raise refuse(f"its header says that the voxels begin at byte {offset:g}")
    listed = " x ".join(map(str, shape))
    if wanted > MAX_BYTES:
        raise refuse(
            f"{listed} voxels take {wanted / 2**30:.1f} GiB, more than the "
            f"{MAX_BYTES / 2**30:.0f} GiB that are read; cut it into parts"
        )
    there = path.stat().st_size * (BEST_DEFLATE if isinstance(file, gzip.GzipFile) else 1)
    if wanted + offset > there:
        raise refuse(f"truncated: {listed} voxels do not fit into {path.stat().st_size:,} bytes")


def _checked_geometry(nifti: Any, refuse: Any) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    zooms = np.asarray(nifti["pixdim"][1:4], np.float64)
    if not (np.isfinite(zooms).all() and (zooms > 0).all()):
        raise refuse(f"its header has the impossible spacing {zooms.tolist()}")
    try:
        affine = np.array(nifti.get_best_affine(), np.float64)
    except Exception as error:  # nibabel's own kinds of error, of impossible quaternions
        raise refuse(f"its header has an impossible orientation: {error}") from None
    if not np.isfinite(affine).all():
        raise refuse("its affine has values that are not finite")
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not lengths.all() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise refuse("its affine is singular: two axes point the same way, or one nowhere")
    spacing, (low, high) = zooms * _unit(nifti), SPACING_MM
    for said in (spacing, lengths * _unit(nifti)):
        if not ((said >= low) & (said <= high)).all():
            shown = " x ".join(f"{s:g}" for s in said)
            raise refuse(f"its header has the absurd spacing {shown} mm; correct it or its unit")
    if not np.allclose(lengths, zooms, rtol=SAME, atol=0):
        affine[:3, :3] *= zooms / lengths
    # Seven digits: float32 turns 0.7 into 0.699999988.
    return affine, tuple(float(f"{s:.7g}") for s in spacing)


def _unit(nifti: Any) -> float:
    return MILLIMETRES.get(int(nifti["xyzt_units"]) & 7, 1.0)
