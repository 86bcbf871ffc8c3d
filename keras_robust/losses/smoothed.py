r"""Losses that look at the labels around a voxel: SVLS, which trains on them, and NACL, which holds
logits near them.

Islam & Glocker, *Spatially Varying Label Smoothing*, IPMI 2021
([arXiv:2104.05788](https://arxiv.org/abs/2104.05788)); nnRobustLoss (2026), eq. 7. Murugesan et
al., *Trust your neighbours*, MICCAI 2023 ([arXiv:2303.06268](https://arxiv.org/abs/2303.06268)).
"""

import math
from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import SegmentationLoss, VoxelLoss
from keras_robust.losses.cross_entropy import cross_entropy
from keras_robust.losses.probabilities import log_probabilities, logits_if_known
from keras_robust.losses.targets import align, mean
from keras_robust.losses.wrapped import OfLoss

CENTERS = ("gaussian", "svls")
_EVEN = 1e6  # a spread, in voxels, at which all of a neighbourhood weigh alike


def smooth_targets(targets, sigma: float = 1.0, *, center: str = "gaussian", valid=None):
    r"""Targets, averaged over the neighbourhood of 3 voxels along each axis.

    Each target becomes $\sum_j W_j q_j / \sum_j W_j$ with $W_j = \exp(-d_j^2 / 2\sigma^2)$ at the
    distance $d_j$, in voxels. Beyond the border of the image its outermost targets repeat.

    Args:
        targets: probabilities `(batch, *spatial, channels)`, 2-D or 3-D.
        sigma: spread σ > 0 of the Gaussian, in voxels.
        center: `"gaussian"`, the formula above: for σ → 0 the targets stay as they are; or
            `"svls"`, where the voxel itself weighs as much as all its neighbours together, half of
            the sum, whatever σ.
        valid: boolean `(batch, *spatial)`; targets where it is false take no part, and their own
            values are undefined but finite. None: all are valid.

    Returns:
        Smoothed targets of the same shape.

    >>> import numpy as np
    >>> row = np.array([[[[0.0], [1.0], [0.0]]]], "float32")  # one row of three voxels
    >>> smooth = smooth_targets(row, sigma=1.0)  # e^-0.5 = 0.6065; 1 / (1 + 2 x 0.6065) = 0.452
    >>> print(np.round(np.asarray(smooth)[0, 0, :, 0], 3))
    [0.274 0.452 0.274]
    """
    _check(sigma, center)
    targets = ops.convert_to_tensor(targets)
    axes = range(1, len(targets.shape) - 1)
    side = math.exp(-1 / (2 * sigma * sigma))
    # Weight of all neighbours, divided by that of the nearest; its limit for σ -> 0 is 2 per axis.
    neighbours = math.expm1(len(axes) * math.log1p(2 * side)) / side if side else 2.0 * len(axes)
    own, factor = (1.0, side) if center == "gaussian" else (neighbours, 1.0)
    if valid is None:
        total = own + factor * neighbours
        return (own * targets + factor * _of_neighbours(targets, side, axes)) / total
    weight = ops.cast(ops.expand_dims(valid, -1), targets.dtype)
    counted = targets * weight
    total = own * weight + factor * _of_neighbours(weight, side, axes)
    average = own * counted + factor * _of_neighbours(counted, side, axes)
    return average / ops.where(total > 0, total, ops.ones_like(total))


@keras.saving.register_keras_serializable(package="keras_robust")
class SVLS(OfLoss):
    r"""A loss on smoothed targets: near a boundary the labels of both sides count.

    Args:
        loss: any keras_robust loss, or a sum of them.
        sigma: spread σ > 0 of the Gaussian, in voxels; nnRobustLoss searches [0.2, 2].
        center: `"gaussian"` (nnRobustLoss, eq. 7) or `"svls"` (the published code); see
            `smooth_targets`.
        **options: `name` and `dtype`; all else is that of `loss`.

    Ignored voxels take no part in the targets of their neighbours.

    References:
        [Islam & Glocker, 2021](https://arxiv.org/abs/2104.05788)

    >>> from keras_robust.losses import CE, SVLS, Dice
    >>> loss = SVLS(CE(), sigma=1.0)
    >>> # Targets 0.274, 0.452, 0.274 at probability 0.5: ln 2 each
    >>> round(float(loss([[[0, 1, 0]]], [[[[0.5], [0.5], [0.5]]]])), 4)
    0.6931
    >>> (SVLS(CE() + Dice(), sigma=0.5) + 0.1 * Dice()).weights
    [1.0, 0.1]
    """

    def __init__(
        self, loss: SegmentationLoss, sigma: float = 1.0, center: str = "gaussian", **options: Any
    ):
        _check(sigma, center)
        super().__init__(loss, "svls", **options)
        self.sigma, self.center = float(sigma), center

    def __call__(self, y_true, y_pred, sample_weight=None, kept=None):
        targets, kept = self._smoothed(y_true, y_pred, kept)
        return self.loss(targets, y_pred, sample_weight, kept)

    def call(self, y_true, y_pred):
        targets, kept = self._smoothed(y_true, y_pred, None)
        values, weights, _ = self.loss.weighted_values(targets, y_pred, None, kept)
        return values if weights is None else values * weights

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        targets, kept = self._smoothed(y_true, y_pred, kept)
        return self.loss.weighted_values(targets, y_pred, sample_weight, kept)

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        targets, kept = self._smoothed(y_true, y_pred, kept)
        return self.loss.image_values(targets, y_pred, sample_weight, kept)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sigma": self.sigma, "center": self.center}

    def _smoothed(self, y_true, y_pred, kept):
        # Voxels that a selection leaves out still tell the targets of their neighbours; those with
        # the ignored label have nothing to tell.
        aligned = align(y_true, y_pred, self.ignore_label, self.compute_dtype)
        targets = smooth_targets(
            aligned.targets, self.sigma, center=self.center, valid=aligned.valid
        )
        if aligned.valid is not None:
            kept = aligned.valid if kept is None else ops.logical_and(aligned.valid, kept)
        return targets, kept


