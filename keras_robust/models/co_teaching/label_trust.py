"""What the selections look at: how probable each peer finds the label of each voxel."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_robust.common.distribution import own_share
from keras_robust.common.errors import invalid
from keras_robust.losses import SegmentationLoss
from keras_robust.losses.probabilities import probabilities
from keras_robust.losses.targets import align, voxel_weights


class Labelled(NamedTuple):
    """One batch as the two peers see it; tensors `(batch, *spatial)` but for `classes`.

    `trust` is a pair, the probability of its label that each peer gives a voxel; `disagree` is
    true where the peers predict different classes; `valid` is false for ignored voxels and those
    of weight 0; `label` is the class of the label, 0 to `classes` - 1.
    """

    trust: tuple[Any, Any]
    disagree: Any
    valid: Any
    label: Any
    classes: int


def look(loss: SegmentationLoss, y_true, pair, sample_weight=None) -> Labelled:
    """Targets and the predictions of both peers, as `loss` understands them.

    No gradient flows through the result.

    Args:
        loss: says whether predictions are logits, and which label is ignored.
        y_true: labels or soft targets.
        pair: the predictions of the two peers, `(batch, *spatial, channels)`.
        sample_weight: weights per image or per voxel.

    Raises:
        ValueError: The terms of the loss disagree on logits or the ignored label.
    """
    from_logits = _one(loss, "from_logits")
    ignore_label = _one(loss, "ignore_label")
    # The losses of the peers look at the labels.
    aligned = [align(y_true, ops.stop_gradient(p), ignore_label, checked=False) for p in pair]
    targets, valid = aligned[0].targets, aligned[0].valid
    channels = targets.shape[-1]
    probability = [probabilities(a.predictions, from_logits) for a in aligned]
    if channels == 1:
        q = targets[..., 0]
        trust = [q * p[..., 0] + (1 - q) * (1 - p[..., 0]) for p in probability]
        label = ops.cast(q > 0.5, "int32")
        predicted = [p[..., 0] > 0.5 for p in probability]
    else:
        trust = [ops.sum(targets * p, axis=-1) for p in probability]
        label = ops.cast(ops.argmax(targets, axis=-1), "int32")
        predicted = [ops.argmax(p, axis=-1) for p in probability]
    if valid is None:
        valid = ops.ones_like(label, dtype="bool")
    for weights in voxel_weights(sample_weight, trust[0]):
        if weights is not None:
            lead = ops.reshape(weights > 0, (-1, *[1] * (len(valid.shape) - 1)))
            counts = lead if len(weights.shape) == 1 else weights > 0
            valid = ops.logical_and(valid, counts)
    disagree = ops.not_equal(predicted[0], predicted[1])
    return Labelled((trust[0], trust[1]), disagree, valid, label, max(channels, 2))


def uniform(like, seed):
    """Random numbers in [0, 1) of the shape of `like`, from a seed `(2,)` alone.

    Replicas (tf.distribute) get those that one device would have drawn for their images.
    """
    return own_share(
        lambda shape: keras.random.uniform(shape, dtype="float32", seed=_Fixed(seed)),
        ops.shape(like),
    )


class _Fixed(keras.random.SeedGenerator):
    """A seed that is given, on every backend; Keras takes tensors as seeds in this form only."""

    def __init__(self, value):
        self.value = value

    def next(self, ordered=True):
        return self.value


def _one(loss: SegmentationLoss, option: str) -> Any:
    values = {getattr(term, option) for term in loss.terms()}
    if len(values) > 1:
        raise invalid("loss", f"terms of one {option}", sorted(values, key=str))
    return values.pop()
