"""Masks and probabilities of images, as files named for them and on their grids."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from keras_robust.data import mask_suffix, read_header
from keras_robust.data.images import encode_mask
from keras_robust.data.volume_header import is_volume
from keras_robust.data.volumes import encode_volume, resized_header
from keras_robust.files import atomic_write_bytes
from keras_robust.training.names import picture_path

__all__ = ["foreground_probability", "save_labels", "save_probability"]


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
    levels = np.clip(np.rint(np.asarray(probability) * 255), 0, 255).astype(np.uint8)
    path = picture_path(folder, id, mask_suffix(image))
    if is_volume(image):
        return atomic_write_bytes(path, _on_grid_of(image, levels))
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG")
    return atomic_write_bytes(path, buffer.getvalue())


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
