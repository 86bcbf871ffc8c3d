"""Training masks as the network would have them, before it learns their mistakes by heart."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_robust.data.files.images import mask_suffix, read_mask
from keras_robust.data.files.maps import picture_path, save_labels
from keras_robust.planning.sliding_window import mirrored
from keras_robust.training.config import TrainConfig
from keras_robust.training.evaluation import evaluation_batch_size
from keras_robust.training.memorising.correction import corrected
from keras_robust.training.source import MemorySource, Relabelled, Source
from keras_robust.training.state import weights_of
from keras_robust.training.whole_images.batches import evaluation_batches
from keras_robust.training.whole_images.cases import TrainingData

FOLDER = "corrected_masks"


def write_corrected(
    folder: Path,
    model: keras.Model,
    states: Sequence[bytes],
    data: TrainingData,
    config: TrainConfig,
) -> None:
    """Write the training masks with what the networks of some states are sure of.

    Args:
        folder: Of the run; masks go to `corrected_masks`.
        model: Of the states; it is left with the weights of the last.
        states: See `keras_robust.training.state.dump_state`.
        data: Of the run.
        config: Of the run.
    """
    weights = weights_of(model, states)
    batches = evaluation_batches(
        data.train,
        batch_size=evaluation_batch_size(data.image_shape, config.model.features),
        normalize=config.data.normalize,
        threads=config.threads,
    )
    done = 0
    for images, masks in batches:
        probabilities = averaged_over_views(model, weights, ops.convert_to_numpy(images))
        labels = ops.convert_to_numpy(masks)[..., 0]
        for mask in corrected(probabilities, labels, data.ignore_label):
            id = data.train.ids[done]
            save_labels(folder / FOLDER, id, mask, data.files[id], data.classes)
            done += 1


def averaged_over_views(
    model: keras.Model, weights: Sequence[Sequence[np.ndarray]], images: np.ndarray
) -> np.ndarray:
    """Mean probabilities over networks and mirrored views.

    Args:
        model: Left with the last of the weights.
        weights: Of each network.
        images: `(n, *spatial, channels)`, as the model takes them.

    Returns:
        `(n, *spatial, 1 or K)`.
    """

    def predict(views: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(model(views, training=False))

    found = []
    for one in weights:
        model.set_weights(one)
        found.append(mirrored(predict, images, range(images.ndim - 2)))
    return np.mean(found, axis=0)


def read_corrected(folder: Path, data: TrainingData) -> Source:
    """The training images with the masks that `write_corrected` has left."""
    paths = [
        picture_path(folder / FOLDER, id, mask_suffix(data.files[id])) for id in data.train.ids
    ]

    def mask(index: int) -> np.ndarray:
        return read_mask(paths[index], None, data.classes, data.ignore_label)

    if isinstance(data.train, MemorySource):
        masks = [mask(index) for index in range(len(paths))]
        return MemorySource(data.train.ids, data.train.images, np.stack(masks))
    return Relabelled(data.train, mask)
