"""nnU-Net's optimiser and its schedule."""

from typing import Any

import keras
from keras import ops

from keras_robust.losses.keras_private import has_weight_decay, sum_before_clipping
from keras_robust.training.config import PlanConfig

__all__ = ["PenalizedSGD", "make_optimizer", "polynomial_decay"]

DECAY_EXPONENT = 0.9


@keras.saving.register_keras_serializable(package="keras_robust")
class PenalizedSGD(keras.optimizers.SGD):
    """Stochastic gradient descent with an L2 penalty on the weights.

    `penalty` times each weight is added to its gradient, after clipping, so that momentum gathers
    it as well: with a momentum of 0.99 a hundred times as strong as `weight_decay`, which Keras
    takes off the weights apart from the gradient. Parameters of a loss are exempt.

    Args:
        penalty: Factor of the weights.
        **options: Of `keras.optimizers.SGD`.

    >>> weight = keras.Variable(2.0)
    >>> optimizer = PenalizedSGD(penalty=0.5, learning_rate=0.1)
    >>> optimizer.apply([keras.ops.convert_to_tensor(1.0)], [weight])
    >>> round(float(weight.value), 4)  # 2 - 0.1 (1 + 0.5 * 2)
    1.8
    """

    def __init__(self, penalty: float = 0.0, **options: Any):
        super().__init__(**options)
        self.penalty = float(penalty)

    def update_step(self, gradient, variable, learning_rate):
        if self.penalty and has_weight_decay(self, variable):
            gradient = gradient + ops.cast(self.penalty, gradient.dtype) * ops.cast(
                variable, gradient.dtype
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "penalty": self.penalty}


def make_optimizer(config: PlanConfig) -> keras.optimizers.Optimizer:
    """The optimiser of a planned run.

    >>> make_optimizer(PlanConfig(folder="plan")).momentum
    0.99
    """
    shared: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "global_clipnorm": config.clip_norm,
    }
    if config.optimizer == "adam":
        return sum_before_clipping(
            keras.optimizers.AdamW(weight_decay=config.weight_decay, **shared)
        )
    return sum_before_clipping(
        PenalizedSGD(
            config.weight_decay, momentum=config.momentum, nesterov=config.momentum > 0, **shared
        )
    )


def polynomial_decay(learning_rate: float, epoch: int, epochs: int) -> float:
    """Learning rate of an epoch, from 0: falls to nearly 0, more slowly at first.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 4.

    >>> polynomial_decay(0.01, 0, 100), round(polynomial_decay(0.01, 99, 100), 6)
    (0.01, 0.000158)
    """
    return learning_rate * (1 - epoch / epochs) ** DECAY_EXPONENT
