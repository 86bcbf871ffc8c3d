"""TIFF: the numbers as they are stored, of any depth and number of bands.

tifffile says what a file holds. Compressions that it cannot undo by itself (LZW, JPEG, fax) are
undone by Pillow, where Pillow keeps the numbers as they are.
"""

import logging
import warnings
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_robust.data.files.picture import Picture

__all__ = ["tiff_pages", "tiff_shape"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # errors say what is wrong

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
PHOTOMETRIC = 262
NONE, DEFLATE, PACKBITS = 1, (8, 32946), 32773  # undone by tifffile itself
BY_PILLOW = (2, 3, 4, 5, 6, 7)  # fax (3), LZW, JPEG (2)
MODES = {"1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I;16B", "F"}
MOST_BYTES = 2**30  # of the numbers of one page
MOST_PAGES = 10_000
BEST_DEFLATE, SAFE_BYTES = 1032, 2**28  # that one byte can stand for; not worth a look


def tiff_shape(file: BinaryIO) -> tuple[int, int, int, int]:
    """Pages, rows, columns and channels (without transparency), without reading the numbers.

    Raises:
        ValueError: No TIFF, or one that is not understood.
    """
    with _opened(file) as tiff:
        pages, page = _count(tiff), _checked(tiff.pages[0])
        channels = 3 if page.photometric in (PALETTE, SEPARATED) else _bands(page)
        return pages, page.imagelength, page.imagewidth, channels


def tiff_pages(file: BinaryIO, most: int = MOST_PAGES) -> list[Picture]:
    """The pages of a TIFF file.

    Raises:
        ValueError: Damaged, not understood, or more than `most` pages.
    """
    with _opened(file) as tiff:
        count = _count(tiff)
        if count > most:
            raise ValueError(f"{count} pages, of which only one could be read: a volume?")
        pages = [_checked(page) for page in tiff.pages]
        if sum(page.nbytes for page in pages) > MOST_BYTES:
            raise ValueError(
                f"its pages take more than the {MOST_BYTES / 2**30:g} GiB of a picture"
            )
        return [_picture(page, file, number) for number, page in enumerate(pages)]


def _opened(file: BinaryIO) -> Any:
    import tifffile  # not above: PNG and JPEG do without

    return tifffile.TiffFile(file)


def _count(tiff: Any) -> int:
    count = len(tiff.pages)
    # ImageJ writes one page for a stack whose numbers follow one another.
    frames = int((tiff.imagej_metadata or {}).get("images", 1)) if tiff.is_imagej else 1
    if not count:
        raise ValueError("it holds no picture")
    return max(count, frames)


def _checked(page: Any) -> Any:
    bits, kind = page.bitspersample, page.dtype.kind if page.dtype is not None else None
    if PHOTOMETRIC not in page.tags:
        raise ValueError("it does not say what its numbers stand for (PhotometricInterpretation)")
    photometric = int(page.photometric)
    if kind not in tuple("buif") or page.imagedepth != 1 or not isinstance(bits, int):
        raise ValueError(f"its numbers are {page.dtype} of {bits} bits, which are not read")
    if photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, SEPARATED, YCBCR):
        raise ValueError(f"its colours are {page.photometric!r}: save it as grey or RGB")
    if photometric == MIN_IS_WHITE and kind not in "bu":
        raise ValueError("white is its lowest number, and numbers are signed: save it as grey")
    if photometric == SEPARATED and (bits != 8 or page.samplesperpixel != 4):
        raise ValueError("its inks are not four of 8 bits: save it as RGB")
    if photometric == PALETTE and (page.samplesperpixel != 1 or kind not in "bu" or bits > 8):
        raise ValueError("its palette is not of one channel of up to 8 bits")
    if not page.imagelength or not page.imagewidth or page.nbytes > MOST_BYTES:
        raise ValueError(
            f"{page.imagelength} x {page.imagewidth} pixels, more than the "
            f"{MOST_BYTES / 2**30:g} GiB of a picture"
        )
    if page.imagelength * page.imagewidth > 2 * (Image.MAX_IMAGE_PIXELS or 2**62):
        raise ValueError(f"{page.imagelength} x {page.imagewidth} pixels: a decompression bomb?")
    return page


def _bands(page: Any) -> int:
    return int(page.samplesperpixel) - _transparent(page)


def _transparent(page: Any) -> int:
    """Samples at the end that are transparency."""
    return sum(int(extra) in (1, 2) for extra in page.extrasamples[-1:])


def _picture(page: Any, file: BinaryIO, number: int) -> Picture:
    values, flipped = _numbers(page, file, number)
    bits, photometric = int(page.bitspersample), int(page.photometric)
    values = values.astype(np.uint8) if values.dtype == bool else values
    palette = None
    if photometric == PALETTE:
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
    if photometric == MIN_IS_WHITE and not flipped:
        values = values.dtype.type(2**bits - 1) - values
    if photometric == SEPARATED:
        inks = Image.fromarray(np.ascontiguousarray(values[..., :4]), "CMYK")
        return Picture(np.asarray(inks.convert("RGB")), 8)
    clear = _transparent(page)
    alpha = values[..., -1] if clear else None
    return Picture(values[..., :-1] if clear else values, bits, palette, alpha)


def _numbers(page: Any, file: BinaryIO, number: int) -> tuple[NDArray, bool]:
    """(H, W, S), and whether white is the highest number already."""
    compression = int(page.compression)
    if compression in (NONE, *DEFLATE, PACKBITS):
        _check_parts(page, file)
        values = page.asarray(maxworkers=1)
        values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
        return values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel), False
    if compression not in BY_PILLOW:
        raise ValueError(f"compressed by {page.compression!r}: save it with deflate, or without")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata; tifffile has judged the file
        with Image.open(file, formats=("TIFF",)) as image:
            image.seek(number)
            mode, bands = image.mode, len(image.getbands())
            if mode not in MODES or bands != page.samplesperpixel:
                raise ValueError(
                    f"compressed by {page.compression!r} with {page.samplesperpixel} bands of "
                    f"{page.bitspersample} bits: save it with deflate, or without compression"
                )
            values = np.asarray(image)
    wide = 1 if values.dtype == bool else 8 * values.dtype.itemsize
    if wide != page.bitspersample:
        raise ValueError(
            f"compressed by {page.compression!r} with {page.bitspersample} bits: save it with "
            "deflate, or without compression"
        )
    values = values if values.dtype == bool else values.astype(page.dtype.newbyteorder("="))
    values = values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    return values, values.dtype.itemsize == 1  # Pillow inverts up to 8 bits by itself


def _check_parts(page: Any, file: BinaryIO) -> None:
    """Refuse parts that end behind the file, and those that unpack to more than they promise."""
    end = file.seek(0, 2)
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not parts or any(not start or not size or start + size > end for start, size in parts):
        raise ValueError("truncated: parts of its pixels are missing")
    most = page.nbytes + 2**20
    for start, size in parts if int(page.compression) in DEFLATE else ():
        if size * BEST_DEFLATE > SAFE_BYTES:
            file.seek(start)
            unpacker, found, packed = zlib.decompressobj(), 0, file.read(size)
            while packed and found <= most and not unpacker.eof:
                found += len(unpacker.decompress(packed, 2**20))
                packed = unpacker.unconsumed_tail
            if found > most:
                raise ValueError("its pixels unpack to more than it promises")
