"""Predicted probabilities of a few images, kept for the report."""

import io
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from keras_robust.files import atomic_write_bytes
from keras_robust.training.augment import normalize_batch, to_unit_range
from keras_robust.training.config import TrainConfig
from keras_robust.training.labels import TrainingData
from keras_robust.training.names import picture_path
from keras_robust.training.source import Source


def save_predictions(
    folder: Path, model: keras.Model, data: TrainingData, config: TrainConfig
) -> None:
    """Write `<id>.png`, the foreground probability as 0..255, of the first test images and of one
    training image per kind of noise; none where `config.save_predictions` is 0."""
    count = config.save_predictions
    if not count:
        return
    first_of_kind = [int(np.flatnonzero(data.kinds == kind)[0]) for kind in sorted(set(data.kinds))]
    chosen: list[tuple[Source, int]] = [(data.train, index) for index in first_of_kind]
    if data.test is not None:
        chosen += [(data.test, index) for index in range(min(count, len(data.test.ids)))]
    for source, index in chosen:
        image = to_unit_range(tf.constant(source.image(index)[np.newaxis]))
        probabilities = model(normalize_batch(image, config.data.normalize), training=False)
        foreground = foreground_probability(np.asarray(probabilities)[0])
        atomic_write_bytes(picture_path(folder, source.ids[index]), encode_probability(foreground))


def foreground_probability(probabilities: np.ndarray) -> np.ndarray:
    """`(H, W)` from `(H, W, 1)` or, as 1 minus the background, from `(H, W, K)`."""
    if probabilities.shape[-1] == 1:
        return probabilities[..., 0]
    return 1.0 - probabilities[..., 0]


def encode_probability(probability: np.ndarray) -> bytes:
    """A probability map in [0, 1] as an 8-bit PNG."""
    buffer = io.BytesIO()
    levels = np.clip(np.rint(np.asarray(probability) * 255), 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()
