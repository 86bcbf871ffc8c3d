"""Cross entropy and its relatives: CE, GCE, SCE, and the focal loss.

Each is a pure function of targets and predictions `(batch, *spatial, channels)` that returns one
value per voxel `(batch, *spatial)`, and a thin Keras class over it. Targets are probabilities
(one-hot or soft); one channel means the probability of the foreground.
"""

from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import VoxelLoss
from keras_robust.losses.passive import reverse_cross_entropy
from keras_robust.losses.probabilities import FLOOR, expectation, log_probabilities
from keras_robust.losses.targets import at_least


def cross_entropy(targets, predictions, *, from_logits: bool = False):
    r"""Cross entropy $-\sum_k q_k \ln p_k$ of each voxel, `(batch, *spatial)`.

    >>> import numpy as np
    >>> q, p = np.array([[[1.0], [0.0]]]), np.array([[[0.5], [0.5]]])
    >>> np.round(np.asarray(cross_entropy(q, p)), 3).tolist()
    [[0.693, 0.693]]
    """
    targets = ops.convert_to_tensor(targets)
    return -expectation(targets, *log_probabilities(predictions, from_logits))


def generalized_cross_entropy(targets, predictions, *, q: float = 0.7, from_logits: bool = False):
    r"""Generalised cross entropy $\sum_k t_k (1 - p_k^q) / q$ of each voxel, `(batch, *spatial)`.

    Targets $t$, exponent $0 < q \le 1$: cross entropy for q → 0, mean absolute error for q = 1
    ([Zhang & Sabuncu, 2018](https://arxiv.org/abs/1805.07836)).
    """
    targets = ops.convert_to_tensor(targets)
    return (1 - expectation(targets, *power_of_probabilities(predictions, q, from_logits))) / q


def power_of_probabilities(predictions, q: float, from_logits: bool) -> tuple:
    # exp(q log p): its gradient q p^q needs no division by p, so that p = 0 is harmless.
    foreground, background = log_probabilities(predictions, from_logits)
    if background is None:
        return ops.exp(q * foreground), None
    return ops.exp(q * foreground), ops.exp(q * background)


def focal_loss(
    targets,
    predictions,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    from_logits: bool = False,
):
    r"""Focal loss $-\sum_k \alpha_k q_k (1 - p_k)^\gamma \ln p_k$ of each voxel.

    Args:
        targets: probabilities $q$ `(batch, *spatial, channels)`.
        predictions: of the same shape.
        gamma: exponent γ >= 0; 0 is cross entropy.
        alpha: weight of every foreground class, and one minus it that of the background; None
            weighs all alike with 1.
        from_logits: whether predictions are logits.

    Returns:
        `(batch, *spatial)`.
    """
    targets = ops.convert_to_tensor(targets)
    foreground, background = log_probabilities(predictions, from_logits)
    if background is None:
        others = ops.log(at_least(1 - ops.exp(foreground), FLOOR))
        of_class = -ops.exp(gamma * others) * foreground
        if alpha is not None:
            classes = int(of_class.shape[-1])
            weights = [1 - alpha, *[alpha] * (classes - 1)]
            of_class = of_class * ops.convert_to_tensor(weights, dtype=of_class.dtype)
        return expectation(targets, of_class)
    of_foreground = -ops.exp(gamma * background) * foreground
    of_background = -ops.exp(gamma * foreground) * background
    if alpha is not None:
        of_foreground, of_background = alpha * of_foreground, (1 - alpha) * of_background
    return expectation(targets, of_foreground, of_background)


@keras.saving.register_keras_serializable(package="keras_robust")
class CE(VoxelLoss):
    r"""Cross entropy $-\sum_k q_k \ln p_k$; binary and multi-class, see `SegmentationLoss`.

    >>> round(float(CE()([[1, 0]], [[[0.5], [0.5]]])), 4)
    0.6931
    """

    takes_logits = True

    def values(self, targets, predictions):
        return cross_entropy(targets, predictions, from_logits=self.from_logits)


