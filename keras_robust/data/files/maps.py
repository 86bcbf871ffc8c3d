"""Probabilities as numbers of 8 bits, and maps of them on the grid of an image.

0..255 stands for 0..1. What is above one half stays so, and one half stays background: a file and
the numbers that it was made of give the same labels.

A map of one channel is `<id>.png`, or `<id>.nii.gz` on the grid of a volume; of K channels,
`<id>_0` to `<id>_K-1` of the same.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.grid import check_prediction
from keras_robust.data.files.images import encode_mask, mask_suffix
from keras_robust.data.files.names import file_name, picture_path
from keras_robust.data.files.volume_header import is_volume, read_header
from keras_robust.data.files.volumes import encode_volume, resized_header

__all__ = [
    "WHOLE",
    "above_half",
    "foreground_probability",
    "from_levels",
    "has_map",
    "map_files",
    "read_map",
    "save_labels",
    "save_probability",
    "to_levels",
    "write_map",
]

SUFFIXES = (".png", ".nii.gz")
WHOLE = 255  # stands for the probability 1


def to_levels(values: NDArray) -> NDArray[np.uint8]:
    """Probabilities as 0..255; numbers outside of [0, 1] are cut, 8-bit integers taken as they are.

    Halves are rounded down, so that a tie is background, as in a majority; above one half a number
    is 128 or more, however little it is above.

    >>> to_levels(np.array([0.0, 0.5, 0.5 + 1e-9, 1.0])).tolist()
    [0, 127, 128, 255]
    """
    if values.dtype == np.uint8:
        return values
    levels = np.ceil(np.clip(values, 0.0, 1.0) * np.float32(WHOLE) - np.float32(0.5))
    half = np.ceil(np.float32(WHOLE / 2))
    levels = np.where(above_half(values), np.maximum(levels, half), np.minimum(levels, half - 1))
    return levels.astype(np.uint8)


def from_levels(levels: NDArray) -> NDArray[np.float32]:
    """Probabilities from 0..255, whole numbers or not.

    >>> from_levels(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    return np.asarray(levels, np.float32) / np.float32(WHOLE)


def above_half(values: NDArray) -> NDArray[np.bool_]:
    """Where probabilities, or their 8-bit numbers, are above one half: foreground.

    >>> above_half(np.array([0.5, 0.51])).tolist(), above_half(np.uint8([127, 128])).tolist()
    ([False, True], [False, True])
    """
    return values > (WHOLE // 2 if values.dtype == np.uint8 else 0.5)


def write_map(
    folder: str | Path, id: str, values: NDArray, like: str | Path | None = None
) -> list[Path]:
    """Write a map, each file atomically.

    Args:
        folder: Where to; made when missing.
        id: Name of the image.
        values: `(*spatial, C)`, in [0, 1] or 8-bit; 2-D or 3-D.
        like: Volume whose affine and header the map of a volume takes; needed in 3-D.

    Returns:
        The files.

    Raises:
        ValueError: A map of a volume without `like`, or of another shape.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_map(folder, "a 1", np.ones((4, 5, 1)))]
    ['a%201.png']
    """
    levels = to_levels(np.asarray(values))
    if levels.ndim not in (3, 4) or levels.ndim == 4 and like is None:
        raise invalid(
            "values",
            "(*spatial, C) with two or three spatial axes, and `like` for three",
            said=f"shape {levels.shape}, like={like}",
        )
    suffix = SUFFIXES[levels.ndim - 3]
    paths = map_files(folder, id, levels.shape[-1], suffix)
    for channel, path in enumerate(paths):
        atomic_write_bytes(path, _encoded(levels[..., channel], like))
    return paths


def read_map(
    folder: str | Path, id: str, channels: int = 1, like: str | Path | None = None
) -> NDArray[np.uint8]:
    """Read a map.

    Args:
        folder: Of the maps.
        id: Name of the image.
        channels: How many it has.
        like: Image on which it shall lie.

    Returns:
        `(*spatial, C)`, 0..255.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: A file is damaged, or lies elsewhere than `like`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_map(folder, "a", np.ones((4, 5, 3)))
    ...     read_map(folder, "a", channels=3).shape
    (4, 5, 3)
    """
    for suffix in SUFFIXES:
        paths = map_files(folder, id, channels, suffix)
        if all(path.is_file() for path in paths):
            if like is not None:
                for path in paths:
                    check_prediction(Path(like), path)
            return np.stack([_decoded(path) for path in paths], axis=-1)
    path = map_files(folder, id, channels, SUFFIXES[0])[0]
    raise invalid(
        "id",
        (f"an image with a map in {str(folder)!r}, as {path.name} or {path.stem}{SUFFIXES[1]}"),
        id,
        kind=FileNotFoundError,
    )


def has_map(folder: str | Path, id: str, channels: int = 1) -> bool:
    """Whether every file of a map is there."""
    return any(
        all(path.is_file() for path in map_files(folder, id, channels, suffix))
        for suffix in SUFFIXES
    )


def map_files(folder: str | Path, id: str, channels: int, suffix: str) -> list[Path]:
    """The files of a map; the id is percent-encoded where it holds what file names do not.

    >>> [path.name for path in map_files("x", "a", 2, ".png")]
    ['a_0.png', 'a_1.png']
    """
    name = file_name(id)
    names = [name] if channels == 1 else [f"{name}_{channel}" for channel in range(channels)]
    return [Path(folder) / f"{name}{suffix}" for name in names]


def _encoded(levels: NDArray[np.uint8], like: str | Path | None) -> bytes:
    if levels.ndim == 3:
        from keras_robust.data.files.volume_header import read_header
        from keras_robust.data.files.volumes import encode_volume

        return encode_volume(levels, read_header(str(like)))
    return encode_mask(levels, classes=256)


def _decoded(path: Path) -> NDArray[np.uint8]:
    if path.suffix == ".png":
        return to_levels(read_picture(path).brightness())
    from keras_robust.data.files.volumes import read_volume

    return np.asarray(read_volume(path)[0], np.uint8)


def save_labels(folder: Path, id: str, labels: np.ndarray, image: Path, classes: int) -> Path:
    """Write the mask of an image as `<id>.png`, that of a volume as `<id>.nii.gz`.

    Args:
        folder: Where to.
        id: Of the image.
        labels: `(H, W)`, or three axes as the volume's are stored. On another grid than the
            volume's they lie in the same box in the world.
        image: File of the image.
        classes: Background included.

    Returns:
        The file.
    """
    path = picture_path(folder, id, mask_suffix(image))
    if is_volume(image):
        return atomic_write_bytes(path, _on_grid_of(image, labels))
    return atomic_write_bytes(path, encode_mask(labels, classes))


def save_probability(folder: Path, id: str, probability: np.ndarray, image: Path) -> Path:
    """Write a probability map in [0, 1] as 0..255, otherwise as `save_labels`."""
    levels = to_levels(np.asarray(probability))
    path = picture_path(folder, id, mask_suffix(image))
    if is_volume(image):
        return atomic_write_bytes(path, _on_grid_of(image, levels))
    return atomic_write_bytes(path, encode_mask(levels, classes=256))


def foreground_probability(probabilities: np.ndarray) -> np.ndarray:
    """`(*spatial)` from `(*spatial, 1)` or, as 1 minus the background, from `(*spatial, K)`."""
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    return 1.0 - probabilities[..., 0]


def _on_grid_of(image: Path, values: np.ndarray) -> bytes:
    header = read_header(image)
    if values.shape != header.shape:
        header = resized_header(header, values.shape)
    return encode_volume(values, header)
