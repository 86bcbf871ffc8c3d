"""Predictions of a planned network, from the stored image and back to its grid."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.common.progress import Progress
from keras_robust.models.decoding import class_probabilities, probabilities_of
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.plan import Plan
from keras_robust.planning.preprocessing import Geometry, preprocess_image
from keras_robust.planning.resampling import resample_image, thick_axis
from keras_robust.planning.sliding_window import sliding_window

__all__ = ["planned_probabilities", "restore"]

VOXELS_PER_CALL = 2**18


def planned_probabilities(
    predict: Callable[[NDArray[np.float32]], Any],
    image: NDArray,
    spacing_mm: tuple[float, ...] | None,
    plan: Plan,
    fingerprint: Fingerprint,
    *,
    overlap: float = 0.5,
    mirror_axes: Sequence[int] = (),
    previous: NDArray[np.uint8] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Probabilities of an image, preprocessed as planned, in the grid in which it is stored.

    Everything is averaged and interpolated as logits, windows and mirrored predictions alike, as
    in nnU-Net; probabilities are made of them last.

    Args:
        predict: From patches `(batch, *patch_size, channels)` to logits `(batch, *patch_size, K)`,
            of regions where the plan has them.
        image: `(*spatial, channels)`, axes as stored; memory maps are read in part.
        spacing_mm: Along the stored axes; `None` for 1.
        plan: Of the data set that the network was trained on.
        fingerprint: Of that data set.
        overlap: Of the windows, see `keras_robust.planning.sliding_window.sliding_window`.
        mirror_axes: Axes of a patch to mirror along, see there.
        previous: Labels `(*spatial)` that the previous stage of a cascade predicted, as stored.
        progress: Called with (windows done, total).

    Returns:
        `(*spatial, K)`, an array or, above 1 GiB, a memory map of a temporary file. Of labels, also
        where the network learned regions: see `keras_robust.models.decoding.class_probabilities`.

    Raises:
        ValueError: Axes or channels other than the plan's.
    """
    prepared, labels, geometry = preprocess_image(image, spacing_mm, plan, fingerprint, previous)
    if labels is not None:
        prepared = _with_labels(prepared, labels, fingerprint.classes)
    logits = sliding_window(
        _of_slices(predict) if plan.slices else predict,
        prepared,
        plan.window,
        overlap=overlap,
        batch_size=max(1, VOXELS_PER_CALL // int(np.prod(plan.window))),
        mirror_axes=tuple(axis + plan.slices for axis in mirror_axes),
        progress=progress,
    )
    return restore(logits, geometry, plan, fingerprint.classes)


def _with_labels(
    image: NDArray[np.float32], labels: NDArray[np.uint8], classes: int
) -> NDArray[np.float32]:
    """An image with further channels: where each foreground label is."""
    channels = image.shape[-1]
    result = large_array((*labels.shape, channels + classes - 1))
    for rows in slabs(result.shape):
        result[rows][..., :channels] = image[rows]
        result[rows][..., channels:] = labels[rows][..., np.newaxis] == np.arange(1, classes)
    return result


def _of_slices(predict: Callable[[NDArray[np.float32]], Any]) -> Callable[[NDArray], NDArray]:
    """A network of slices as one of volumes that are one slice thick."""
    return lambda patches: np.asarray(predict(patches[:, 0]))[:, np.newaxis]


def restore(
    logits: NDArray[np.float32], geometry: Geometry, plan: Plan, classes: int
) -> NDArray[np.float32]:
    """Undo the preprocessing of an image for what was predicted from it.

    Args:
        logits: `(*geometry.resampled_shape, K)`, of regions where the plan has them.
        geometry: Of the preprocessed image.
        plan: Of the data set.
        classes: Of the data set, background included.

    Returns:
        Probabilities `(*geometry.shape, K)` of labels. Logits are interpolated linearly, along a
        thick axis taken over from the nearest slice; outside of the crop background is certain.
    """
    spacing = tuple(geometry.spacing_mm[axis] for axis in plan.axes)
    channels = classes if plan.regions else logits.shape[-1]
    result = large_array((*geometry.shape, channels))
    if channels > 1:
        result[..., 0] = 1
    crop = result.transpose(*plan.axes, len(plan.axes))[
        tuple(slice(*edges) for edges in geometry.box)
    ]
    separate = thick_axis(plan.resampled_to(spacing), spacing)
    inside = None if plan.regions else crop
    found = resample_image(logits, crop.shape[:-1], separate, order=1, out=inside)
    probabilities_of(found, plan.regions)
    if plan.regions:
        crop[...] = class_probabilities(found, plan.regions, classes)
    return result
