"""What the machines of one run do: all train, the first writes, the others assist."""

import json
import tempfile
import zlib
from typing import Any

import keras

from keras_robust.common.errors import invalid
from keras_robust.common.interrupts import Interrupts
from keras_robust.data import Dataset
from keras_robust.training.callbacks import StopAtNonFinite, StopWhenAsked
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.config import TrainConfig
from keras_robust.training.devices import device_scope
from keras_robust.training.records.identity import identity
from keras_robust.training.run import Run
from keras_robust.training.state import load_state
from keras_robust.training.whole_images.task import WholeImages

__all__ = ["assist", "fit_together", "meet", "require_simple"]


def require_simple(config: TrainConfig) -> None:
    """Refuse what several machines do not train together.

    Raises:
        ValueError: The configuration asks for it.
    """
    refused = {
        "plan": config.plan is not None,
        "selection": config.selection is not None,
        "stop": config.stop is not None,
        "precision": config.precision == "mixed_float16",
    }
    for name in (name for name, asked in refused.items() if asked):
        raise invalid(
            "TF_CONFIG",
            f"one machine for a configuration with `{name}`: several train whole images, one "
            "network, all epochs, in float32 or bfloat16",
            said=f"TF_CONFIG of several machines, and {name}",
            remedy="Unset TF_CONFIG, and give each machine runs of its own.",
        )


def assist(config: TrainConfig, run: Run, asked: Interrupts) -> None:
    """Train with the machine that writes the run, and write nothing.

    Raises:
        ConnectionError: Another machine has stopped.
        ValueError: The machines do not see the same folder, configuration and checkpoints.
    """
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset.open(config.data.path)
        task = WholeImages(dataset, config, Run(scratch), lambda *_: None)
        keras.utils.set_random_seed(config.seed)
        with device_scope():
            model = task.build()
        checkpoints = Checkpoints(run.folder / "checkpoints")
        meet(model, config, checkpoints)
        newest, done = checkpoints.newest(), 0
        if newest is not None:
            load_state(model, newest[1]["state.npz"])
            done = len(json.loads(newest[1]["history.json"]))
        if done < config.epochs:
            fit_together(
                model,
                task.stream(done),
                epochs=config.epochs,
                initial_epoch=done,
                steps_per_epoch=task.steps,
                callbacks=[StopWhenAsked(asked), StopAtNonFinite(task.describe)],
            )
        meet(model, config)


def fit_together(model: keras.Model, batches: Any, **options: Any) -> None:
    """`fit` on several machines; see `fit_across_machines`."""
    from keras_robust.training.machines.loop import fit_across_machines

    fit_across_machines(model, batches, **options)


def meet(model: keras.Model, config: TrainConfig, checkpoints: Checkpoints | None = None) -> None:
    """Wait for all machines, and see to it that they train the same run.

    Args:
        model: Compiled, in the scope of the machines' strategy.
        config: Of the run.
        checkpoints: Those to continue from, once the first machine has the folder ready.

    Raises:
        ConnectionError: Another machine has stopped.
        ValueError: They do not see the same configuration and checkpoints.
    """
    from keras_robust.training.machines.loop import agree_on

    def agree(known: Any) -> bool:
        text = json.dumps(known, sort_keys=True, default=str)
        return agree_on(zlib.crc32(text.encode()) & 0xFFFF, model.distribute_strategy)

    if not agree(identity(config.model_dump())):
        raise invalid(
            "config",
            "one configuration on all machines of TF_CONFIG",
            said="several",
            remedy="Give the same command on each machine.",
        )
    if checkpoints is not None and not agree(checkpoints.numbers()):
        raise invalid(
            "output",
            "one folder, on a file system that all machines of TF_CONFIG share",
            said=f"other checkpoints than in {str(checkpoints.folder)!r} on another machine",
            remedy="Give the same command on each machine.",
        )
