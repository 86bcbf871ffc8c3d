"""Images and masks of one file each: PNG, JPEG, TIFF or BMP, in the pixel grid as stored."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

__all__ = ["IMAGE_SUFFIXES", "UnreadableImageError", "encode_mask", "read_image", "read_mask"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_EIGHT_BIT = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}

PathLike = str | os.PathLike[str]
Size = tuple[int, int]


class UnreadableImageError(ValueError):
    """A file that is there but does not decode: `path`, `reason`, `truncated` (ends too early)."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        self.truncated = "truncated" in reason
        super().__init__(
            f"Invalid value for argument `path`. Expected a readable image "
            f"({', '.join(IMAGE_SUFFIXES)}). Received: path={str(path)!r} ({reason}). Restore the "
            "file from its source; `keras-robust verify` lists all such files at once."
        )


def read_image(path: PathLike | Sequence[PathLike], size: Size | None = None) -> NDArray:
    """Read an image.

    Pixels are taken as stored: an EXIF orientation is not applied, since masks rarely follow it.
    Transparency is dropped.

    Args:
        path: A file, or several whose channels are stacked in the order given.
        size: (height, width) in pixels to resize to, bilinear and antialiased; None keeps it.

    Returns:
        Shape (H, W, C), uint8 for 8-bit files, float32 in the file's own units for deeper ones.

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
    channels = [_read_channels(Path(p), size) for p in paths]
    shapes = {channel.shape[:2] for channel in channels}
    if len(shapes) != 1:
        raise ValueError(
            "Invalid value for argument `path`. Expected channels of one size. Received: "
            + ", ".join(f"{p}: {c.shape[:2]}" for p, c in zip(paths, channels, strict=True))
        )
    return channels[0] if len(channels) == 1 else np.concatenate(channels, axis=-1)


def read_mask(
    path: PathLike,
    size: Size | None = None,
    classes: int = 2,
    ignore_label: int | None = None,
) -> NDArray[np.uint8]:
    """Read a mask as labels.

    Two classes may be stored as 0/1, 0/255 or black and white of any kind; more classes as label
    values, or as the indices of a palette.

    Args:
        path: A file of one channel, or of several that are equal.
        size: (height, width) in pixels to resize to, nearest neighbour; None keeps it.
        classes: Number of classes, background included.
        ignore_label: A further value that is allowed and kept.

    Returns:
        Labels, shape (H, W), uint8, from 0 to classes - 1 or `ignore_label`.

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
    labels = _read_stored_labels(path)
    values = set(np.unique(labels).tolist())
    allowed = set(range(classes)) | ({ignore_label} if ignore_label is not None else set())
    if classes == 2 and not values <= allowed and values <= (allowed - {1}) | {255}:
        labels = np.where(labels == 255, 1, labels)
    elif not values <= allowed:
        wrong = sorted(values - allowed)
        shown = ", ".join(map(str, wrong[:8])) + (", ..." if len(wrong) > 8 else "")
        expected = "0 and 1, or 0 and 255" if classes == 2 else f"0 to {classes - 1}"
        expected += f", or {ignore_label} (ignored)" if ignore_label is not None else ""
        raise ValueError(
            f"Invalid value for argument `path`. Expected a mask of values {expected}. "
            f"Received: path={str(path)!r} with {len(wrong)} other value(s): {shown}. "
            "Threshold grey masks (JPEG and smooth resizing make them), or state the classes: "
            "`labels` in the dataset's dataset.json."
        )
    labels = labels.astype(np.uint8)
    if size is not None and labels.shape != tuple(size):
        height, width = _checked(size)
        resized = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
        labels = np.asarray(resized)
    return np.ascontiguousarray(labels)


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


def _checked(size: Size) -> Size:
    height, width = size
    if int(height) != height or int(width) != width or min(height, width) < 1:
        raise ValueError(
            "Invalid value for argument `size`. Expected (height, width), whole numbers from 1. "
            f"Received: size={size}"
        )
    return int(height), int(width)


def _read_channels(path: Path, size: Size | None) -> NDArray:
    image = decode(path)
    if image.mode in _EIGHT_BIT:
        image = image.convert(_EIGHT_BIT[image.mode])
    elif image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(np.asarray(image).astype(np.float32))
    else:
        image = image.convert("RGB")
    if size is not None:
        height, width = _checked(size)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array[..., np.newaxis] if array.ndim == 2 else array


def decode(path: Path) -> Image.Image:
    """The image at `path`, fully loaded; every way of failing becomes one of two errors."""
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            if pages > 1:
                raise ValueError(f"{pages} pages, of which only one could be read: a volume?")
            image.load()
            return image
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Invalid value for argument `path`. Expected an image file. Received: "
            f"path={str(path)!r}, which does not exist. Check the dataset's paths with "
            "`keras-robust verify`."
        ) from None
    except UnidentifiedImageError:
        reason = "it is empty" if path.stat().st_size == 0 else "not an image"
        raise UnreadableImageError(path, reason) from None
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(path, str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = str(error) or type(error).__name__
        early = isinstance(error, EOFError) or "Truncated" in reason
        raise UnreadableImageError(path, f"truncated: {reason}" if early else reason) from None


def _read_stored_labels(path: Path) -> NDArray:
    image = decode(path)
    if image.mode == "P":
        indices = np.asarray(image)
        palette = np.reshape(image.getpalette() or [], (-1, 3))
        colours = palette[np.unique(indices)] if indices.max(initial=0) < len(palette) else palette
        # A black-and-white palette may have white first; other palettes number the classes.
        if colours.size and np.isin(colours, (0, 255)).all() and not np.ptp(colours, axis=1).any():
            return palette[indices][..., 0]
        return indices
    if image.mode in ("LA", "RGBA"):
        image = image.convert("L" if image.mode == "LA" else "RGB")
    array = np.asarray(image)
    if array.dtype == bool:
        return array.view(np.uint8)
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise ValueError(
                "Invalid value for argument `path`. Expected a mask of one channel, or of equal "
                f"channels. Received: path={str(path)!r} in colour (mode {image.mode}). "
                "Save label values in one channel."
            )
        array = array[..., 0]
    return array
