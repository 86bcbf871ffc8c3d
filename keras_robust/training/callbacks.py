"""Keras callbacks: ν in the history, an early end at NaN, the record of each epoch."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_robust.common.interrupts import Interrupts
from keras_robust.training.state import array_of

OF_AN_OUTPUT = "probabilities"  # begins the names of what Keras logs of each output of several


class NuLogger(keras.callbacks.Callback):
    """Add `nu` and `nu_tilde` of the model's T-Loss to the logs of each epoch, and its
    `log_precision` where it is learned.

    Works with any model compiled with a loss that has `nu` and `nu_tilde`, also within sums, lists
    and dicts of losses; further ones, as that of the second of two peers, are logged as `nu_2`,
    `nu_tilde_2` and so on. Give it before `keras.callbacks.TensorBoard` in the list of callbacks,
    so that TensorBoard shows them.

    >>> from keras_robust.losses import TLoss
    >>> NuLogger.values(TLoss(nu_tilde=0.0))["nu_tilde"]
    0.0
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            # Each of two peers has its own.
            loss = getattr(self.model, "losses_of_peers", None) or self.model.loss
            logs.update(self.values(loss))

    @staticmethod
    def values(loss: Any) -> dict[str, float]:
        """Current parameters of the T-Losses in what `compile` accepts as a loss."""
        from keras_robust import losses

        values: dict[str, float] = {}
        found = [item for item in losses.elementary(loss) if hasattr(item, "nu_tilde")]
        for number, item in enumerate(found, start=1):
            suffix = "" if number == 1 else f"_{number}"
            values[f"nu{suffix}"] = item.nu
            values[f"nu_tilde{suffix}"] = item.nu_tilde
            if getattr(item, "learns_precision", False):
                values[f"log_precision{suffix}"] = item.log_precision
        return values


class DivergenceError(ArithmeticError):
    """The loss of a training step was not finite."""


class StopAtNonFinite(keras.callbacks.Callback):
    """End training with a `DivergenceError` at the first loss that is not finite.

    Args:
        describe: Says which images were in the batch, from epoch and batch, both from 0.
    """

    def __init__(self, describe: Callable[[int, int], str] | None = None):
        super().__init__()
        self.describe = describe
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The mean over the epoch so far: the first that is not finite names the batch.
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            images = f" ({self.describe(self._epoch, batch)})" if self.describe else ""
            raise DivergenceError(
                f"Loss is {loss} in epoch {self._epoch + 1}, batch {batch + 1}{images}. "
                f"Lower the learning rate, or look at these images and masks{_labels(self.model)}."
            )


class StopWhenAsked(keras.callbacks.Callback):
    """Raise KeyboardInterrupt between steps, where a signal asked for it.

    Within a step such an exception may be lost in TensorFlow. The first step of an epoch, for which
    TensorFlow may trace for minutes, and what follows the last are ended at once.

    Args:
        asked: From `keras_robust.common.interrupts`.
    """

    def __init__(self, asked: Interrupts):
        super().__init__()
        self.asked = asked

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.asked.hold(1)
        self.asked.check()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.asked.hold(0)
        self.asked.check()


def _labels(model: Any) -> str:
    """Which labels of masks a loss may end in NaN of, where XLA compiles it."""
    from keras_robust import losses

    shape = getattr(model, "output_shape", None)
    shape = shape[0] if isinstance(shape, list) else shape
    ignored = {term.ignore_label for term in losses.elementary(model.loss)}
    if not isinstance(shape, tuple) or not ignored:
        return ""
    return (
        f": a label that is neither a class, 0 to {max(2, shape[-1]) - 1}, nor the ignore_label of "
        f"the loss, {', '.join(map(str, ignored))}, ends in NaN"
    )


class EpochRecorder(keras.callbacks.Callback):
    """Hand one row of figures per epoch to `record`.

    Args:
        evaluate: Further columns of the row of an epoch (from 0).
        record: Takes the row.
        steps_per_epoch: Training steps per epoch.
    """

    def __init__(
        self,
        evaluate: Callable[[int], Mapping[str, float]],
        record: Callable[[dict[str, Any]], None],
        steps_per_epoch: int,
    ):
        super().__init__()
        self.evaluate, self.record, self.steps_per_epoch = evaluate, record, steps_per_epoch
        self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(array_of(self.model.optimizer.learning_rate))
        logs.update(self.evaluate(epoch))
        self.record(
            {
                "epoch": epoch + 1,
                "step": (epoch + 1) * self.steps_per_epoch,
                "seconds": round(time.monotonic() - self._begin, 3),
                **{key: value for key, value in logs.items() if not key.startswith(OF_AN_OUTPUT)},
            }
        )
