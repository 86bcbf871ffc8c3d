"""Tuning: a search of hyper-parameters, resumable, and shared by processes and machines."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.interrupts import interrupts
from keras_robust.reports.names import loss_label
from keras_robust.scheduling.processes import Child
from keras_robust.scheduling.scheduler import WORKER, check_configs, complete_config
from keras_robust.training.records.identity import PATHS, identity
from keras_robust.training.records.inputs import digest_of_inputs
from keras_robust.tuning.loop import Tuning, TuningState
from keras_robust.tuning.objective import PLANNED, WHOLE_IMAGES, Objective
from keras_robust.tuning.results import TuningRecord
from keras_robust.tuning.space import Space, configured, load_space
from keras_robust.tuning.study import Direction, SharedStudy

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from keras_robust.training.config import TrainConfig

__all__ = ["TuningState", "trial_config", "tune"]


def trial_config(
    base: Mapping[str, Any],
    space: Space,
    parameters: Mapping[str, Any],
    epochs: int,
    objective: Objective,
) -> dict[str, Any]:
    """The configuration that a trial trains: what is searched, and nothing that tuning needs not.

    Unless the objective is a figure of other images or masks, trials see the training masks alone:
    clean ones, where there are any, must not choose the hyper-parameters.

    Args:
        base: Fields of `TrainConfig`.
        space: What is searched.
        parameters: Values of the fields that are searched.
        epochs: Of the trial.
        objective: Of the study.

    >>> config = trial_config(
    ...     {"data": {"path": "lesions", "annotator": "crowd", "clean_annotator": "gold"}},
    ...     load_space("svls"), {"loss_options.sigma": 0.5}, 50, Objective("ema:dice_train"))
    >>> config["loss"], config["loss_options"], config["data"]["clean_annotator"]
    ('svls', {'sigma': 0.5}, 'crowd')
    """
    config = configured(base, {**space.fixed, **parameters})
    config |= {"epochs": epochs, "tensorboard": False, "save_predictions": 0}
    if any(word in objective.column for word in ("test", "val", "clean")):
        return config
    data = config["data"] = dict(config.get("data") or {})
    if data.get("annotator"):
        data["clean_annotator"] = data["annotator"]
    # Annotators who are simulated or mixed may have no masks of test images.
    data["test_split"] = None
    if config.get("plan"):
        config["plan"] = config["plan"] | {"validation_steps": 0}
    return config | {"evaluate_last": 0}


def tune(
    config: "TrainConfig | Mapping[str, Any]",
    output: str | Path,
    space: str | Path | Space,
    *,
    trials: int = 30,
    epochs: int = 50,
    objective: str | None = None,
    direction: Direction = "maximize",
    pruner: str = "none",
    storage: "str | BaseStorage | None" = None,
    study: str | None = None,
    label: str | None = None,
    seed: int = 0,
    workers: int = 1,
    threads: int | None = None,
    retries: int = 2,
    retry: bool = False,
    progress: Callable[[TuningState], None] | None = None,
    command: Sequence[str] = WORKER,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = complete_config,
    check: Callable[[Sequence[Mapping[str, Any]]], None] = check_configs,
    content: Callable[[Mapping[str, Any]], str] = digest_of_inputs,
    poll_seconds: float = 1.0,
    beat_seconds: float = 30.0,
) -> TuningRecord:
    """Search the best values of some fields of a training configuration with Optuna's TPE.

    The defaults are the protocol of nnRobustLoss (2026), section 3.2: 30 trials of 50 epochs, and
    the highest moving average of the pseudo-Dice on the training set.

    Calling it again continues, whatever ended it: trials that are done are kept, one that was
    running is taken up at its last checkpoint. Any number of processes and machines may call it
    with one `storage`; together they make `trials` trials. An interrupt (Ctrl-C or SIGTERM) lets
    the trials save their state and is raised again.

    Args:
        config: Training configuration; `best.yaml` has its epochs and all else that is not tuned.
        output: Folder of the study: `study.db`, `tuning.yaml`, `trials.csv`, `best.yaml`,
            `report.html`, and the run folders `trials/`.
        space: What to search: a name of `SPACES`, a YAML file, or a `Space`.
        trials: Number of trials, those that fail for good or are pruned included.
        epochs: Of a trial.
        objective: Column of `history.csv`, or `"ema:"` and a column for its moving average; by
            default `"pseudo_dice_train_ema"` with a plan and `"ema:dice_train"` without.
        direction: `"maximize"` or `"minimize"`.
        pruner: `"none"`, `"median"` or `"halving"`; see `tuning_study.make_pruner`.
        storage: An Optuna storage, its URL, or `journal:FILE`; by default SQLite, `study.db` in
            `output`.
        study: Name of the study in the storage; by default that of the folder.
        label: What figures call the study; by default made from the method.
        seed: Of the sampler.
        workers: Trials at a time, of this process.
        threads: CPU threads per trial; by default the CPUs divided by `workers`.
        retries: How often a trial whose process or machine died is begun anew; none whose error
            the next attempt would meet again, see `scheduler.may_pass`.
        retry: Also try trials again that failed for good in an earlier call.
        progress: Called when something happened, and about every `poll_seconds`.
        command: Start of the command line of the worker; the run folder is added.
        complete: Fills a training configuration with its defaults, and checks it.
        check: Refuses configurations that cannot be trained, as `check_configs` does.
        content: Tells by a hash whether all processes see the same images and masks.
        poll_seconds: How often the processes are looked at.
        beat_seconds: How often to tell other machines that this one lives; they take up the trials
            of one that has been silent for ten times as long.

    Returns:
        What the folder then holds.

    Raises:
        ImportError: Optuna is absent.
        ConnectionError: The storage failed meanwhile; calling it again continues.
        ValueError: The configuration, the space or the objective do not fit, the data cannot be
            read, the storage holds another study or one of other images and masks, or all of the
            first trials failed.
    """
    for name, number in {"trials": trials, "epochs": epochs, "workers": workers}.items():
        if number < 1:
            raise invalid(name, f"{name} >= 1", said=f"{name}={number}")
    base = dict(config) if isinstance(config, Mapping) else _given(config)
    space = space if isinstance(space, Space) else load_space(space)
    goal = Objective(objective or (PLANNED if base.get("plan") else WHOLE_IMAGES))
    sample = _check_space(base, space, epochs, goal, complete, check)
    tuned = complete(configured(base, space.fixed))
    specification = {
        "space": space.written(),
        "objective": goal.name,
        "direction": direction,
        "epochs": epochs,
        "pruner": pruner,
        "config": identity(tuned),
        "content": content(sample),
    }
    folder = Path(output)
    shared = SharedStudy(
        folder,
        space,
        trials,
        storage=storage,
        name=study,
        direction=direction,
        pruner=pruner,
        epochs=epochs,
        seed=seed,
        retries=retries,
        beat_seconds=beat_seconds,
    )
    shared.agree(
        specification,
        # Studies of before have the names of the folders, and no hash of what is in them.
        lambda stored: (
            {"content": specification["content"]}
            | stored
            | {"config": identity(complete(_with_paths(stored["config"], tuned)))}
        ),
    )
    described = {
        "label": label or _label(tuned),
        "study": shared.study.study_name,
        "trials": trials,
        "seed": seed,
        **{key: specification[key] for key in ("objective", "direction", "epochs", "pruner")},
        "space": space.written(),
        "config": tuned,
    }
    atomic_write_text(
        folder / "tuning.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    )
    threads = threads or max(1, (os.cpu_count() or 1) // workers)
    tuning = Tuning(
        shared,
        folder,
        goal,
        lambda parameters: complete(trial_config(base, space, parameters, epochs, goal)),
        lambda parameters: complete(configured(base, {**space.fixed, **parameters})),
        lambda run: Child.start(command, run, threads),
        complete,
        TuningState(trials),
        progress or (lambda state: None),
        workers,
    )
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        # Held: an exception between the start of a process and the note of it would leave it.
        with interrupts() as asked, asked.held(), shared.present():
            if retry:
                shared.retry_failed()
            tuning.run(poll_seconds, asked)
    except (StorageInternalError, SQLAlchemyError) as error:
        raise ConnectionError(
            f"The storage of the study failed: {error.__cause__ or error} The trials at hand were "
            "stopped and saved; the same call continues them once it answers."
        ) from error
    return TuningRecord.read(folder)


def _given(config: "TrainConfig") -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_unset=True)


def _check_space(
    base: Mapping[str, Any],
    space: Space,
    epochs: int,
    objective: Objective,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]],
    check: Callable[[Sequence[Mapping[str, Any]]], None],
) -> dict[str, Any]:
    """Make sure that what a space holds can be trained; returns the configuration of a trial."""
    samples = {name: range_.samples() for name, range_ in space.search.items()}
    configs = []
    for i in range(max(map(len, samples.values()))):
        values = {name: options[i % len(options)] for name, options in samples.items()}
        configs.append(complete(trial_config(base, space, values, epochs, objective)))
    check(configs)
    return configs[-1]


def _with_paths(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the folders of another one."""
    sections = {
        section: {name: other[section][name], **(config.get(section) or {})}
        for section, name in PATHS.items()
        if config.get(section) and other.get(section)
    }
    return {**config, **sections}


def _label(config: Mapping[str, Any]) -> str:
    selection = config.get("selection")
    chosen = {"name": selection["name"]} if selection else None
    return loss_label(str(config["loss"]), None, chosen)
