"""The loop of tuning: processes that train trials are begun, watched, and begun anew."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text, locked
from keras_robust.common.interrupts import Interrupts
from keras_robust.scheduling.processes import LOST, Crew, Piece
from keras_robust.scheduling.records import RunRecord, count_epochs, read_status
from keras_robust.scheduling.scheduler import is_free, may_pass, record_failure
from keras_robust.scheduling.worker import BUSY, LOCK
from keras_robust.training.records.identity import identity
from keras_robust.tuning.objective import Objective
from keras_robust.tuning.results import run_folder, write_results
from keras_robust.tuning.study import SharedStudy, number_of

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Tuning", "TuningState"]

_SILENCE_SECONDS = 600
# Errors that the hyper-parameters bring about: to give up would be no remedy.
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
    """A trial that this process looks after; `piece` is None while an older process trains it."""

    trial: "Trial"
    folder: Path
    piece: Piece | None = None
    reported: int = 0
    begun_at: int = 0
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"trial {number_of(self.trial)}"


@dataclass
class Tuning:
    """Trains the trials that this process claims, until all have come to their end.

    Args:
        shared: The trials.
        folder: Of the study.
        objective: What the history of a run is worth.
        to_train: Makes the configuration of a trial from its parameters.
        to_keep: Makes the configuration of `best.yaml` from the best ones.
        crew: Who trains the trials.
        command: Start of the command line of the worker; the run folder is added.
        complete: Fills a training configuration with its defaults.
        state: Told to `progress`.
        progress: Called when something happened, and at each look.
    """

    shared: SharedStudy
    folder: Path
    objective: Objective
    to_train: Callable[[Mapping[str, Any]], dict[str, Any]]
    to_keep: Callable[[Mapping[str, Any]], dict[str, Any]]
    crew: Crew
    command: Sequence[str]
    complete: Callable[[Mapping[str, Any]], dict[str, Any]]
    state: TuningState
    progress: Callable[[TuningState], None]
    running: list[_Running] = field(default_factory=list)
    told: float = field(default_factory=time.monotonic)

    def run(self, poll_seconds: float, asked: Interrupts) -> None:
        """Until all trials have come to their end, here or in other processes.

        Raises:
            KeyboardInterrupt: It was asked, while signals were held.
        """
        self._write()
        beaten = -math.inf
        try:
            while True:
                if time.monotonic() - beaten >= self.shared.beat_seconds:
                    beaten = time.monotonic()
                    self._each(lambda run: self.shared.beat(run.trial))
                    self.shared.take_over()
                while self._has_room() and (trial := self.shared.claim()):
                    self._begin(trial)
                if not self.running and self.shared.settled:
                    break
                self._tell()
                # With nothing of its own, a process waits for the others, whose machines may die.
                asked.wait(poll_seconds if self.running else self.shared.beat_seconds)
                asked.check()
                self._each(self._attend)
        finally:
            self.crew.stop(self._pieces(), asked)
            self._each(lambda run: self.shared.hand_over(run.trial))
            self._write(report=True)

    def _pieces(self) -> list[Piece]:
        return [run.piece for run in self.running if run.piece is not None]

    def _has_room(self) -> bool:
        # An older process that trains one of the trials is as busy as one of this command's.
        waited_for = len(self.running) - len(self._pieces())
        return self.crew.free(self._pieces()) > waited_for

    def _each(self, act: Callable[[_Running], None]) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        for run in list(self.running):
            try:
                act(run)
            except UpdateFinishedTrialError:
                # This process was silent for so long that another one took the trial.
                self.crew.stop([run.piece] if run.piece is not None else [])
                self.running.remove(run)

    def _begin(self, trial: "Trial") -> None:
        run = _Running(trial, run_folder(self.folder, number_of(trial)))
        run.begun_at = count_epochs(run.folder)
        run.folder.mkdir(parents=True, exist_ok=True)
        self.running.append(run)
        config = self.to_train(trial.params)
        record = RunRecord.read(run.folder)
        # Fields that a newer version added have their defaults in what an older one stored.
        if record.config and identity(self.complete(record.config)) != identity(config):
            raise invalid(
                "output",
                "a folder without trials of another study",
                said=f"{str(run.folder)!r}, which holds one",
                remedy="Take another folder, or delete `trials` in it.",
            )
        if is_free(run.folder):
            # Paths may differ between machines.
            content = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            atomic_write_text(run.folder / "config.yaml", content)
            run.piece = self.crew.start(self.command, run.folder)
        self._tell(f"{run} {'resumed' if record.config else 'started'}")

    def _attend(self, run: _Running) -> None:
        code = None if run.piece is None else run.piece.poll()
        ended = is_free(run.folder) if run.piece is None else code is not None
        history = RunRecord.read(run.folder).history
        if len(history):
            self.objective.check(history)
        for epoch, value in self.objective.curve(history):
            if epoch > run.reported and math.isfinite(value):
                run.reported = epoch
                run.trial.report(value, epoch)
        if ended:
            self._settle(run, code)
        elif run.piece is not None and run.reported and run.trial.should_prune():
            self.crew.stop([run.piece])
            if read_status(run.folder) == "finished":  # meanwhile
                self._settle(run, 0)
            else:
                self._end(run, "pruned", self.shared.prune)

    def _settle(self, run: _Running, code: int | None) -> None:
        if code == BUSY:  # the process of a tuning that was killed goes on to its end
            run.piece = None
            return
        if read_status(run.folder) == "finished":
            value = self.objective.value(RunRecord.read(run.folder).history)
            if math.isfinite(value):
                self._end(run, f"{value:.4f}", lambda trial: self.shared.complete(trial, value))
            else:
                self._fail(run, f"the objective {self.objective.name} is {value}")
            return
        if code == LOST:
            self._hand_over(run, f"{run} is to be continued: its machine went away")
            return
        error = _error(run.folder, code)
        attempts = int(run.trial.user_attrs.get("attempts", 0)) + 1
        if attempts > self.shared.retries or not may_pass(error):
            self._fail(run, error)
            return
        run.trial.set_user_attr("attempts", attempts)
        if self.crew.free([piece for piece in self._pieces() if piece is not run.piece]) < 1:
            self._hand_over(run, f"{run} died ({error}); waits for a worker")
            return
        run.piece = self.crew.start(self.command, run.folder)
        self._tell(f"{run} died ({error}); taken up again")

    def _hand_over(self, run: _Running, message: str) -> None:
        # As for the runs of a study: a loss after which the trial had come on is a pause.
        self.shared.hand_over(run.trial, lost=run.reported <= run.begun_at)
        self.running.remove(run)
        self._tell(message)

    def _fail(self, run: _Running, error: str) -> None:
        self._end(run, f"failed ({error})", lambda trial: self.shared.fail(trial, error))
        ended = [trial for trial in self.shared.counted() if trial.state.is_finished()]
        errors = [trial.user_attrs.get("error", "") for trial in ended]
        if len(ended) >= 3 and all(e and not any(word in e for word in _NAN) for e in errors):
            raise invalid(
                "config",
                "one that can be trained",
                said=(
                    f"one of which {len(ended)} trials failed, the last in {run.folder}: {error}"
                ),
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
        if report:
            from keras_robust.tuning.report import write_tuning_report  # slow to import

            write_tuning_report(self.folder)
        self.state.settled = sum(trial.state.is_finished() for trial in counted)
        if best is not None:
            self.state.best, self.state.best_trial = best.value, number_of(best)
        times = [trial.user_attrs["seconds"] for trial in counted if "seconds" in trial.user_attrs]
        if times:
            left = self.state.trials - self.state.settled
            self.state.seconds_left = left * sum(times) / len(times) / max(1, len(self.running))


def _error(folder: Path, code: int | None) -> str:
    if code is None:
        return str(RunRecord.read(folder).info.get("error") or "its process died")
    try:
        with locked(folder / LOCK, wait=False):
            return record_failure(folder, code)
    except BlockingIOError:
        return "another process took it up"
