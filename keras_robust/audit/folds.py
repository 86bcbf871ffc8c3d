"""Out-of-sample predictions by cross-validation: one run folder per fold."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_robust.audit.given.models import mean_and_spread
from keras_robust.audit.inputs import AuditInputs
from keras_robust.common.errors import invalid
from keras_robust.common.files import locked
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.maps import has_map, write_map
from keras_robust.data.parts import WHOLE, Part
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.processes import Crew
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import check_configs, run_planned
from keras_robust.scheduling.state import StudyState
from keras_robust.scheduling.worker import LOCK

if TYPE_CHECKING:
    from keras_robust.inference.ensemble import Predicts

FOLDS = "folds"


def check_folds(config: Mapping[str, Any], folds: int, inputs: AuditInputs) -> None:
    """Make sure that the folds can be filled, the loss exists and the data can be read.

    Raises:
        ValueError: They cannot, or it does not.
    """
    from keras_robust.training.choosing import choose_fold
    from keras_robust.training.config import DataConfig

    options = DataConfig(**config["data"]).model_copy(update={"fold": (0, folds)})
    choose_fold(Dataset.open(options.path), inputs.trained_on, options)
    # The plan is made later.
    check_configs([{**config, "plan": None, "data": {**config["data"], "fold": (0, folds)}}])


def train_folds(
    config: Mapping[str, Any],
    folds: int,
    output: Path,
    *,
    repeats: int = 1,
    part: Part = WHOLE,
    crew: Crew | None = None,
    progress: Callable[[StudyState], None] | None = None,
) -> list[list[Path]]:
    """Train a model per fold on the images outside it; finished ones are left alone.

    A fold that another process trains is waited for.

    Args:
        config: See `keras_robust.audit.judges.judge_config`.
        folds: How many.
        output: Folder of the audit.
        repeats: How often each is trained, with other seeds.
        part: Which of the runs are this machine's.
        crew: Who trains them; by default one process of this machine after the other.
        progress: See `run_benchmark`.

    Returns:
        The run folders, by fold, those of one fold together; of a part one list.

    Raises:
        ValueError: A fold failed.
    """
    plans = [
        _planned(config, number, folds, repeat)
        for repeat in range(repeats)
        for number in range(folds)
    ]
    while True:
        state = run_planned(
            part.of(plans),
            output / FOLDS,
            crew=crew,
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
    if part != WHOLE:
        return [[run.folder for run in state.runs]]
    return [[run.folder for run in state.runs[number::folds]] for number in range(folds)]


def _planned(config: Mapping[str, Any], number: int, folds: int, repeat: int) -> PlannedRun:
    data = {**config["data"], "fold": (number, folds)}
    name, label = f"fold-{number + 1}", f"fold {number + 1} of {folds}"
    if repeat:
        name, label = f"{name}-again-{repeat}", f"{label}, time {repeat + 1}"
    seed = config.get("seed", 0) + repeat
    return PlannedRun(name, {**config, "seed": seed, "data": data}, label)


def predict_folds(
    runs: Sequence[Sequence[Path]],
    inputs: AuditInputs,
    folder: Path,
    spread: Path,
    channels: int,
    progress: Progress | None = None,
) -> None:
    """Predict every image by the model of a fold that has not seen it.

    Images that the annotator who was trained on has no mask of, and no model has seen, go to the
    fold of their group, else to the first. Predictions that are there are left alone.

    Args:
        runs: From `train_folds`.
        inputs: What is judged.
        folder: Of the predictions, the means of the runs of a fold.
        spread: Where to write how far several runs of a fold disagree.
        channels: Of a prediction.
        progress: Called as `progress(done, total)`.

    Raises:
        ValueError: Every model has seen one of the images.
    """
    by_id = {case.id: case for case in inputs.cases}
    waiting = [case for case in by_id.values() if not has_map(folder, case.id, channels)]
    fold_of = _held_out(inputs, [of_fold[0] for of_fold in runs])
    done = len(by_id) - len(waiting)
    for number, of_fold in enumerate(runs):
        chosen = [case for case in waiting if fold_of[case.id] == number]
        if not chosen:
            continue
        each = [_judge(run).cases(chosen) for run in of_fold]
        for predicted in zip(*each, strict=True):
            case = predicted[0][0]
            mean, apart = mean_and_spread([probabilities for _, probabilities in predicted])
            if apart is not None:
                write_map(spread, case.id, apart[..., np.newaxis], like=case.image)
            # Last: where it is there, the other is.
            write_map(folder, case.id, mean, like=case.image)
            done += 1
            if progress is not None:
                progress(done, len(by_id))


def _judge(run: Path) -> "Predicts":
    """A trained model, which looks at pictures mirrored too, as it was trained."""
    from keras_robust.inference.predict import Predictor
    from keras_robust.training import Run

    judge = Predictor.load(run)
    if isinstance(judge, Predictor) and len(judge.size) == 2 and Run(run).config.augment:
        return judge.mirrored()
    return judge


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
