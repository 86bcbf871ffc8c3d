"""Dice of a planned network on the images as they are stored."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_robust.common.large_arrays import slabs
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.regions import Regions
from keras_robust.metrics.overlap import overlap_of_labels
from keras_robust.models.compiled import compiled
from keras_robust.models.decoding import activation_of, labels_of
from keras_robust.models.probabilities import with_logits_beside
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.plan import Plan
from keras_robust.planning.restoring import planned_probabilities
from keras_robust.training.patches.previous import PreviousStage

__all__ = ["predictions", "stored_overlap"]


def predictions(
    model: keras.Model,
    dataset: Dataset,
    plan: Plan,
    fingerprint: Fingerprint,
    mirror_axes: tuple[int, ...] = (),
    previous: PreviousStage | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Case, NDArray[np.float32]]]:
    """Each case with its probabilities `(*spatial, K)` in the grid of the stored image.

    Args:
        model: Of one output, probabilities.
        dataset: The cases.
        plan: As the run uses it.
        fingerprint: Of the plan.
        mirror_axes: Axes of a patch to mirror along.
        previous: Of a cascade, the networks of the stage before.
        progress: Called with (windows done, total) of each case.
    """
    activation = activation_of(model.output_shape[-1], plan.regions)
    network = with_logits_beside(model, activation)
    like = [(model.input_shape[1:], "float32")]
    logits = compiled(lambda patches: network(patches, training=False)[1], network, like)
    for case in dataset:
        image = dataset.read_image(case)
        yield (
            case,
            planned_probabilities(
                lambda patches: ops.convert_to_numpy(logits(patches)),
                image,
                case.spacing,
                plan,
                fingerprint,
                mirror_axes=mirror_axes,
                previous=previous.of_case(case) if previous else None,
                progress=progress,
            ),
        )


def stored_overlap(
    probabilities: NDArray[np.float32],
    mask: NDArray[np.uint8],
    ignore_label: int | None,
    regions: Regions = (),
) -> tuple[NDArray, NDArray]:
    """Size of the intersection and sum of both sizes, per foreground class."""
    classes = max(2, probabilities.shape[-1])
    predicted = labels_of(probabilities, regions)
    both, total = np.zeros((2, classes - 1))
    for rows in slabs(mask.shape):
        counts = overlap_of_labels(predicted[rows], mask[rows], classes, ignore_label)
        both, total = both + counts[0], total + counts[1]
    return both, total
