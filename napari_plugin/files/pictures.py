"""Masks and images in PNG and TIFF."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.files.formats import picture_pages
from keras_robust.data.files.images import encode_mask
from napari_plugin.viewer.case_layers import LayerData, image_layer, labels_layer

__all__ = ["looks_like_labels", "read_picture", "write_picture_file"]

MOST_LABELS = 32
MOST_PAGES = 10_000


def looks_like_labels(values: NDArray) -> bool:
    """Whether an array holds a mask: whole numbers, two of them or few small ones.

    >>> looks_like_labels(np.array([0, 255])), looks_like_labels(np.arange(200))
    (True, False)
    """
    if values.dtype.kind not in "biuf" or not values.size:
        return False
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all() or low < 0:
        return False
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        return False
    if values.dtype == bool or high < MOST_LABELS:
        return True
    return bool(low == 0 and np.isin(values, (low, high)).all())


def read_picture(path: Path) -> LayerData:
    """A PNG or TIFF file: labels where it holds few values, an image otherwise.

    A TIFF of several pages is a stack.

    Raises:
        ValueError: The file is damaged.
    """
    array, palette = _read(path)
    notes: dict[str, Any] = {"dataset": "", "id": path.stem, "annotator": "", "path": str(path)}
    if array.ndim == 3 and not palette and array.shape[-1] in (3, 4):
        if (array[..., :3] != array[..., :1]).any() or not looks_like_labels(array[..., 0]):
            return image_layer(array[..., :3], path.stem, notes)
        array = array[..., 0]
    if not palette and not looks_like_labels(array):
        return image_layer(array[..., np.newaxis], path.stem, notes)
    labels = np.asarray(array)
    if labels.max(initial=0) >= MOST_LABELS and not palette:
        labels = labels != 0  # black and white, however written
    labels = labels.astype(np.uint8)
    return labels_layer(labels, path.stem, notes, classes=int(labels.max(initial=0)) + 1)


def _read(path: Path) -> tuple[NDArray, bool]:
    """What the library reads, and whether a palette says that it is labels."""
    pages = picture_pages(path, most=MOST_PAGES)
    if len(pages) == 1 and pages[0].palette is not None:
        # How many classes there are, a file alone does not tell.
        return pages[0].labels(classes=2, ignore_label=255), True
    arrays = [page.colours() if 1 < page.bits < 8 else page.values for page in pages]
    arrays = [array[..., 0] if array.shape[-1] == 1 else array for array in arrays]
    if len({array.shape for array in arrays}) > 1:
        raise invalid(
            "path",
            "pages of one size",
            said=f"path={str(path)!r} with pages of several sizes",
            remedy="Save each as a file of its own.",
        )
    return arrays[0] if len(arrays) == 1 else np.stack(arrays), False


def write_picture_file(path: Path, labels: NDArray) -> Path:
    """Write labels as PNG (2-D) or TIFF (2-D, or a stack of pages), atomically.

    PNG of two classes has one bit per pixel, so that any program shows it in black and white.

    Raises:
        ValueError: A PNG of more than two axes, or labels that do not fit into 16 bits.
    """
    labels = np.asarray(labels)
    high = int(labels.max(initial=0))
    if labels.min(initial=0) < 0 or high > 65535:
        raise invalid(
            "labels",
            "labels from 0 to 65535",
            said=f"labels up to {high}",
            remedy="Relabel them first.",
        )
    narrow = labels.astype(np.uint8 if high < 256 else np.uint16)
    if path.suffix.lower() == ".png":
        if labels.ndim != 2:
            raise invalid(
                "path",
                f".tif or .nii.gz for labels of {labels.ndim} axes",
                path.name,
                "PNG holds 2-D labels only.",
            )
        return atomic_write_bytes(path, _png(narrow, high))
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, narrow, compression="zlib", photometric="minisblack")
    return atomic_write_bytes(path, buffer.getvalue())


def _png(labels: NDArray, high: int) -> bytes:
    if labels.dtype == np.uint8:
        return encode_mask(labels, 2 if high < 2 else 256)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
