"""A training loop for several machines, which `fit` of Keras 3 does not serve.

Each machine makes the same batches and takes its part of each.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_robust.models import CoTeaching

__all__ = ["agree_on", "fit_across_machines"]


def fit_across_machines(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train as `fit` does, each machine in the same call.

    Args:
        model: Compiled, made in the scope of a `tf.distribute` strategy.
        batches: Endless; the same on each machine.
        epochs, initial_epoch, steps_per_epoch: As of `fit`.
        callbacks: Of this machine.

    Raises:
        ConnectionError: Another machine has stopped.
    """
    strategy = model.distribute_strategy

    def of_machine(context: Any) -> tf.data.Dataset:
        replicas, machine = strategy.num_replicas_in_sync, context.input_pipeline_id
        here = replicas // context.num_input_pipelines

        def shares(*batch: Any) -> tf.data.Dataset:
            parted = tf.nest.map_structure(
                lambda part: tf.reshape(part, (replicas, -1, *part.shape[1:])), batch
            )
            own = slice(machine * here, (machine + 1) * here)
            return tf.data.Dataset.from_tensor_slices(
                tf.nest.map_structure(lambda part: part[own], parted)
            )

        return batches.flat_map(shares).prefetch(2 * here)

    @tf.function
    def step(iterator: Any) -> Any:
        logs = strategy.run(model.train_step, args=(next(iterator),))
        return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

    iterator = iter(strategy.distribute_datasets_from_function(of_machine))
    told = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch
    )
    model.stop_training = False
    told.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        if isinstance(model, CoTeaching):
            model.epoch.assign(float(epoch))
        told.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        for number in range(steps_per_epoch):
            told.on_train_batch_begin(number)
            logs = {name: float(value) for name, value in _alive(step, iterator).items()}
            told.on_train_batch_end(number, logs)
        # Of all machines, where those of a step are means over the devices.
        logs = {name: float(value) for name, value in _alive(model.get_metrics_result).items()}
        told.on_epoch_end(epoch, logs)
    told.on_train_end(logs)


def agree_on(number: int) -> bool:
    """Wait for all machines, and say whether each came with the same number.

    To be called in the scope of their strategy.

    Raises:
        ConnectionError: Another machine has stopped.
    """
    strategy = tf.distribute.get_strategy()

    @tf.function
    def spread(own: tf.Tensor) -> tf.Tensor:
        given = strategy.run(lambda: tf.stack([own, own * own]))
        return strategy.reduce("MEAN", given, axis=None)

    mean, of_squares = map(float, _alive(spread, tf.constant(float(number), tf.float64)))
    return abs(of_squares - mean * mean) < 0.5 and mean == number


def _alive(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
        raise ConnectionError(
            "Another machine of this run has stopped, or cannot be reached. The same command with "
            "--resume on each machine goes on from the last epoch."
        ) from error
