"""Images and masks of one file each: PNG, JPEG, TIFF, BMP or NIfTI, in the grid as stored."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.data.files.formats import picture_shape, read_picture
from keras_robust.data.files.resizing import resize_labels, resize_volume
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES, UnreadableImageError
from keras_robust.data.files.volume_header import is_volume, read_header
from keras_robust.data.files.volumes import encode_volume, is_whole, read_volume, volume_parts

__all__ = [
    "IMAGE_SUFFIXES",
    "UnreadableImageError",
    "encode_mask",
    "image_shape",
    "mask_suffix",
    "read_image",
    "read_mask",
    "write_mask",
]

PathLike = str | os.PathLike[str]
Size = tuple[int, ...]
Order = Literal["C", "K"]


def read_image(
    path: PathLike | Sequence[PathLike], size: Size | None = None, *, order: Order = "C"
) -> NDArray:
    """Read an image or a volume.

    Pixels are taken as stored: an EXIF orientation is not applied, since masks rarely follow it,
    and the axes of a volume are not flipped. Transparency is dropped; further bands are kept.

    Args:
        path: A file, or several whose channels are stacked in the order given.
        size: (height, width) in pixels to resize to, bilinear and antialiased; for a volume one
            number per stored axis. None keeps it.
        order: Of the array in memory: "C", or "K" for a volume as its file has it, slice after
            slice, which takes less time to read and to cut into these.

    Returns:
        Shape (H, W, C), uint8 for 8-bit files, float32 in the file's own units for deeper ones.
        A volume has three axes and C, always float32.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: The file is damaged or no image (a ValueError).
        ValueError: Channels that differ in size.

    >>> from keras_robust.data import sample_path
    >>> image = read_image(sample_path() / "images" / "ISIC_0000013.jpg", size=(32, 48))
    >>> image.shape, image.dtype
    ((32, 48, 3), dtype('uint8'))
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    channels = [_read_channels(Path(p), size, order) for p in paths]
    shapes = {channel.shape[:-1] for channel in channels}
    if len(shapes) != 1:
        sizes = (f"{p}: {c.shape[:-1]}" for p, c in zip(paths, channels, strict=True))
        raise invalid("path", "channels of one size", said=", ".join(sizes))
    return channels[0] if len(channels) == 1 else np.concatenate(channels, axis=-1)


def read_mask(
    path: PathLike,
    size: Size | None = None,
    classes: int = 2,
    ignore_label: int | None = None,
    *,
    order: Order = "C",
) -> NDArray[np.uint8]:
    """Read a mask as labels.

    Two classes may be stored as 0/1, 0/255 or black and white of any kind; more classes as label
    values, or as the indices of a palette. What an index means, the whole palette and `classes`
    say, whatever the mask holds. A volume may hold its labels in any type of number.

    Args:
        path: A file of one channel, or of several that are equal.
        size: (height, width) in pixels to resize to, nearest neighbour; for a volume one number
            per stored axis. None keeps it.
        classes: Number of classes, background included.
        ignore_label: A further value that is allowed and kept.
        order: See `read_image`.

    Returns:
        Labels, shape (H, W), or that of the volume, uint8, 0 to classes - 1 or `ignore_label`.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: The file is damaged or no image (a ValueError).
        ValueError: Values that are no labels.

    >>> from keras_robust.data import sample_path
    >>> mask = read_mask(sample_path() / "masks" / "ISIC_0000013.png", size=(64, 64))
    >>> mask.shape, mask.dtype, [int(v) for v in np.unique(mask)]
    ((64, 64), dtype('uint8'), [0, 1])
    """
    path = Path(path)
    labels = _read_stored_labels(path, classes, ignore_label)
    if white_is_foreground(path, values_of(labels), classes, ignore_label):
        labels = np.where(labels == 255, 1, labels)
    labels = labels.astype(np.uint8, copy=False)
    if size is not None and labels.shape != tuple(size):
        size = checked_size(size, labels.ndim)
        if labels.ndim == 3:
            return resize_labels(labels, size)
        height, width = size
        resized = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
        labels = np.asarray(resized)
    return np.asarray(labels, order=order)


