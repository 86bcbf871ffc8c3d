"""Soft masks: files that hold probabilities in place of labels, as 255ths in 8 bits.

For two classes the probability of the foreground: a mask of one channel. For more, the
probabilities of all of them: a TIFF with a page for each class, background first, or a NIfTI volume
with the classes along its fourth axis; they sum to 255 at every pixel, so that nothing is lost by
rounding but a 255th.
"""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.data.files.formats import picture_pages
from keras_robust.data.files.images import (
    Size,
    checked_size,
    encode_mask_for,
    mask_suffix,
    read_image,
)
from keras_robust.data.files.maps import WHOLE, from_levels, to_levels
from keras_robust.data.files.resizing import resize_volume
from keras_robust.data.files.volume_header import is_volume, read_header
from keras_robust.data.files.volumes import encode_volume, read_volume

__all__ = [
    "encode_soft_mask",
    "levels_of",
    "read_soft_mask",
    "soft_mask_suffix",
    "write_soft_mask",
]

PathLike = str | os.PathLike[str]
MOST_PAGES = 1000


def soft_mask_suffix(image: PathLike, classes: int = 2) -> str:
    """Suffix of the soft masks that are written for an image.

    >>> soft_mask_suffix("skin.jpg"), soft_mask_suffix("skin.jpg", 3), soft_mask_suffix("a.nii", 3)
    ('.png', '.tif', '.nii.gz')
    """
    return ".tif" if classes > 2 and not is_volume(image) else mask_suffix(image)


def read_soft_mask(
    path: PathLike, size: Size | None = None, classes: int = 2
) -> NDArray[np.float32]:
    """Read a mask as probabilities.

    Args:
        path: A file as this module describes it.
        size: (height, width) in pixels to resize to, linear and antialiased; for a volume one
            number per stored axis. None keeps it.
        classes: Number of classes, background included.

    Returns:
        For two classes the probability of the foreground, shape (H, W), or that of the volume; for
        more those of all, shape (H, W, K), or (A, B, C, K), which sum to 1.

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: The file is damaged or no image (a ValueError).
        ValueError: Another number of classes, or values that are no such probabilities.
    """
    path = Path(path)
    shares = _read_foreground(path) if classes == 2 else _read_classes(path, classes)
    if size is None:
        return shares
    return resize_volume(shares, checked_size(size, shares.ndim - (classes > 2)))


def write_soft_mask(path: PathLike, probabilities: ArrayLike, like: PathLike | None = None) -> Path:
    """Write probabilities as a soft mask, atomically.

    An annotator whose masks are soft is named in dataset.json, as in `{"soft": ["NAME"]}`.

    Args:
        path: With the suffix that `soft_mask_suffix` says.
        probabilities: In [0, 1]: of the foreground, shape (H, W) or that of a volume, or of all
            classes, shape (..., K) with K > 2, which sum to 1.
        like: For a volume, the one (mostly the image) whose grid, affine and header the mask
            gets.

    Returns:
        `path`.

    Raises:
        ValueError: Other values; another suffix; a volume without `like`, or of another shape.

    >>> import tempfile
    >>> shares = np.array([[[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]]])  # 1 x 2 pixels, 3 classes
    >>> path = write_soft_mask(Path(tempfile.mkdtemp()) / "a.tif", shares)
    >>> (read_soft_mask(path, classes=3) * 255).round().tolist()
    [[[128.0, 127.0, 0.0], [85.0, 85.0, 85.0]]]
    """
    return atomic_write_bytes(path, encode_soft_mask(path, probabilities, like))


def encode_soft_mask(
    path: PathLike, probabilities: ArrayLike, like: PathLike | None = None
) -> bytes:
    """The bytes that `write_soft_mask` writes."""
    path, shares = Path(path), np.asarray(probabilities)
    if not (shares.size and 0 <= shares.min() <= shares.max() <= 1):
        said = f"{shares.min():g} to {shares.max():g}" if shares.size else "none"
        raise invalid("probabilities", "values from 0 to 1", said=said)
    if shares.ndim == (3 if is_volume(path) else 2):
        return encode_mask_for(path, to_levels(shares), like, classes=256)
    if shares.shape[-1] < 3 or np.abs(shares.sum(axis=-1) - 1).max() > 1e-3:
        raise invalid(
            "probabilities",
            (
                "those of three or more classes along the last axis, which sum to 1, "
                "or those of the foreground alone"
            ),
            said=(
                f"shape {shares.shape} with sums from {shares.sum(axis=-1).min():g} "
                f"to {shares.sum(axis=-1).max():g}"
            ),
        )
    levels = levels_of(shares)
    if is_volume(path) and like is not None and levels.ndim == 4:
        return encode_volume(levels, read_header(like), compress=path.suffix.lower() == ".gz")
    if path.suffix.lower() not in (".tif", ".tiff") or levels.ndim != 3:
        raise invalid(
            "path",
            (
                "a .tif for probabilities (H, W, K), or a .nii.gz for those of a "
                "volume, with `like`, the volume whose grid they have"
            ),
            said=f"path={str(path)!r} with the shape {levels.shape}, like={like!r}",
        )
    first, *others = (
        Image.fromarray(np.ascontiguousarray(page)) for page in np.moveaxis(levels, -1, 0)
    )
    buffer = io.BytesIO()
    first.save(
        buffer, "TIFF", save_all=True, append_images=others, compression="tiff_adobe_deflate"
    )
    return buffer.getvalue()


