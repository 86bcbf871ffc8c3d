"""Building and compiling the model of a configuration, on the devices that there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_robust import losses
from keras_robust.models import CoTeaching, Selection, build_network, get_selection
from keras_robust.training.config import TrainConfig
from keras_robust.training.devices import jit_compiles


def build_model(config: TrainConfig, image_shape: tuple[int, ...], classes: int) -> keras.Model:
    """The network of a configuration, or two as peers, not compiled.

    Args:
        config: Of the run.
        image_shape: (H, W, C), or with three axes.
        classes: Of the dataset, background included; 2 gives one sigmoid channel.
    """

    def network() -> keras.Model:
        return build_network(
            config.model.name,
            image_shape,
            classes=1 if classes == 2 else classes,
            features=config.model.features,
            max_features=config.model.max_features,
            depth=config.model.depth,
        )

    with dtype_policy(config.precision):
        selection = build_selection(config)
        return network() if selection is None else CoTeaching(network, selection, seed=config.seed)


def build_selection(config: TrainConfig) -> Selection | None:
    """How the peers of a configuration choose voxels; None for one network.

    Raises:
        ValueError: Options that the selection does not take.
    """
    chosen = config.selection
    return None if chosen is None else get_selection(chosen.name, **chosen.options)


def compile_model(model: keras.Model, config: TrainConfig, ignore_label: int | None = None) -> None:
    """Compile with the loss of a configuration and Adam, whose state is made at once."""
    options = dict(config.loss_options)
    if ignore_label is not None:
        options.setdefault("ignore_label", ignore_label)
    loss = losses.get(config.loss, **options)
    compile_with(model, config, keras.optimizers.Adam(config.learning_rate), loss)


def compile_with(
    model: keras.Model, config: TrainConfig, optimizer: Any, loss: Any, **options: Any
) -> None:
    """Compile with an optimiser, whose state is made at once, and further options of `compile`."""
    if config.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer=optimizer,
        loss=loss,
        **options,
        jit_compile=jit_compiles(),
    )
    model.optimizer.build(model.trainable_variables)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Keras dtype policy of the layers that are made meanwhile."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
