"""From a configuration to a finished run folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_robust import losses
from keras_robust.common.interrupts import Interrupts, interrupts
from keras_robust.common.progress import FiguresProgress
from keras_robust.data import Dataset
from keras_robust.training.build import build_selection
from keras_robust.training.callbacks import (
    EpochRecorder,
    NuLogger,
    StopAtNonFinite,
    StopWhenAsked,
)
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.config import TrainConfig
from keras_robust.training.devices import (
    data_parallel,
    device_scope,
    join_machines,
    joined,
    limit_threads,
    machines_together,
    replicas,
    require_trainable,
)
from keras_robust.training.feeding.reading import reading_errors
from keras_robust.training.machines.together import assist, fit_together, meet, require_simple
from keras_robust.training.memorising.correction import CORRECTED
from keras_robust.training.memorising.looks import (
    COPIES,
    HELD_OUT,
    around,
    averaged,
    is_over,
    kept_of,
    looks,
    tell,
)
from keras_robust.training.records.inputs import dataset_of, move_data, require_inputs, set_paths
from keras_robust.training.run import Run
from keras_robust.training.state import dump_state, load_state, weights_of
from keras_robust.training.task import Task
from keras_robust.training.whole_images.task import WholeImages


def train(
    config: TrainConfig,
    folder: str | Path,
    resume: bool = False,
    progress: FiguresProgress | None = None,
    across_machines: bool = False,
) -> Run:
    """Train a U-Net on a dataset folder and leave a run folder.

    Every epoch ends with a checkpoint that survives a kill; a run that was killed and resumed
    equals one that was not, bit for bit on one CPU set-up.

    Args:
        config: What to train on and how.
        folder: Run folder, made when missing.
        resume: Continue the run in `folder`: from its newest valid checkpoint, or from the start
            where it has none. A finished run is left as it is, but for files that are damaged:
            they are made again.
        progress: Called as `progress(stage, done, total, figures)`: stage `"data"` while masks are
            read and corrupted, `"step"` after each training step with its loss, `"epoch"` after
            each epoch with its row of the history, `"predict"` while the windows of a volume are
            predicted at the end.
        across_machines: Train with all machines that the variable TF_CONFIG names, or all tasks of
            a step of SLURM, each in the same call, with the same folder and data set before it. The
            first of them writes.

    Returns:
        The finished run.

    Raises:
        DamagedFileError: A file of a finished run is damaged, and there is no checkpoint to make it
            again from.
        ValueError: The configuration, the dataset and the folder do not fit together; an image
            cannot be read; or there is no training here, see `require_trainable`.
        DivergenceError: The loss became NaN or infinite; epoch, batch and images are named.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step at hand; the run is marked interrupted
            and can be resumed.
        ConnectionError: Another machine of the run has stopped.
    """
    require_trainable(across_machines)
    limit_threads(config.threads)  # before anything, as that of the loss, starts TensorFlow
    several = across_machines and machines_together() > 1
    if several:
        require_simple(config)
    writes = not several or join_machines()
    losses.get(config.loss, **config.loss_options)  # raise before the folder is touched
    build_selection(config)
    run = Run(folder)
    if not writes:
        with interrupts() as asked, reading_errors():
            assist(config, run, asked, _task)
        return run
    with interrupts() as asked, run.claimed(config, resume):
        damage = run.damage if run.status == "finished" else None
        if damage and not run.has_checkpoint:
            raise damage
        if run.status == "finished" and config.data.path != run.config.data.path:
            move_data(run.folder, config.data.path)
        if run.status != "finished" or damage:
            with run.recording(config, asked) as note, reading_errors(), data_parallel():
                _train(config, run, note, progress or _silent, asked)
    return run


def _train(
    config: TrainConfig,
    run: Run,
    note: Callable[..., None],
    progress: FiguresProgress,
    asked: Interrupts,
) -> None:
    dataset = dataset_of(run.folder, config.data.path)
    require_inputs(run.folder, dataset, config.data, run.has_checkpoint)
    set_paths(run.folder, config.model_dump())  # once the files are seen to be the same
    task = _task(dataset, config, run, progress)
    if joined():
        meet(config)  # the others prepare once this one has: cases lie where all see them
    note(**task.facts, devices=replicas())

    keras.utils.set_random_seed(config.seed)
    with device_scope():
        model = task.build()

    folder = run.folder / "checkpoints"
    checkpoints, best = Checkpoints(folder), Checkpoints(folder / "best", keep=1)
    watched = Checkpoints(folder / "watched", keep=COPIES)  # epochs of which one may be kept
    checkpoints.tidy()
    best.tidy()
    watched.tidy()
    rows: list[dict[str, Any]] = []
    if joined():
        meet(config, checkpoints)
    newest = checkpoints.newest()
    if newest is not None:
        load_state(model, newest[1]["state.npz"])
        rows = json.loads(newest[1]["history.json"])
    run.write_history(rows)

    def record(row: dict[str, Any]) -> None:
        rows.append(row)
        files = {"state.npz": dump_state(model), "history.json": json.dumps(rows).encode()}
        # First, since a resumed run does not look back to epochs before its checkpoint.
        if task.is_best(rows):
            best.save(row["epoch"], files)
        if HELD_OUT in row:
            watched.save(row["epoch"], files)
        checkpoints.save(row["epoch"], files)
        run.write_history(rows)
        progress("epoch", row["epoch"], config.epochs, row)

    def report_step(batch: int, logs: Mapping[str, float]) -> None:
        done = len(rows) * task.steps + batch + 1
        progress("step", done, config.epochs * task.steps, logs)

    def end_where_over(epoch: int, logs: Mapping[str, float]) -> None:
        over = CORRECTED not in rows[-1] and is_over(*looks(rows))
        model.stop_training = model.stop_training or over

    def fit() -> None:
        if len(rows) >= config.epochs:
            return
        callbacks = [
            StopWhenAsked(asked),
            *task.callbacks(),
            StopAtNonFinite(task.describe),
            keras.callbacks.LambdaCallback(on_train_batch_end=report_step),
            NuLogger(),
            EpochRecorder(lambda epoch: task.columns(epoch, rows), record, task.steps),
            keras.callbacks.LambdaCallback(on_epoch_end=end_where_over),
        ]
        if config.tensorboard and keras.backend.backend() == "tensorflow":
            callbacks.append(
                keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False)
            )
        options = {
            "epochs": config.epochs,
            "initial_epoch": len(rows),
            "steps_per_epoch": task.steps,
            "callbacks": callbacks,
        }
        if joined():
            fit_together(model, task.stream(len(rows)), **options)
        else:
            model.fit(task.stream(len(rows)), shuffle=False, verbose=0, **options)

    if not is_over(*looks(rows)):
        fit()
    if passes := looks(rows)[0]:
        held = set(watched.numbers()) & set(passes)
        over, kept = is_over(*looks(rows)), kept_of(*looks(rows), held)
        together = around(kept, held)
        if config.correct and over and isinstance(task, WholeImages):
            if CORRECTED in rows[-1]:
                task.recall()
            else:
                changed = task.correct([watched.read(n)["state.npz"] for n in together])
                load_state(model, watched.read(kept)["state.npz"])
                said = f" Masks were corrected in {changed:.1%} of their pixels."
                note(message=tell(kept, passes[-1], over) + said)
            note(kept=kept)
            fit()
        else:
            files = watched.read(kept)
            _average(model, files["state.npz"], [watched.read(n)["state.npz"] for n in together])
            checkpoints.save(kept, files | {"state.npz": dump_state(model)})
            note(kept=kept, message=tell(kept, passes[-1], over, together))
    note(results=task.finish(rows))
    if joined():
        meet(config)


def _average(model: keras.Model, kept: bytes, states: Sequence[bytes]) -> None:
    """Load a state, but for the weights: they are the means over all states."""
    weights = weights_of(model, states)
    load_state(model, kept)
    model.set_weights(averaged(model.get_weights(), weights))


def _task(dataset: Dataset, config: TrainConfig, run: Run, progress: FiguresProgress) -> Task:
    if config.plan is None:
        return WholeImages(dataset, config, run, progress)
    from keras_robust.training.patches.task import PlannedTask

    return PlannedTask(dataset, config, config.plan, run, progress)


def _silent(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    pass
