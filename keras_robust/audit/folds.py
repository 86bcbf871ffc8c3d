"""Out-of-sample predictions by cross-validation: one run folder per fold."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from keras_robust.audit.inputs import AuditInputs
from keras_robust.common.errors import invalid
from keras_robust.common.files import locked
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.images import image_shape
from keras_robust.data.files.maps import has_map, write_map
from keras_robust.data.files.volume_header import is_volume
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import (
    StudyState,
    check_configs,
    complete_config,
    run_planned,
)
from keras_robust.scheduling.worker import LOCK

FOLDS = "folds"
MOST_VOXELS = 96  # along an axis of volumes, where no size is given
# What an audit has no use for, and what decides on which images are trained on.
_FIXED = {"save_predictions": 0, "evaluate_last": 1, "evaluate_every": 1, "tensorboard": False}


def training_config(
    inputs: AuditInputs, split: str | None, training: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration that all folds share, every field included.

    Args:
        inputs: What is judged and trained on.
        split: Only images of this split.
        training: Fields of `TrainConfig` but for the dataset, annotators, splits and folds. For
            volumes, the default of `data.size` is their median shape, at most 96 along each axis,
            and that of `batch_size` is 2.

    Raises:
        ValueError: Fields that an audit sets by itself, or that do not fit.
    """
    data = {
        "path": str(inputs.dataset.root.resolve()),
        "annotator": inputs.trained_on,
        # The audit must not look at other masks than those it trains on.
        "clean_annotator": inputs.trained_on,
        "train_split": split,
        "test_split": None,
        # Then test.csv of a run names all that it has not seen.
        "test_limit": None,
    }
    given = training.get("data") or {}
    clash = [f"data.{name}" for name in given if name in (*data, "fold")]
    clash += [name for name in training if name in _FIXED]
    if clash:
        raise invalid(
            "training",
            "fields that an audit leaves open, such as epochs or data.size",
            said=f"{', '.join(clash)}, which it sets by itself",
        )
    shape = _typical_shape(inputs.dataset)
    defaults: dict[str, Any] = {}
    if len(shape) == 3:
        size = [min(MOST_VOXELS, 8 * ceil(length / 8)) for length in shape]
        given, defaults = {"size": size, **given}, {"batch_size": 2}
    config = complete_config({**defaults, **training, **_FIXED, "data": {**given, **data}})
    # Dice on the training images is not looked at: once, at the end, is the least.
    return config | {"evaluate_every": config["epochs"]}


def _typical_shape(dataset: Dataset) -> tuple[int, ...]:
    """Median shape of the volumes of a dataset; (H, W) of the first image of others."""
    paths = {case.id: case.image for case in dataset}
    if not any(is_volume(path) for path in paths.values()):
        return image_shape(next(iter(paths.values())))
    shapes = [image_shape(path) for path in paths.values()]
    return tuple(int(length) for length in np.median(shapes, axis=0))


def check_folds(config: Mapping[str, Any], folds: int, inputs: AuditInputs) -> None:
    """Make sure that the folds can be filled, the loss exists and the data can be read.

    Raises:
        ValueError: They cannot, or it does not.
    """
    from keras_robust.training.choosing import choose_fold
    from keras_robust.training.config import DataConfig

    options = DataConfig(**config["data"]).model_copy(update={"fold": (0, folds)})
    choose_fold(Dataset.open(options.path), inputs.trained_on, options)
    check_configs([{**config, "data": {**config["data"], "fold": (0, folds)}}])


def train_folds(
    config: Mapping[str, Any],
    folds: int,
    output: Path,
    *,
    jobs: int = 1,
    threads: int | None = None,
    progress: Callable[[StudyState], None] | None = None,
) -> list[Path]:
    """Train a model per fold on the images outside it; finished ones are left alone.

    A fold that another process trains is waited for.

    Args:
        config: See `training_config`.
        folds: How many.
        output: Folder of the audit.
        jobs: Folds at a time.
        threads: CPU threads per fold; by default the CPUs divided by `jobs`.
        progress: See `run_benchmark`.

    Returns:
        The run folders, by fold.

    Raises:
        ValueError: A fold failed.
    """
    plans = [
        PlannedRun(
            f"fold-{number + 1}",
            {**config, "data": {**config["data"], "fold": (number, folds)}},
            f"fold {number + 1} of {folds}",
        )
        for number in range(folds)
    ]
    while True:
        state = run_planned(
            plans,
            output / FOLDS,
            jobs=jobs,
            threads=threads,
            retry=True,
            progress=progress,
            check=lambda configs: None,  # see `check_folds`
        )
        elsewhere = [run.folder for run in state.runs if run.state == "elsewhere"]
        if not elsewhere:
            break
        # An audit that was killed leaves a fold that trains on to its end: wait for that.
        with locked(elsewhere[0] / LOCK):
            pass
    for run in state.runs:
        if run.state == "failed":
            raise ValueError(
                f"Training of {run.plan.label} failed: {run.error} ({run.folder / 'log.txt'} has "
                "more). The same command again tries it once more."
            )
        if run.state != "finished":
            raise ValueError(
                f"Training of {run.plan.label} was stopped. The same command again continues."
            )
    return [run.folder for run in state.runs]


def predict_folds(
    runs: Sequence[Path],
    inputs: AuditInputs,
    folder: Path,
    channels: int,
    progress: Progress | None = None,
) -> None:
    """Predict every image by the model of a fold that has not seen it.

    Images that the annotator who was trained on has no mask of, and no model has seen, go to the
    fold of their group, else to the first. Predictions that are there are left alone.

    Args:
        runs: From `train_folds`.
        inputs: What is judged.
        folder: Of the predictions.
        channels: Of a prediction.
        progress: Called as `progress(done, total)`.

    Raises:
        ValueError: Every model has seen one of the images.
    """
    by_id = {case.id: case for case in inputs.cases}
    waiting = [case for case in by_id.values() if not has_map(folder, case.id, channels)]
    fold_of = _held_out(inputs, runs)
    done = len(by_id) - len(waiting)
    for number, run in enumerate(runs):
        chosen = [case for case in waiting if fold_of[case.id] == number]
        if not chosen:
            continue
        from keras_robust.inference.predict import Predictor

        for case, probabilities in Predictor.load(run).cases(chosen):
            write_map(folder, case.id, probabilities, like=case.image)
            done += 1
            if progress is not None:
                progress(done, len(by_id))


def _held_out(inputs: AuditInputs, runs: Sequence[Path]) -> dict[str, int]:
    """Fold of every image, as the runs themselves wrote which ones they held out.

    Raises:
        ValueError: Every run has trained on an image.
    """
    trained = inputs.dataset.select(annotator=inputs.trained_on)
    fold_of: dict[str, int] = {}
    for number, run in enumerate(runs):
        fold_of |= dict.fromkeys(RunRecord.read(run).tested["id"], number)
    seen = [id for id in trained.ids if id not in fold_of]
    if seen:
        raise invalid(
            "dataset",
            "the folds that the models were trained with",
            said=f"others, since every model has seen {seen[:3]} (of {len(seen)})",
            remedy=(
                "Restore manifest.csv, or audit the dataset anew into another folder (--output)."
            ),
        )
    of_group = {case.group: fold_of[case.id] for case in trained if case.group}

    def fold(case: Case) -> int:
        return fold_of.get(case.id, of_group.get(case.group, 0) if case.group else 0)

    return {case.id: fold(case) for case in inputs.cases}
