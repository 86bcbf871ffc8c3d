"""From a configuration to a finished run folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_robust import losses
from keras_robust.data import Dataset
from keras_robust.noise import KINDS
from keras_robust.training.build import (
    build_model,
    build_selection,
    compile_model,
    device_scope,
    limit_threads,
    replicas,
)
from keras_robust.training.callbacks import EpochRecorder, NuLogger, StopAtNonFinite
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.config import TrainConfig
from keras_robust.training.evaluation import DiceScores, Evaluator, evaluation_batch_size
from keras_robust.training.labels import TrainingData, prepare
from keras_robust.training.predictions import save_predictions
from keras_robust.training.run import Run, write_csv
from keras_robust.training.source import Source
from keras_robust.training.state import dump_state, load_state
from keras_robust.training.stream import batch_ids, reading_errors, training_stream

Progress = Callable[[str, int, int, Mapping[str, float]], None]


def train(
    config: TrainConfig,
    folder: str | Path,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a U-Net on a dataset folder and leave a run folder.

    Every epoch ends with a checkpoint that survives a kill; a run that was killed and resumed
    equals one that was not, bit for bit on one CPU set-up.

    Args:
        config: What to train on and how.
        folder: Run folder, made when missing.
        resume: Continue the run in `folder`: from its newest valid checkpoint, or from the start
            where it has none. A finished run is left as it is.
        progress: Called as `progress(stage, done, total, figures)`: stage `"data"` while masks are
            read and corrupted, `"step"` after each training step with its loss, `"epoch"` after
            each epoch with its row of the history.

    Returns:
        The finished run.

    Raises:
        ValueError: The configuration, the dataset and the folder do not fit together; an image
            cannot be read; or Keras runs on another backend than TensorFlow.
        DivergenceError: The loss became NaN or infinite; epoch, batch and images are named.
        KeyboardInterrupt: Ctrl-C; the run is marked interrupted and can be resumed.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Invalid value for the backend of Keras. Expected 'tensorflow', which `train` needs "
            f"(losses and models work on every backend). Received: {keras.backend.backend()!r}. "
            "Set the environment variable KERAS_BACKEND=tensorflow before Keras is imported."
        )
    limit_threads(config.threads)  # before anything, as that of the loss, starts TensorFlow
    losses.get(config.loss, **config.loss_options)  # raise before the folder is touched
    build_selection(config)
    run = Run(folder)
    with run.claimed(config, resume):
        if run.status != "finished":
            with run.recording(config) as note, reading_errors():
                _train(config, run, note, progress or _silent)
    return run


def _train(config: TrainConfig, run: Run, note: Callable[..., None], progress: Progress) -> None:
    dataset = Dataset.open(config.data.path)
    data = prepare(dataset, config, run.folder, lambda done, n: progress("data", done, n, {}))
    note(image_shape=list(data.image_shape), classes=dataset.classes, devices=replicas())

    keras.utils.set_random_seed(config.seed)
    with device_scope():
        model = build_model(config, data.image_shape, dataset.classes)
        compile_model(model, config, dataset.ignore_label)

    checkpoints = Checkpoints(run.folder / "checkpoints")
    rows: list[dict[str, Any]] = []
    newest = checkpoints.newest()
    if newest is not None:
        load_state(model, newest[1]["state.npz"])
        rows = json.loads(newest[1]["history.json"])
    run.write_history(rows)

    batch_size = min(config.batch_size, len(data.train.ids))
    if batch_size % replicas():
        raise ValueError(
            f"Invalid value for argument `batch_size`. Expected a multiple of {replicas()}, the "
            f"number of devices. Received: batch_size={batch_size}"
        )
    steps = len(data.train.ids) // batch_size
    scorer = _Scorer(model, data, config)

    def record(row: dict[str, Any]) -> None:
        rows.append(row)
        files = {"state.npz": dump_state(model), "history.json": json.dumps(rows).encode()}
        checkpoints.save(row["epoch"], files)
        run.write_history(rows)
        progress("epoch", row["epoch"], config.epochs, row)

    def report_step(batch: int, logs: Mapping[str, float]) -> None:
        progress("step", len(rows) * steps + batch + 1, config.epochs * steps, logs)

    def describe(epoch: int, batch: int) -> str:
        return ", ".join(batch_ids(data.train.ids, batch_size, config.seed, epoch, batch))

    if len(rows) < config.epochs:
        callbacks = [
            StopAtNonFinite(describe),
            keras.callbacks.LambdaCallback(on_train_batch_end=report_step),
            NuLogger(),
            EpochRecorder(scorer.columns, record, steps),
        ]
        if config.tensorboard:
            callbacks.append(
                keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False)
            )
        stream = training_stream(
            data.train,
            batch_size=batch_size,
            seed=config.seed,
            first_epoch=len(rows),
            augment=config.augment,
            normalize=config.data.normalize,
            threads=config.threads,
        )
        model.fit(
            stream,
            epochs=config.epochs,
            initial_epoch=len(rows),
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )
    note(results=_finish(run, model, data, config, scorer, rows))


class _Scorer:
    """The Dice columns of the history."""

    def __init__(self, model: keras.Model, data: TrainingData, config: TrainConfig):
        self.config, self.kinds = config, data.kinds

        def evaluator(source: Source) -> Evaluator:
            return Evaluator(
                model,
                source,
                batch_size=evaluation_batch_size(data.image_shape, config.model.features),
                normalize=config.data.normalize,
                threads=config.threads,
                ignore_label=data.ignore_label,
            )

        self.train = evaluator(data.train_clean)
        self.test = evaluator(data.test) if data.test is not None else None

    def columns(self, epoch: int) -> dict[str, float]:
        last = epoch + 1 == self.config.epochs
        columns: dict[str, float] = {}
        if last or (epoch + 1) % self.config.evaluate_every == 0:
            columns |= memorisation(self.train.scores(), self.kinds)
        if self.test is not None and epoch >= self.config.epochs - self.config.evaluate_last:
            scores = self.test.scores()
            columns["dice_test"] = float(scores.per_image.mean())
            columns["dice_test_pooled"] = scores.pooled
        return columns


def memorisation(scores: DiceScores, kinds: np.ndarray) -> dict[str, float]:
    """Mean Dice of training predictions against clean masks, overall and per kind of noise."""
    columns = {"dice_train": float(scores.per_image.mean())}
    for kind in ("clean", *KINDS):
        chosen = scores.per_image[kinds == kind]
        if len(chosen):
            columns[f"dice_train_{kind}"] = float(chosen.mean())
    return columns


def _finish(
    run: Run,
    model: keras.Model,
    data: TrainingData,
    config: TrainConfig,
    scorer: _Scorer,
    rows: list[dict[str, Any]],
) -> dict[str, float]:
    save_predictions(run.folder / "predictions", model, data, config)
    if scorer.test is None:
        return {}
    final = scorer.test.scores()
    test_rows = [
        {"id": id, "dice": float(dice)}
        for id, dice in zip(scorer.test.ids, final.per_image, strict=True)
    ]
    write_csv(run.folder / "test.csv", ["id", "dice"], test_rows)
    last = [row for row in rows if "dice_test" in row]
    return {
        "dice_test": float(np.mean([row["dice_test"] for row in last])),
        "dice_test_std_images": float(final.per_image.std()),
        "dice_test_pooled": float(np.mean([row["dice_test_pooled"] for row in last])),
    }


def _silent(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
    pass
