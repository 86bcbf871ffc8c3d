"""Pictures of the formats that are documented, and of no others: PNG, JPEG, BMP and TIFF.

What a file is, its first bytes say, not its name.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_robust.common.errors import invalid
from keras_robust.common.opening import UnreadableFileError, open_plain
from keras_robust.data.files.picture import Picture
from keras_robust.data.files.unreadable import UnreadableImageError

__all__ = [
    "absent",
    "exif_orientation",
    "picture_of",
    "picture_pages",
    "picture_shape",
    "read_picture",
]

BY_PILLOW = ("PNG", "JPEG", "BMP")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # with BigTIFF
ORIENTATION = 0x0112  # EXIF


def read_picture(path: Path) -> Picture:
    """The one picture of a file.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: Damaged, of another format, or of several pages (a ValueError).
    """
    return picture_pages(path, most=1)[0]


def picture_pages(path: Path, most: int) -> list[Picture]:
    """The pages of a TIFF file, or the one picture of another.

    Raises:
        As `read_picture`; several pages only where they are more than `most`.
    """
    with _understood(path) as (file, tiff):
        if tiff:
            from keras_robust.data.files.tiff import tiff_pages

            return tiff_pages(file, most)
        with _by_pillow(file) as image:
            image.load()
            return [_of_pillow(image, file)]


def picture_of(content: bytes) -> Picture:
    """The one picture that the bytes of a PNG, JPEG or BMP file hold.

    Raises:
        ValueError: Damaged, or of another format.
    """
    try:
        file = io.BytesIO(content)
        with _by_pillow(file) as image:
            image.load()
            return _of_pillow(image, file)
    except Exception as error:  # of any kind, as of files
        raise ValueError(f"its picture is damaged ({error or type(error).__name__})") from None


def picture_shape(path: Path) -> tuple[int, int, int]:
    """Rows, columns and channels of a file of one page, without reading its numbers.

    Raises:
        As `read_picture`.
    """
    with _understood(path) as (file, tiff):
        if tiff:
            from keras_robust.data.files.tiff import tiff_shape

            pages, height, width, channels = tiff_shape(file)
            return height, width, channels
        with _by_pillow(file) as image:
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
            return image.height, image.width, 1 if grey else 3


def exif_orientation(path: Path) -> int | None:
    """How a viewer would turn a picture; None where it says nothing, or cannot be read."""
    try:
        with _understood(path) as (file, tiff):
            if tiff:
                import tifffile

                tag = tifffile.TiffFile(file).pages.first.tags.get(ORIENTATION)
                return None if tag is None else int(tag.value)
            with _by_pillow(file) as image:
                return image.getexif().get(ORIENTATION)
    except Exception:  # of any kind in damaged metadata; the pixels are judged on their own
        return None


def absent(path: Path) -> FileNotFoundError:
    """The error of a file that is not there."""
    return invalid(
        "path",
        "an image file",
        said=f"path={str(path)!r}, which does not exist",
        remedy="Check the dataset's paths with `keras-robust verify`.",
        kind=FileNotFoundError,
    )


@contextmanager
def _understood(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The file, and whether it is TIFF; every way of failing becomes one of two errors."""
    try:
        with open_plain(path) as file:
            tiff = file.read(4) in TIFF_MARKS
            file.seek(0)
            yield file, tiff
    except FileNotFoundError:
        raise absent(path) from None
    except UnreadableFileError as error:
        raise UnreadableImageError(path, error.reason) from None
    except UnidentifiedImageError:
        reason = "it is empty" if path.stat().st_size == 0 else "not an image"
        raise UnreadableImageError(path, reason) from None
    except MemoryError:
        raise UnreadableImageError(path, "it promises more than memory holds") from None
    except Exception as error:  # of any kind: both libraries fail in every way on damaged files
        reason = str(error) or type(error).__name__
        early = isinstance(error, EOFError) or "Truncated" in reason
        raise UnreadableImageError(path, f"truncated: {reason}" if early else reason) from None


@contextmanager
def _by_pillow(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture that is not TIFF, not loaded yet."""
    with Image.open(file, formats=BY_PILLOW) as image:
        frames = getattr(image, "n_frames", 1) if image.format == "PNG" else 1
        if frames > 1:
            raise ValueError(f"{frames} frames, of which only one could be read")
        if len(image.getbands()) > 1 and _png_bits(image, file) > 8:
            raise ValueError(
                "16 bits per colour, of which 8 could be read: save its channels as grey "
                "files, as TIFF, or all with 8 bits"
            )
        yield image


def _png_bits(image: Image.Image, file: BinaryIO) -> int:
    """Bits of each number; Pillow keeps the highest 8 of several channels, and spreads fewer."""
    if image.format != "PNG":
        return 8
    file.seek(24)
    return file.read(1)[0]


def _of_pillow(image: Image.Image, file: BinaryIO) -> Picture:
    if image.mode == "P":
        palette = np.asarray(image.getpalette() or [], np.uint8).reshape(-1, 3)
        return Picture(np.asarray(image)[..., np.newaxis], 8, palette)
    alpha = None
    if image.mode in ("LA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
    if image.mode not in ("1", "L", "RGB") and not image.mode.startswith("I"):
        image = image.convert("L" if image.mode == "LA" else "RGB")
    values = np.asarray(image)
    if values.dtype == bool:
        return Picture(values.astype(np.uint8)[..., np.newaxis], 1)
    if values.ndim == 3:
        return Picture(values, 8, alpha=alpha)
    bits = 8 * values.dtype.itemsize
    stored = _png_bits(image, file) if bits == 8 else bits
    values = values // np.uint8(255 // (2**stored - 1)) if stored < 8 else values
    return Picture(values[..., np.newaxis], stored, alpha=alpha)