def levels_of(shares: NDArray) -> NDArray[np.uint8]:
    """Probabilities `(..., K)` of all classes as 255ths that sum to 255.

    They are rounded down, and one more for the largest remainders; of equal ones for the lowest
    class, so that the class with the most is that of a majority.

    >>> levels_of(np.array([[0.5, 0.5]]))
    array([[128, 127]], dtype=uint8)
    """
    levels = np.empty(shares.shape, np.uint8)
    for rows in slabs(shares.shape):
        levels[rows] = _rounded(shares[rows])
    return levels


def _rounded(shares: NDArray) -> NDArray[np.uint8]:
    exact = shares.astype(np.float64)
    exact *= WHOLE / exact.sum(axis=-1, keepdims=True)
    levels = np.floor(exact)
    missing = WHOLE - levels.sum(axis=-1, keepdims=True)
    # Rounded, so that shares that differ by a rounding error tie.
    order = np.argsort(-np.round(exact - levels, 6), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return (levels + (rank < missing)).astype(np.uint8)


def _read_foreground(path: Path) -> NDArray[np.float32]:
    """The probabilities that one channel holds, as stored."""
    levels = read_volume(path)[0][..., np.newaxis] if is_volume(path) else read_image(path)
    if levels.shape[-1] != 1:
        raise _refused(path, 2, f"{levels.shape[-1]} channels")
    low, high = (levels.min(), levels.max()) if levels.size else (0, 0)
    if not 0 <= low <= high <= WHOLE:
        raise _refused(path, 2, f"values from {low:g} to {high:g}")
    if levels.dtype.kind == "f" and (0 < high <= 1 or not _whole(levels)):
        remedy = "multiply them by 255 and round" if high <= 1 else "round them"
        raise _refused(path, 2, f"values from {low:g} to {high:g} that are no 255ths: {remedy}")
    return from_levels(levels[..., 0])


def _whole(levels: NDArray) -> bool:
    parts = (levels[rows] for rows in slabs(levels.shape))
    # Scaled integers come back a rounding error away from whole numbers.
    return all(np.abs(part - np.rint(part)).max(initial=0) <= 1e-3 for part in parts)


def _read_classes(path: Path, classes: int) -> NDArray[np.float32]:
    """The probabilities of all classes, as stored."""
    levels = read_volume(path, channels=True)[0] if is_volume(path) else _read_pages(path, classes)
    if levels.shape[-1] != classes or levels.ndim == 3 and is_volume(path):
        raise _refused(path, classes, f"an array of the shape {levels.shape}")
    if levels.size and not 0 <= levels.min() <= levels.max() <= WHOLE:
        raise _refused(path, classes, f"values from {levels.min():g} to {levels.max():g}")
    shares = large_array(levels.shape)
    for rows in slabs(levels.shape):
        sums = levels[rows].sum(axis=-1, dtype=np.float64)
        wrong = sums[sums != WHOLE]
        if wrong.size:
            found = f"{wrong.size} places with another sum, such as {wrong[0]:g}"
            raise _refused(path, classes, found)
        shares[rows] = from_levels(levels[rows])
    return shares


def _read_pages(path: Path, classes: int) -> NDArray[np.uint8]:
    """The pages of an image, (H, W, pages)."""
    pages = [picture.values for picture in picture_pages(path, most=MOST_PAGES)]
    if len(pages) != classes:
        raise _refused(path, classes, f"{len(pages)} page(s)")
    kinds = dict.fromkeys(f"{page.dtype} {' x '.join(map(str, page.shape))}" for page in pages)
    if len(kinds) > 1 or pages[0].dtype != np.uint8 or pages[0].shape[-1] != 1:
        raise _refused(path, classes, f"pages of {', '.join(kinds)}")
    return np.concatenate(pages, axis=-1)


def _refused(path: Path, classes: int, received: str) -> ValueError:
    expected = (
        "one channel of whole numbers, 0 to 255, the probability of the foreground"
        if classes == 2
        else f"{classes} pages of 8 bits (a fourth axis of volumes), the probabilities of the "
        "classes, which sum to 255 at every pixel"
    )
    return invalid(
        "path",
        f"a soft mask of {expected}",
        said=f"path={str(path)!r} with {received}",
        remedy=(
            "Correct `soft` in dataset.json, or the file "
            "(`keras_robust.data.write_soft_mask` writes such)."
        ),
    )
