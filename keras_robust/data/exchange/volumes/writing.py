"""Images written as NIfTI volumes."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.files.volume_header import VolumeHeader, read_header
from keras_robust.data.files.volumes import plain_header, read_volume

__all__ = ["write_channels", "write_image"]

NARROWER = {"b": np.uint8, "f2": np.float32}  # what NIfTI does not hold, in what does


def write_image(path: Path, voxels: NDArray, header: VolumeHeader) -> Path:
    """Write a volume in its own type of number, on the grid of a header.

    Args:
        path: A .nii.gz file.
        voxels: Of the shape of the header, or with channels along a fourth axis.
        header: Where the voxels lie.
    """
    stored = voxels.astype(NARROWER.get(voxels.dtype.str[1:], voxels.dtype), copy=False)
    stored = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    nifti: Any = plain_header(header, stored.shape, stored.dtype)
    content = b"".join((nifti.binaryblock, bytes(4), stored.tobytes(order="F")))
    return atomic_write_bytes(path, gzip.compress(content, compresslevel=4, mtime=0))


def write_channels(path: Path, channels: Sequence[Path]) -> Path:
    """Write volumes as one, whose fourth axis they are; one alone stays as it is."""
    volumes = [read_volume(channel)[0] for channel in channels]
    voxels = volumes[0] if len(volumes) == 1 else np.stack(volumes, axis=-1)
    return write_image(path, voxels, read_header(channels[0]))
