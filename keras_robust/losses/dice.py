"""Soft Dice, as nnU-Net trains it, and its relatives: squared, noise-robust, generalised.

Each is a pure function of targets and predictions `(batch, *spatial, channels)`, with one value per
image and class or per image, and a thin Keras class over it.
"""

from typing import Any

import keras
from keras import ops

from keras_robust.common.distribution import sum_over_replicas
from keras_robust.common.errors import invalid
from keras_robust.losses.base import ImageLoss
from keras_robust.losses.probabilities import probabilities
from keras_robust.losses.targets import at_least, mean, sum_over

_WEIGHTS = ("square", "simple")


def soft_dice(
    targets,
    predictions,
    weights=None,
    *,
    smooth: float = 1e-5,
    batch: bool = False,
    include_background: bool = False,
    squared: bool = False,
    from_logits: bool = False,
):
    r"""Soft Dice coefficient $(2\sum pq + s) / (\sum p + \sum q + s)$, shape `(batch, classes)`.

    With `squared`, the denominator is $\sum p^2 + \sum q^2 + s$. The background (channel 0 of K) is
    left out unless `include_background`. With `batch`, sums run over the whole batch and the result
    has the shape `(1, classes)`. Where prediction and target are both exactly empty, the
    coefficient is 1 with gradient 0.
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    p = probabilities(predictions, from_logits)
    if predictions.shape[-1] > 1 and not include_background:
        targets, p = targets[..., 1:], p[..., 1:]
    axes = range(0 if batch else 1, len(p.shape) - 1)
    weighted = p if weights is None else p * ops.expand_dims(weights, -1)
    intersection = sum_over(weighted * targets, axes)
    if squared:
        p, targets = ops.square(p), ops.square(targets)
    if weights is not None:
        p, targets = (x * ops.expand_dims(weights, -1) for x in (p, targets))
    total = sum_over(p, axes) + sum_over(targets, axes)
    if batch:
        # A batch that devices share is one batch.
        intersection, total = (
            ops.expand_dims(sum_over_replicas(sums), 0) for sums in (intersection, total)
        )
    empty = ops.equal(total, 0.0)
    safe = ops.where(empty, ops.ones_like(total), total)
    return ops.where(empty, ops.ones_like(total), (2 * intersection + smooth) / (safe + smooth))


@keras.saving.register_keras_serializable(package="keras_robust")
class Dice(ImageLoss):
    r"""Soft Dice loss $1 - (2\sum pq + s) / (\sum p + \sum q + s)$, mean over foreground classes.

    Two exactly empty masks give loss 0 and gradient 0.

    Args:
        smooth: the summand $s$ > 0.
        batch: sums over the batch, on all devices, instead of over each image (nnU-Net's batch
            Dice). Weights of images then count in the sums, as weights of their voxels.
        include_background: count class 0 of a softmax head, too.
        **options: see `SegmentationLoss`.

    Reference: [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z).

    >>> round(float(Dice()([[1, 0]], [[[1.0], [1.0]]])), 4)  # 1 - 2 / 3
    0.3333
    """

    takes_logits = True
    squared = False

    def __init__(
        self,
        smooth: float = 1e-5,
        batch: bool = False,
        include_background: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        if not smooth > 0:
            raise invalid("smooth", "smooth > 0", smooth)
        self.smooth, self.batch = float(smooth), bool(batch)
        self.include_background = bool(include_background)

    def values(self, targets, predictions, weights):
        coefficients = soft_dice(
            targets,
            predictions,
            weights,
            smooth=self.smooth,
            batch=self.batch,
            include_background=self.include_background,
            squared=self.squared,
            from_logits=self.from_logits,
        )
        loss = 1 - mean(coefficients, -1)
        return ops.broadcast_to(loss, ops.shape(predictions)[:1]) if self.batch else loss

    def get_config(self) -> dict[str, Any]:
        own = {
            "smooth": self.smooth,
            "batch": self.batch,
            "include_background": self.include_background,
        }
        return {**own, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_robust")
class SquaredDice(Dice):
    r"""Dice loss with squares, $1 - (2\sum pq + s) / (\sum p^2 + \sum q^2 + s)$.

    Where masks are hard, a prediction that is sure gives what `Dice` gives; one that is unsure
    costs less.

    Args:
        smooth, batch, include_background: as of `Dice`.
        **options: see `SegmentationLoss`.

    Reference: V-Net, [Milletari et al., 2016](https://arxiv.org/abs/1606.04797), section 3.

    >>> round(float(SquaredDice()([[1, 0]], [[[0.5], [0.5]]])), 4)  # 1 - 1 / (0.25 + 0.25 + 1)
    0.3333
    """

    squared = True


def noise_robust_dice(
    targets,
    predictions,
    weights=None,
    *,
    gamma: float = 1.5,
    smooth: float = 1e-5,
    squared: bool = True,
    include_background: bool = False,
    from_logits: bool = False,
):
    r"""$\sum|p - q|^\gamma / (\sum p^2 + \sum q^2 + s)$, shape `(batch, classes)`.

    The background (channel 0 of K) is left out unless `include_background`. Without `squared`, the
    denominator is $\sum p + \sum q + s$.
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    p = probabilities(predictions, from_logits)
    if predictions.shape[-1] > 1 and not include_background:
        targets, p = targets[..., 1:], p[..., 1:]
    distance = ops.absolute(p - targets)
    # At 0 the derivative is 0: a tiny constant in its place keeps the logarithm finite.
    above = ops.exp(gamma * ops.log(at_least(distance, 1e-30)))
    of_voxel = ops.square(p) + ops.square(targets) if squared else p + targets
    if weights is not None:
        above, of_voxel = (x * ops.expand_dims(weights, -1) for x in (above, of_voxel))
    axes = range(1, len(p.shape) - 1)
    return sum_over(above, axes) / (sum_over(of_voxel, axes) + smooth)


def generalized_dice(
    targets,
    predictions,
    weights=None,
    *,
    weight: str = "square",
    from_logits: bool = False,
):
    r"""Generalised Dice coefficient of each image, `(batch,)`.

    $2\sum_l w_l\sum p_l q_l / \sum_l w_l(\sum p_l + \sum q_l)$ over all classes $l$, the background
    among them, with $w_l = 1 / (\sum q_l)^2$ for `weight="square"`, $1 / \sum q_l$ for `"simple"`.
    A class that is not there weighs as much as the rarest one that is.
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    p = probabilities(predictions, from_logits)
    if predictions.shape[-1] == 1:
        p, targets = (ops.concatenate([1 - x, x], axis=-1) for x in (p, targets))
    counted = targets if weights is None else targets * ops.expand_dims(weights, -1)
    weighted = p if weights is None else p * ops.expand_dims(weights, -1)
    axes = range(1, len(p.shape) - 1)
    overlap, drawn = sum_over(weighted * targets, axes), sum_over(counted, axes)
    total = sum_over(weighted, axes) + drawn
    size = drawn if weight == "simple" else ops.square(drawn)
    is_there = drawn > 0
    of_class = ops.where(is_there, 1 / ops.where(is_there, size, ops.ones_like(size)), 0.0)
    rarest = ops.max(of_class, axis=-1, keepdims=True)
    of_class = ops.where(is_there, of_class, rarest)
    below = ops.sum(of_class * total, axis=-1)
    empty = ops.equal(below, 0.0)  # all voxels are ignored
    below = ops.where(empty, ops.ones_like(below), below)
    return ops.where(empty, 1.0, 2 * ops.sum(of_class * overlap, axis=-1) / below)


@keras.saving.register_keras_serializable(package="keras_robust")
class NoiseRobustDice(ImageLoss):
    r"""Noise-robust Dice $\sum|p - q|^\gamma / (\sum p^2 + \sum q^2 + s)$, mean over foregrounds.

    γ = 2 is `SquaredDice`; γ = 1 a mean absolute error, weighted by the size of the object.

    Args:
        gamma: the exponent, 1 <= γ <= 2.
        smooth: the summand $s$ > 0.
        squared: squares in the denominator, as in the paper; without, as in PyMIC, its published
            code.
        include_background: count class 0 of a softmax head, too.
        **options: see `SegmentationLoss`.

    Reference: COPLE-Net, [Wang et al., 2020](https://doi.org/10.1109/TMI.2020.3000314), eq. 5.

    >>> round(float(NoiseRobustDice()([[1, 0]], [[[0.75], [0.0]]])), 4)  # 0.125 / (0.5625 + 1)
    0.08
    """

    takes_logits = True

    def __init__(
        self,
        gamma: float = 1.5,
        smooth: float = 1e-5,
        squared: bool = True,
        include_background: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        if not 1 <= gamma <= 2:
            raise invalid("gamma", "1 <= gamma <= 2", gamma)
        if not smooth > 0:
            raise invalid("smooth", "smooth > 0", smooth)
        self.gamma, self.smooth = float(gamma), float(smooth)
        self.squared, self.include_background = bool(squared), bool(include_background)

    def values(self, targets, predictions, weights):
        of_class = noise_robust_dice(
            targets,
            predictions,
            weights,
            gamma=self.gamma,
            smooth=self.smooth,
            squared=self.squared,
            include_background=self.include_background,
            from_logits=self.from_logits,
        )
        return mean(of_class, -1)

    def get_config(self) -> dict[str, Any]:
        names = ("gamma", "smooth", "squared", "include_background")
        return {**{name: getattr(self, name) for name in names}, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_robust")
class GeneralizedDice(ImageLoss):
    r"""Generalised Dice loss: all classes in one coefficient, rare ones weighing more.

    $1 - 2\sum_l w_l\sum p_l q_l / \sum_l w_l(\sum p_l + \sum q_l)$, with $w_l$ one by the squared
    number of voxels of class $l$ in the mask. A class that is not there weighs as much as the
    rarest that is; an empty mask teaches the background.

    Args:
        weight: `"square"`, or `"simple"`: one by the number of voxels.
        **options: see `SegmentationLoss`.

    Reference: [Sudre et al., 2017](https://arxiv.org/abs/1707.03237), section 2.1.

    >>> # Three of background, one of foreground, weights 1/9 and 1; predicted 0.5 everywhere:
    >>> # 1 - 2 (1.5 / 9 + 0.5) / ((2 + 3) / 9 + 2 + 1) = 1 - 12 / 32
    >>> round(float(GeneralizedDice()([[1, 0, 0, 0]], [[[0.5]] * 4])), 4)
    0.625
    """

    takes_logits = True

    def __init__(self, weight: str = "square", **options: Any):
        super().__init__(**options)
        if weight not in _WEIGHTS:
            raise invalid("weight", f"one of {_WEIGHTS}", weight)
        self.weight = weight

    def values(self, targets, predictions, weights):
        return 1 - generalized_dice(
            targets, predictions, weights, weight=self.weight, from_logits=self.from_logits
        )

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, **super().get_config()}