def white_is_foreground(
    path: PathLike, values: set[int], classes: int, ignore_label: int | None
) -> bool:
    """Whether a mask of two classes holds 255 in place of 1.

    Args:
        path: The mask, for the message.
        values: All that it holds.
        classes, ignore_label: See `read_mask`.

    Raises:
        ValueError: Values that are no labels.
    """
    allowed = set(range(classes)) | ({ignore_label} if ignore_label is not None else set())
    if values <= allowed:
        return False
    if classes == 2 and values <= (allowed - {1}) | {255}:
        return True
    wrong = sorted(values - allowed)
    shown = ", ".join(map(str, wrong[:8])) + (", ..." if len(wrong) > 8 else "")
    expected = "0 and 1, or 0 and 255" if classes == 2 else f"0 to {classes - 1}"
    expected += f", or {ignore_label} (ignored)" if ignore_label is not None else ""
    raise invalid(
        "path",
        f"a mask of values {expected}",
        said=f"path={str(path)!r} with {len(wrong)} other value(s): {shown}",
        remedy=(
            "Threshold grey masks (JPEG and smooth resizing make them), or state "
            "the classes: `labels` in the dataset's dataset.json."
        ),
    )


def image_shape(path: PathLike) -> tuple[int, ...]:
    """Size of an image, (H, W), or of a volume, without reading what is in it.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: The file is damaged or no image (a ValueError).

    >>> from keras_robust.data import sample_path
    >>> image_shape(sample_path() / "masks" / "ISIC_0000013.png")
    (256, 256)
    """
    if is_volume(path):
        return read_header(path).shape
    return picture_shape(Path(path))[:2]


def channel_count(path: PathLike) -> int:
    """Channels that `read_image` makes of one file, without reading what is in it.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: The file is damaged or no image (a ValueError).

    >>> from keras_robust.data import sample_path
    >>> channel_count(sample_path() / "images" / "ISIC_0000013.jpg")
    3
    """
    if is_volume(path):
        return 1
    return picture_shape(Path(path))[2]


def mask_suffix(image: PathLike) -> str:
    """Suffix of the masks that are written for an image: ".nii.gz" for volumes, else ".png".

    >>> mask_suffix("brain.nii"), mask_suffix("skin.jpg")
    ('.nii.gz', '.png')
    """
    return ".nii.gz" if is_volume(image) else ".png"


