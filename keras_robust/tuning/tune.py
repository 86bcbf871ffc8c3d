"""Tuning: a search of hyper-parameters, resumable, and shared by processes and machines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keras_robust.common.files import atomic_write_text
from keras_robust.common.interrupts import interrupts
from keras_robust.reports.names import loss_label
from keras_robust.scheduling.processes import Processes
from keras_robust.training.records.identity import PATHS, identity
from keras_robust.tuning.loop import Tuning, TuningState
from keras_robust.tuning.objective import PLANNED, WHOLE_IMAGES, Objective
from keras_robust.tuning.options import TuningOptions
from keras_robust.tuning.results import TuningRecord
from keras_robust.tuning.space import Space, configured, load_space
from keras_robust.tuning.study import SharedStudy

if TYPE_CHECKING:
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
    options: TuningOptions | None = None,
    *,
    progress: Callable[[TuningState], None] | None = None,
    **changes: Any,
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
        options: How to search; by default as `TuningOptions` says.
        progress: Called when something happened, and about every `poll_seconds`.
        changes: Fields of `TuningOptions`, over those of `options`.

    Returns:
        What the folder then holds.

    Raises:
        ImportError: Optuna is absent.
        ConnectionError: The storage failed meanwhile; calling it again continues.
        ValueError: The configuration, the space or the objective do not fit, the data cannot be
            read, the storage holds another study or one of other images and masks, or all of the
            first trials failed.
    """
    asked = replace(options or TuningOptions(), **changes)
    base = dict(config) if isinstance(config, Mapping) else _given(config)
    space = space if isinstance(space, Space) else load_space(space)
    goal = Objective(asked.objective or (PLANNED if base.get("plan") else WHOLE_IMAGES))
    goal.require_known()
    search = _Search(base, space, goal, asked)
    sample = search.check()
    folder = Path(output)
    shared = _agreed(folder, search, sample)
    tuning = Tuning(
        shared,
        folder,
        goal,
        search.to_train,
        search.to_keep,
        asked.crew or Processes(asked.workers, asked.threads),
        asked.command,
        asked.complete,
        TuningState(asked.trials),
        progress or (lambda state: None),
    )
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        # Held: an exception between the start of a process and the note of it would leave it.
        with interrupts() as stop, stop.held(), shared.present():
            if asked.retry:
                shared.retry_failed()
            tuning.run(asked.poll_seconds, stop)
    except (StorageInternalError, SQLAlchemyError) as error:
        raise ConnectionError(
            f"The storage of the study failed: {error.__cause__ or error} The trials at hand were "
            "stopped and saved; the same call continues them once it answers."
        ) from error
    return TuningRecord.read(folder)


def _given(config: "TrainConfig") -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True)
class _Search:
    """A space of configurations around one, and what makes a trial of a point in it."""

    base: Mapping[str, Any]
    space: Space
    goal: Objective
    asked: TuningOptions

    def to_train(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a trial."""
        made = trial_config(self.base, self.space, parameters, self.asked.epochs, self.goal)
        return self.asked.complete(made)

    def to_keep(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that `best.yaml` holds."""
        return self.asked.complete(configured(self.base, {**self.space.fixed, **parameters}))

    def check(self) -> dict[str, Any]:
        """Make sure that what the space holds can be trained; returns one trial's configuration."""
        samples = {name: range_.samples() for name, range_ in self.space.search.items()}
        configs = []
        for i in range(max(map(len, samples.values()))):
            configs.append(
                self.to_train({name: choice[i % len(choice)] for name, choice in samples.items()})
            )
        self.asked.check(configs)
        return configs[-1]


def _agreed(folder: Path, search: _Search, sample: Mapping[str, Any]) -> SharedStudy:
    """The trials of a study that is begun, or is the same as when it was; its `tuning.yaml`."""
    asked, space = search.asked, search.space
    tuned = search.to_keep({})
    about = {
        "objective": search.goal.name,
        "direction": asked.direction,
        "epochs": asked.epochs,
        "pruner": asked.pruner,
    }
    content = asked.content(sample)
    shared = SharedStudy(
        folder,
        space,
        asked.trials,
        storage=asked.storage,
        name=asked.study,
        direction=asked.direction,
        pruner=asked.pruner,
        epochs=asked.epochs,
        seed=asked.seed,
        retries=asked.retries,
        heartbeat_seconds=asked.heartbeat_seconds,
    )
    shared.agree(
        {"space": space.written(), **about, "config": identity(tuned), "content": content},
        # Studies of before have the names of the folders, and no hash of what is in them.
        lambda stored: (
            {"content": content}
            | stored
            | {"config": identity(asked.complete(_with_paths(stored["config"], tuned)))}
        ),
    )
    described = {
        "label": asked.label or _label(tuned),
        "study": shared.study.study_name,
        "trials": asked.trials,
        "seed": asked.seed,
        **about,
        "space": space.written(),
        "config": tuned,
    }
    written = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    atomic_write_text(folder / "tuning.yaml", written)
    return shared


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
