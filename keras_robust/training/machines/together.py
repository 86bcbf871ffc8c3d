"""What the machines of one run do: all train, the first writes, the others assist."""

import json
import tempfile
import zlib
from collections.abc import Callable
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
from keras_robust.training.task import Task

__all__ = ["assist", "fit_together", "meet", "require_simple"]


def require_simple(config: TrainConfig) -> None:
    """Refuse what several machines do not train together.

    Raises:
        ValueError: The configuration asks for it.
    """
    refused = {
        "stop": config.stop is not None,
        "precision": config.precision == "mixed_float16",
    }
    for name in (name for name, asked in refused.items() if asked):
        raise invalid(
            "TF_CONFIG",
            f"one machine for a configuration with `{name}`: several train all epochs, in float32 "
            "or bfloat16",
            said=f"several machines, and {name}",
            remedy="Unset TF_CONFIG, or take one task of SLURM, and give each machine runs of its "
            "own.",
        )


def assist(config: TrainConfig, run: Run, asked: Interrupts, task_of: Callable[..., Task]) -> None:
    """Train with the machine that writes the run, and write nothing.

    Args:
        config: Of the run.
        run: That the other machine writes.
        asked: To stop.
        task_of: Makes the task of a dataset, a configuration, a run and a function to call with
            progress.

    Raises:
        ConnectionError: Another machine has stopped.
        ValueError: The machines do not see the same folder, configuration and checkpoints.
    """
    with tempfile.TemporaryDirectory() as scratch:
        meet(config)
        dataset = Dataset.open(config.data.path)
        task = task_of(dataset, config, Run(scratch), lambda *_: None)
        keras.utils.set_random_seed(config.seed)
        with device_scope():
            model = task.build()
        checkpoints = Checkpoints(run.folder / "checkpoints")
        meet(config, checkpoints)
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
                callbacks=[
                    StopWhenAsked(asked),
                    *task.callbacks(),
                    StopAtNonFinite(task.describe),
                ],
            )
        meet(config)


def fit_together(model: keras.Model, batches: Any, **options: Any) -> None:
    """`fit` on several machines; see `fit_across_machines`."""
    from keras_robust.training.machines.loop import fit_across_machines

    fit_across_machines(model, batches, **options)


def meet(config: TrainConfig, checkpoints: Checkpoints | None = None) -> None:
    """Wait for all machines, and see to it that they train the same run.

    Args:
        config: Of the run.
        checkpoints: Those to continue from, once the first machine has the folder ready.

    Raises:
        ConnectionError: Another machine has stopped.
        ValueError: They do not see the same configuration and checkpoints.
    """
    from keras_robust.training.machines.loop import agree_on

    def agree(known: Any) -> bool:
        text = json.dumps(known, sort_keys=True, default=str)
        with device_scope():
            return agree_on(zlib.crc32(text.encode()) & 0xFFFF)

    if not agree(identity(config.model_dump())):
        raise invalid(
            "config",
            "one configuration on all machines of a run",
            said="several",
            remedy="Give the same command on each machine, or TF_CONFIG of this one alone to each.",
        )
    if checkpoints is not None and not agree(checkpoints.numbers()):
        raise invalid(
            "output",
            "one folder, on a file system that all machines of a run share",
            said=f"other checkpoints than in {str(checkpoints.folder)!r} on another machine",
            remedy="Give the same command on each machine.",
        )
