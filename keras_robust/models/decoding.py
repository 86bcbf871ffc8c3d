"""From logits to probabilities, from those of regions, which may overlap, to labels."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.data.files.maps import above_half
from keras_robust.data.regions import Regions

__all__ = ["activation_of", "class_probabilities", "labels_of", "probabilities_of"]


def activation_of(channels: int, regions: Regions = ()) -> str:
    """`"sigmoid"` for one channel or regions, else `"softmax"`."""
    return "sigmoid" if regions or channels == 1 else "softmax"


def probabilities_of(logits: NDArray[np.float32], regions: Regions = ()) -> NDArray[np.float32]:
    """Probabilities in place of logits `(*spatial, K)`, which are overwritten: a softmax over the
    channels, for one channel or regions a sigmoid each.

    >>> probabilities_of(np.zeros((1, 2), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """
    one_by_one = activation_of(logits.shape[-1], regions) == "sigmoid"
    for rows in slabs(logits.shape):
        part = logits[rows]
        logits[rows] = expit(part) if one_by_one else softmax(part, axis=-1)
    return logits


def class_probabilities(
    probabilities: NDArray[np.float32], regions: Regions, classes: int
) -> NDArray[np.float32]:
    """Probabilities of labels, of which those in a region add up to that of the region.

    A region is at least as probable as the regions in it together. Beyond that nothing is evened
    out: where regions without common labels are both probable, the sum over labels may exceed 1.

    Args:
        probabilities: `(*spatial, R)`, one channel per region.
        regions: In the order in which they are painted.
        classes: K, background included.

    Returns:
        `(*spatial, K)`.

    >>> organ_and_lesion = ((1, (1, 2)), (2, (2,)))
    >>> class_probabilities(np.float32([[0.75, 0.25], [0.25, 0.5]]), organ_and_lesion, 3).tolist()
    [[0.25, 0.5, 0.25], [0.5, 0.0, 0.5]]
    """
    result = large_array((*probabilities.shape[:-1], classes))
    for rows in slabs(result.shape):
        part, found = probabilities[rows], result[rows]
        # From the innermost, so that what is in a region is already known.
        for number, (label, members) in reversed(list(enumerate(regions))):
            inside = found[..., list(members)].sum(axis=-1)
            found[..., label] += np.maximum(part[..., number] - inside, 0)
        found[..., 0] = np.maximum(1 - found[..., 1:].sum(axis=-1), 0)
    return result


def labels_of(probabilities: NDArray, regions: Regions = ()) -> NDArray[np.uint8]:
    """Labels `(*spatial)`: above 0.5 for one channel, else the largest.

    Args:
        probabilities: `(*spatial, 1)` or `(*spatial, K)`.
        regions: Where a network has learned regions: those more probable than 0.5 are painted one
            over the other, as nnU-Net does.

    >>> labels_of(np.array([[0.3, 0.3, 0.4], [0.6, 0.3, 0.1]])).tolist()
    [2, 0]
    >>> labels_of(np.array([[0.3, 0.3, 0.4], [0.6, 0.3, 0.1]]), ((1, (1, 2)), (2, (2,)))).tolist()
    [1, 0]
    """
    labels = np.zeros(probabilities.shape[:-1], np.uint8)
    for rows in slabs(probabilities.shape):
        part = probabilities[rows]
        if regions:
            for label, members in regions:
                labels[rows][above_half(part[..., list(members)].sum(axis=-1))] = label
        else:
            one = part.shape[-1] == 1
            labels[rows] = above_half(part[..., 0]) if one else part.argmax(axis=-1)
    return labels