def write_mask(
    path: PathLike, labels: NDArray, like: PathLike | None = None, classes: int = 2
) -> Path:
    """Write a mask atomically, in the format that the suffix of `path` names.

    Args:
        path: A .png, .nii or .nii.gz file.
        labels: Shape (H, W), or that of the volume; 0 to 255.
        like: For a volume, the one (mostly the image) whose grid, affine and header the mask
            gets; not looked at for an image.
        classes: Two are stored with one bit per pixel in a PNG.

    Returns:
        `path`.

    Raises:
        ValueError: Another suffix; a volume without `like`, or of another shape than that.

    >>> import tempfile
    >>> path = write_mask(Path(tempfile.mkdtemp()) / "a.png", np.eye(3, dtype=np.uint8))
    >>> read_mask(path).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    return atomic_write_bytes(path, encode_mask_for(path, labels, like, classes))


def encode_mask_for(
    path: PathLike, labels: NDArray, like: PathLike | None = None, classes: int = 2
) -> bytes:
    """The bytes that `write_mask` writes."""
    path, labels = Path(path), np.asarray(labels)
    if is_volume(path) and like is not None:
        return encode_volume(labels, read_header(like), compress=path.suffix.lower() == ".gz")
    if path.suffix.lower() != ".png" or labels.ndim != 2:
        raise invalid(
            "path",
            (
                "a .png for a mask (H, W), or a .nii.gz for a volume, with `like`, the "
                "volume whose grid it has"
            ),
            said=(f"path={str(path)!r} with labels of shape {labels.shape}, like={like!r}"),
        )
    return encode_mask(labels, classes)


def encode_mask(labels: NDArray, classes: int = 2) -> bytes:
    """A mask as the bytes of a PNG: one bit per pixel for two classes, label values for more.

    >>> len(encode_mask(np.eye(16, dtype=np.uint8))) < 150
    True
    """
    array = np.asarray(labels)
    binary = classes == 2 and (array.size == 0 or array.max() <= 1)
    image = Image.fromarray((array != 0) if binary else array.astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def checked_size(size: Size, rank: int) -> Size:
    if len(size) != rank or any(int(n) != n or n < 1 for n in size):
        expected = "(height, width)" if rank == 2 else "a volume's three sizes"
        raise invalid("size", f"{expected}, whole numbers from 1", said=f"size={size}")
    return tuple(map(int, size))


def stored_values(path: PathLike) -> tuple[set[int], int]:
    """The values that a mask holds as stored, and the number of its pixels."""
    if not is_volume(path):
        labels = _read_stored_labels(Path(path), 2, None)
        return values_of(labels), labels.size
    values: set[int] = set()
    count = 0
    for _, part in volume_labels(path):
        values, count = values | values_of(part), count + part.size
    return values, count


def values_of(labels: NDArray) -> set[int]:
    if labels.dtype != np.uint8:
        return set(np.unique(labels).tolist())
    # Slice by slice: counting takes a tenth of the time of sorting a volume.
    found = np.zeros(256, bool)
    ordered = labels.T if labels.flags.f_contiguous else labels
    for part in ordered if labels.ndim == 3 else [ordered]:
        found |= np.bincount(part.ravel(), minlength=256) > 0
    return set(np.flatnonzero(found).tolist())


def _read_channels(path: Path, size: Size | None, order: Order) -> NDArray:
    if is_volume(path):
        volume = read_volume(path)[0]
        if size is not None and volume.shape != tuple(size):
            volume = resize_volume(volume, checked_size(size, 3))
        if order == "K":
            slices = large_array((1, *volume.shape[::-1]))
            for rows in slabs(slices.shape[1:]):
                slices[0, rows] = volume.T[rows]
            return slices.T
        channel = large_array((*volume.shape, 1))
        for rows in slabs(volume.shape):
            channel[rows, ..., 0] = volume[rows]
        return channel
    colours = read_picture(path).colours()
    return colours if size is None else _resized(colours, size)


def _resized(array: NDArray, size: Size) -> NDArray:
    """(H, W, C), bilinear and antialiased."""
    height, width = checked_size(size, 2)
    if array.shape[:2] == (height, width):
        return array
    whole = array.dtype == np.uint8 and array.shape[-1] == 3
    parts = [array] if whole else list(np.moveaxis(array, -1, 0))
    pictures = (Image.fromarray(np.ascontiguousarray(part)) for part in parts)
    resized = [np.asarray(p.resize((width, height), Image.Resampling.BILINEAR)) for p in pictures]
    return resized[0] if whole else np.stack(resized, axis=-1)


def _read_stored_labels(path: Path, classes: int, ignore_label: int | None) -> NDArray:
    if is_volume(path):
        return _read_volume_labels(path)
    picture = read_picture(path)
    try:
        return picture.labels(classes, ignore_label)
    except ValueError as reason:
        raise invalid(
            "path",
            "a mask of one channel, or of equal channels",
            said=f"path={str(path)!r} {reason}",
        ) from None


def volume_labels(path: PathLike) -> Iterator[tuple[int, NDArray]]:
    """The labels of a volume in the order of the file, some four million at a time, and the number
    of those before.

    Raises:
        ValueError: At the end, where some are not whole numbers.
    """
    wrong: list[float] = []
    count = 0
    for _, start, part in volume_parts(path):
        if part.dtype.kind == "f":
            whole = np.rint(np.clip(np.nan_to_num(part, nan=-1), -1, 2**31))
            found = part[~is_whole(part)]
            count, wrong = count + found.size, wrong or found[:1].tolist()
            part = whole
        small = part.size and 0 <= part.min() <= part.max() <= 255
        yield start, part.astype(np.uint8 if small else np.int64)
    if count:
        raise invalid(
            "path",
            "a mask of whole numbers",
            said=f"path={str(path)!r} with {count} other value(s), such as {wrong[0]:g}",
            remedy=("Resample masks with nearest neighbour, and export labels, not probabilities."),
        )


def _read_volume_labels(path: Path) -> NDArray:
    labels = large_array(read_header(path).shape[::-1], np.uint8)
    for start, part in volume_labels(path):
        if part.dtype != np.uint8 and labels.dtype == np.uint8:
            labels = labels.astype(np.int64)
        labels.reshape(-1)[start : start + part.size] = part
    return labels.T
