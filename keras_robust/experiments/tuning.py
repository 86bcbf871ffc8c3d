"""Tuning: the trials of a study, each trained in a process of its own; resumable, shareable."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keras_robust.experiments.children import Child, sigterm_interrupts, stop
from keras_robust.experiments.labels import loss_label
from keras_robust.experiments.runs import RunRecord, read_status
from keras_robust.experiments.scheduler import (
    WORKER,
    check_losses,
    complete_config,
    is_free,
    record_failure,
)
from keras_robust.experiments.tuning_objective import PLANNED, WHOLE_IMAGES, Objective
from keras_robust.experiments.tuning_results import TuningRecord, run_folder, write_results
from keras_robust.experiments.tuning_space import Space, configured, load_space
from keras_robust.experiments.tuning_study import Direction, SharedStudy, number_of
from keras_robust.experiments.worker import BUSY
from keras_robust.files import atomic_write_text, locked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import Trial

    from keras_robust.training.config import TrainConfig

__all__ = ["TuningState", "trial_config", "tune"]

_SILENCE_SECONDS = 600
# Errors that the hyper-parameters bring about: to try again, or to give up, would be no remedy.
_NAN = ("DivergenceError", "the objective ")


@dataclass
class TuningState:
    """Where a study stands, given to the `progress` callback.

    `settled` trials of `trials` have come to an end, `best` is the best value, `best_trial` the
    number of its trial; `message` says what happened, or every ten minutes what goes on.
    """

    trials: int
    settled: int = 0
    best: float | None = None
    best_trial: int | None = None
    seconds_left: float | None = None
    message: str = ""


@dataclass
class _Running:
    """A trial that this process looks after; `child` is None while an older process trains it."""

    trial: "Trial"
    folder: Path
    child: Child | None = None
    reported: int = 0
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"trial {number_of(self.trial)}"


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
    progress: Callable[[TuningState], None] | None = None,
    command: Sequence[str] = WORKER,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = complete_config,
    check: Callable[[Sequence[tuple[Any, ...]]], None] = check_losses,
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
        storage: URL of an Optuna storage, or one; by default SQLite, `study.db` in `output`.
        study: Name of the study in the storage; by default that of the folder.
        label: What figures call the study; by default made from the method.
        seed: Of the sampler.
        workers: Trials at a time, of this process.
        threads: CPU threads per trial; by default the CPUs divided by `workers`.
        retries: How often a trial whose process or machine died is begun anew.
        progress: Called when something happened, and about every `poll_seconds`.
        command: Start of the command line of the worker; the run folder is added.
        complete: Fills a training configuration with its defaults, and checks it.
        check: Refuses losses and selections that do not exist, as `check_losses` does.
        poll_seconds: How often the processes are looked at.
        beat_seconds: How often to tell other machines that this one lives; they take up the trials
            of one that has been silent for ten times as long.

    Returns:
        What the folder then holds.

    Raises:
        ImportError: Optuna is absent.
        ValueError: The configuration, the space or the objective do not fit, the storage holds
            another study, or all of the first trials failed.
    """
    for name, number in {"trials": trials, "epochs": epochs, "workers": workers}.items():
        if number < 1:
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected {name} >= 1. "
                f"Received: {name}={number}."
            )
    base = dict(config) if isinstance(config, Mapping) else _given(config)
    space = space if isinstance(space, Space) else load_space(space)
    goal = Objective(objective or (PLANNED if base.get("plan") else WHOLE_IMAGES))
    _check_space(base, space, epochs, goal, complete, check)
    tuned = complete(configured(base, space.fixed))
    specification = {
        "space": space.written(),
        "objective": goal.name,
        "direction": direction,
        "epochs": epochs,
        "pruner": pruner,
        "config": _portable(tuned),
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
        lambda stored: stored | {"config": _portable(complete(stored["config"]))},
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
    tuning = _Tuning(
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
    with sigterm_interrupts(), shared.present():
        tuning.run(poll_seconds)
    return TuningRecord.read(folder)


@dataclass
class _Tuning:
    shared: SharedStudy
    folder: Path
    objective: Objective
    to_train: Callable[[Mapping[str, Any]], dict[str, Any]]
    to_keep: Callable[[Mapping[str, Any]], dict[str, Any]]
    start_child: Callable[[Path], Child]
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]
    state: TuningState
    progress: Callable[[TuningState], None]
    workers: int
    running: list[_Running] = field(default_factory=list)
    told: float = field(default_factory=time.monotonic)

    def run(self, poll_seconds: float) -> None:
        """Until all trials have come to their end, here or in other processes."""
        self._write()
        beaten = -math.inf
        try:
            while True:
                if time.monotonic() - beaten >= self.shared.beat_seconds:
                    beaten = time.monotonic()
                    self._each(lambda run: self.shared.beat(run.trial))
                    self.shared.take_over()
                while len(self.running) < self.workers and (trial := self.shared.claim()):
                    self._begin(trial)
                if not self.running and self.shared.settled:
                    break
                self._tell()
                # With nothing of its own, a process waits for the others, whose machines may die.
                time.sleep(poll_seconds if self.running else self.shared.beat_seconds)
                self._each(self._attend)
        finally:
            stop([run.child for run in self.running if run.child is not None])
            self._each(lambda run: self.shared.hand_over(run.trial))
            self._write(report=True)

    def _each(self, act: Callable[[_Running], None]) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        for run in list(self.running):
            try:
                act(run)
            except UpdateFinishedTrialError:
                # This process was silent for so long that another one took the trial.
                stop([run.child] if run.child is not None else [])
                self.running.remove(run)

    def _begin(self, trial: "Trial") -> None:
        run = _Running(trial, run_folder(self.folder, number_of(trial)))
        run.folder.mkdir(parents=True, exist_ok=True)
        self.running.append(run)
        config = self.to_train(trial.params)
        record = RunRecord.read(run.folder)
        # Fields that a newer version added have their defaults in what an older one stored.
        if record.config and _portable(self.complete(record.config)) != _portable(config):
            raise ValueError(
                "Invalid value for argument `output`. Expected a folder without trials of another "
                f"study. Received: {str(run.folder)!r}, which holds one. Take another folder, or "
                "delete `trials` in it."
            )
        if is_free(run.folder):
            # Paths may differ between machines.
            content = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            atomic_write_text(run.folder / "config.yaml", content)
            run.child = self.start_child(run.folder)
        self._tell(f"{run} {'resumed' if record.config else 'started'}")

    def _attend(self, run: _Running) -> None:
        code = None if run.child is None else run.child.process.poll()
        ended = is_free(run.folder) if run.child is None else code is not None
        history = RunRecord.read(run.folder).history
        if len(history):
            self.objective.check(history)
        for epoch, value in self.objective.curve(history):
            if epoch > run.reported and math.isfinite(value):
                run.reported = epoch
                run.trial.report(value, epoch)
        if ended:
            self._settle(run, code)
        elif run.child is not None and run.reported and run.trial.should_prune():
            stop([run.child])
            self._end(run, "pruned", self.shared.prune)

    def _settle(self, run: _Running, code: int | None) -> None:
        if code == BUSY:  # the process of a tuning that was killed goes on to its end
            run.child = None
            return
        if run.child is not None:
            run.child.log.close()
        if read_status(run.folder) == "finished":
            value = self.objective.value(RunRecord.read(run.folder).history)
            if math.isfinite(value):
                self._end(run, f"{value:.4f}", lambda trial: self.shared.complete(trial, value))
            else:
                self._fail(run, f"the objective {self.objective.name} is {value}")
            return
        error = _error(run.folder, code)
        attempts = int(run.trial.user_attrs.get("attempts", 0)) + 1
        if any(word in error for word in _NAN) or attempts > self.shared.retries:
            self._fail(run, error)
            return
        run.trial.set_user_attr("attempts", attempts)
        run.child = self.start_child(run.folder)
        self._tell(f"{run} died ({error}); taken up again")

    def _fail(self, run: _Running, error: str) -> None:
        self._end(run, f"failed ({error})", lambda trial: self.shared.fail(trial, error))
        ended = [trial for trial in self.shared.counted() if trial.state.is_finished()]
        errors = [trial.user_attrs.get("error", "") for trial in ended]
        if len(ended) >= 3 and all(e and not any(word in e for word in _NAN) for e in errors):
            raise ValueError(
                "Invalid value for argument `config`. Expected one that can be trained. Received "
                f"one of which {len(ended)} trials failed, the last in {run.folder}: {error}"
            )

    def _end(self, run: _Running, what: str, tell: "Callable[[Trial], None]") -> None:
        history = RunRecord.read(run.folder).history
        # What another process trained before counts as well.
        trained = float(history["seconds"].sum()) if "seconds" in history else 0.0
        seconds = round(max(trained, time.monotonic() - run.started), 1)
        for key, value in {"epochs": len(history), "seconds": seconds}.items():
            run.trial.set_user_attr(key, value)
        tell(run.trial)
        self.running.remove(run)
        self._write()
        self._tell(f"{run}: {what}")

    def _tell(self, message: str = "") -> None:
        if not message and time.monotonic() - self.told > _SILENCE_SECONDS:
            message = ", ".join(f"{run} in epoch {run.reported + 1}" for run in self.running)
        if message:
            self.told = time.monotonic()
        self.state.message = message
        self.progress(self.state)

    def _write(self, report: bool = False) -> None:
        counted = self.shared.counted()
        best = write_results(self.folder, counted, self.shared.study, self.to_keep, report)
        self.state.settled = sum(trial.state.is_finished() for trial in counted)
        if best is not None:
            self.state.best, self.state.best_trial = best.value, number_of(best)
        times = [trial.user_attrs["seconds"] for trial in counted if "seconds" in trial.user_attrs]
        if times:
            left = self.state.trials - self.state.settled
            self.state.seconds_left = left * sum(times) / len(times) / self.workers


def _given(config: "TrainConfig") -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_unset=True)


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says on every machine: folders by name, and no threads."""
    kept = {k: v for k, v in config.items() if k not in ("threads", "tensorboard")}
    for section, path in {"data": "path", "plan": "folder"}.items():
        if isinstance(kept.get(section), Mapping):
            kept[section] = kept[section] | {path: Path(str(kept[section].get(path))).name}
    return kept


def _check_space(
    base: Mapping[str, Any],
    space: Space,
    epochs: int,
    objective: Objective,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]],
    check: Callable[[Sequence[tuple[Any, ...]]], None],
) -> None:
    samples = {name: range_.samples() for name, range_ in space.search.items()}
    losses: list[tuple[Any, ...]] = []
    for i in range(max(map(len, samples.values()))):
        values = {name: options[i % len(options)] for name, options in samples.items()}
        config = complete(trial_config(base, space, values, epochs, objective))
        selection = config.get("selection")
        losses.append((config["loss"], config["loss_options"], *([selection] if selection else ())))
    check(losses)


def _label(config: Mapping[str, Any]) -> str:
    selection = config.get("selection")
    chosen = {"name": selection["name"]} if selection else None
    return loss_label(str(config["loss"]), None, chosen)


def _error(folder: Path, code: int | None) -> str:
    if code is None:
        return str(RunRecord.read(folder).info.get("error") or "its process died")
    try:
        with locked(folder / "worker.lock", wait=False):
            return record_failure(folder, code)
    except BlockingIOError:
        return "another process took it up"
