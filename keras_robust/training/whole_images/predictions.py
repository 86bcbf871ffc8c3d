"""Predicted probabilities of a few images, kept for the report."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_robust.data.files.maps import foreground_probability, save_probability
from keras_robust.models.compiled import compiled
from keras_robust.training.config import TrainConfig
from keras_robust.training.source import Source
from keras_robust.training.whole_images.cases import TrainingData
from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range


def save_predictions(
    folder: Path, model: keras.Model, data: TrainingData, config: TrainConfig
) -> None:
    """Write `<id>.png` (`.nii.gz` of a volume), the foreground probability as 0..255, of the first
    test images and of one training image per kind of noise; none where `config.save_predictions`
    is 0."""
    count = config.save_predictions
    if not count:
        return
    first_of_kind = [int(np.flatnonzero(data.kinds == kind)[0]) for kind in sorted(set(data.kinds))]
    chosen: list[tuple[Source, int]] = [(data.train, index) for index in first_of_kind]
    if data.test is not None:
        chosen += [(data.test, index) for index in range(min(count, len(data.test.ids)))]

    def prepared(images: Any) -> Any:
        return normalize_batch(to_unit_range(images), config.data.normalize)

    predict = compiled(lambda images: model(prepared(images), training=False), model)
    for source, index in chosen:
        id = source.ids[index]
        probabilities = predict(source.image(index)[np.newaxis])
        foreground = foreground_probability(ops.convert_to_numpy(probabilities)[0])
        save_probability(folder, id, foreground, data.files[id])