@keras.saving.register_keras_serializable(package="keras_robust")
class GCE(VoxelLoss):
    r"""Generalised cross entropy $(1 - p_y^q) / q$ ([Zhang & Sabuncu, 2018]).

    Args:
        q: exponent, 0 < q <= 1.
        **options: see `SegmentationLoss`.

    [Zhang & Sabuncu, 2018]: https://arxiv.org/abs/1805.07836

    >>> round(float(GCE(q=1.0)([[1, 0]], [[[0.9], [0.2]]])), 4)  # (0.1 + 0.2) / 2
    0.15
    """

    takes_logits = True

    def __init__(self, q: float = 0.7, **options: Any):
        super().__init__(**options)
        if not 0 < q <= 1:
            raise invalid("q", "0 < q <= 1", q, "Use CE() for the limit q = 0.")
        self.q = float(q)

    def values(self, targets, predictions):
        return generalized_cross_entropy(
            targets, predictions, q=self.q, from_logits=self.from_logits
        )

    def get_config(self) -> dict[str, Any]:
        return {"q": self.q, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_robust")
class SCE(VoxelLoss):
    r"""Symmetric cross entropy $\alpha\,\mathrm{CE} + \beta\,\mathrm{RCE}$ ([Wang et al., 2019]).

    Args:
        alpha: weight of the cross entropy, >= 0.
        beta: weight of the reverse cross entropy, >= 0.
        clamp: smallest target inside the logarithm of the reverse cross entropy.
        **options: see `SegmentationLoss`.

    [Wang et al., 2019]: https://arxiv.org/abs/1908.06112
    """

    takes_logits = True

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, clamp: float = 1e-4, **options: Any):
        super().__init__(**options)
        if alpha < 0:
            raise invalid("alpha", "alpha >= 0", alpha)
        if beta < 0:
            raise invalid("beta", "beta >= 0", beta)
        if not 0 < clamp < 1:
            raise invalid("clamp", "0 < clamp < 1", clamp)
        self.alpha, self.beta, self.clamp = float(alpha), float(beta), float(clamp)

    def values(self, targets, predictions):
        forward = cross_entropy(targets, predictions, from_logits=self.from_logits)
        reverse = reverse_cross_entropy(
            targets, predictions, clamp=self.clamp, from_logits=self.from_logits
        )
        return self.alpha * forward + self.beta * reverse

    def get_config(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "beta": self.beta, "clamp": self.clamp}
        return {**own, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_robust")
class Focal(VoxelLoss):
    r"""Focal loss $-\alpha_y (1 - p_y)^\gamma \ln p_y$: what is right already counts little.

    Made for rare classes, not for wrong labels: a voxel that a wrong mask labels is hard to learn,
    and counts most.

    Args:
        gamma: exponent γ >= 0; 0 is `CE`.
        alpha: weight of every foreground class, 0 to 1, with one minus it for the background;
            None weighs all alike with 1.
        **options: see `SegmentationLoss`.

    Reference: [Lin et al., 2017](https://arxiv.org/abs/1708.02002), eq. 4 and 5.

    >>> round(float(Focal()([[1, 0]], [[[0.5], [0.5]]])), 4)  # 0.5² ln 2
    0.1733
    """

    takes_logits = True

    def __init__(self, gamma: float = 2.0, alpha: float | None = None, **options: Any):
        super().__init__(**options)
        if not 0 <= gamma < float("inf"):
            raise invalid("gamma", "gamma >= 0", gamma)
        if alpha is not None and not 0 <= alpha <= 1:
            raise invalid("alpha", "0 <= alpha <= 1, or None", alpha)
        self.gamma, self.alpha = float(gamma), None if alpha is None else float(alpha)

    def values(self, targets, predictions):
        return focal_loss(
            targets,
            predictions,
            gamma=self.gamma,
            alpha=self.alpha,
            from_logits=self.from_logits,
        )

    def get_config(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "alpha": self.alpha, **super().get_config()}