@keras.saving.register_keras_serializable(package="keras_robust")
class NACL(VoxelLoss):
    r"""Cross entropy, and a penalty that holds logits near the classes around a voxel.

    $\mathrm{CE} + \lambda \frac1K\sum_k|u_k - z_k|$, with the share $u_k$ of class $k$ among the
    labels of a voxel and its neighbours, three along each axis, and the logits $z$; for a sigmoid
    head the logit of the background is 0.
    Calibrates: probabilities are not driven to 0 and 1, least of all at boundaries.

    Where a model ends in an activation that hides its logits, the logarithms of its probabilities
    stand for them.

    Args:
        weight: λ >= 0 of the penalty.
        **options: see `SegmentationLoss`.

    Differs at the border of the image from the published code and from MONAI, which see class 0 or
    no class beyond it: here the outermost labels repeat. Ignored voxels take no part.

    Reference: [Murugesan et al., 2023](https://arxiv.org/abs/2303.06268), eq. 6.

    >>> # Shares 2/3 and 1/3, logits 2 and 0: CE is (0.127 + 0.693) / 2, the penalty
    >>> # 0.1 (1/3 + 4/3 + 2/3 + 1/3) / 4
    >>> loss = NACL(from_logits=True)
    >>> round(float(loss([[[1, 0]]], [[[[2.0], [0.0]]]])), 3)
    0.477
    """

    takes_logits = True

    def __init__(self, weight: float = 0.1, **options: Any):
        super().__init__(**options)
        if not 0 <= weight < float("inf"):
            raise invalid("weight", "weight >= 0", weight)
        self.weight = float(weight)

    def values(self, targets, predictions, valid=None):
        entropy = cross_entropy(targets, predictions, from_logits=self.from_logits)
        share = smooth_targets(targets, _EVEN, valid=valid)
        logits = _logits(predictions, self.from_logits)
        if predictions.shape[-1] == 1:
            share = ops.concatenate([1 - share, share], axis=-1)
        return entropy + self.weight * mean(ops.absolute(share - logits), -1)

    def aligned_values(self, aligned, is_hard):
        return self.values(aligned.targets, aligned.predictions, aligned.valid)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, **super().get_config()}


def _logits(predictions, from_logits: bool):
    """Logits of all classes, the background of a sigmoid head among them."""
    known, are_logits = logits_if_known(predictions, from_logits)
    if are_logits:
        if known.shape[-1] > 1:
            return known
        return ops.concatenate([ops.zeros_like(known), known], axis=-1)
    of_class, of_background = log_probabilities(predictions, False)
    if of_background is None:
        return of_class
    return ops.concatenate([of_background, of_class], axis=-1)


def _of_neighbours(values, side: float, axes):
    """Weighted sum over the neighbours, in units of the weight `side` of the nearest.

    The Gaussian is a product over the axes; the sum without the voxel itself is built up along
    with it, so that nothing cancels where σ is small.
    """
    result = ops.zeros_like(values)
    for axis in axes:
        everything = values + side * result
        lead = (slice(None),) * axis
        first, last = everything[(*lead, slice(None, 1))], everything[(*lead, slice(-1, None))]
        before = ops.concatenate([first, everything[(*lead, slice(None, -1))]], axis)
        after = ops.concatenate([everything[(*lead, slice(1, None))], last], axis)
        result = result + before + after
    return result


def _check(sigma: float, center: str) -> None:
    if not (sigma > 0 and math.isfinite(sigma)):
        raise invalid("sigma", "sigma > 0", sigma, "Leave SVLS out for no smoothing.")
    if center not in CENTERS:
        raise invalid("center", f"one of {CENTERS}", center)
