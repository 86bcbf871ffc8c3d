"""The trials of a tuning study, in a storage that several processes and machines may share.

A trial counts unless it failed without an `error`: then it was given up for another that takes it
up, and the same run folder, anew; or unless a later one has the same run folder. What no process
may miss, a count of trials that is right whoever dies when, follows from the trials alone: those of
the lowest run folders count.
"""

import json
import re
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.files import locked
from keras_robust.training.records.identity import differences
from keras_robust.tuning.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

__all__ = [
    "PRUNERS",
    "Direction",
    "SharedStudy",
    "make_pruner",
    "number_of",
    "require_optuna",
]

Direction = Literal["maximize", "minimize"]
PRUNERS = ("none", "median", "halving")


def require_optuna() -> None:
    """Raise an ImportError that names the extra, where Optuna is absent."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Tuning needs Optuna. Install it with `pip install keras-robust[tune]`."
        ) from error


def make_pruner(name: str, epochs: int) -> "BasePruner":
    """The pruner of a name, for trials of so many epochs.

    Args:
        name: `"none"`; `"median"` ends a trial whose best value so far is worse than the median of
            the others at the same epoch, after five trials and a third of the epochs; `"halving"`
            keeps the best quarter after an eighth of the epochs, and again after a half (successive
            halving).
        epochs: Of a whole trial.

    Raises:
        ValueError: An unknown name.
    """
    from optuna import pruners

    if name == "none":
        return pruners.NopPruner()
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 3)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 8))
    raise invalid("pruner", f"one of {list(PRUNERS)}", name)


def number_of(trial: "Trial | FrozenTrial") -> int:
    """The number that a trial and its run folder keep when another process takes it up.

    >>> import optuna
    >>> number_of(optuna.trial.create_trial(value=0.5, user_attrs={"run": 7}))
    7
    """
    return int(trial.user_attrs.get("run", trial.number))


class SharedStudy:
    """The trials of a study, as one of the processes that work on it sees and changes them.

    Args:
        folder: Of this process's tuning; processes of one folder see at once which of them died.
        space: What to search.
        trials: Number of trials of the whole study.
        storage: URL or storage of Optuna, or `journal:FILE`; None for `study.db` in the folder.
        name: Of the study within the storage.
        direction: `"maximize"` or `"minimize"`.
        pruner: See `make_pruner`.
        epochs: Of a trial.
        seed: Of the sampler.
        retries: How often a trial is begun anew after its process or machine died.
        heartbeat_seconds: After so long without a sign from another machine its trials are taken
            up; no clocks are compared.

    Raises:
        ImportError: If Optuna is absent.
        ValueError: If the storage cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        trials: int,
        *,
        storage: "str | BaseStorage | None" = None,
        name: str | None = None,
        direction: Direction = "maximize",
        pruner: str = "none",
        epochs: int = 50,
        seed: int = 0,
        retries: int = 2,
        heartbeat_seconds: float = 300.0,
    ):
        require_optuna()
        self.folder, self.space, self.trials = folder, space, trials
        self.seed, self.retries = seed, retries
        self.heartbeat_seconds = heartbeat_seconds
        self.beat_seconds = heartbeat_seconds / 10
        self.owner = secrets.token_hex(8)
        self._seen: dict[int, tuple[Any, float]] = {}
        self._beat = 0
        made = make_pruner(pruner, epochs)
        self.study = _open(folder, storage, name or folder.resolve().name, direction, made)

    def agree(
        self,
        specification: Mapping[str, Any],
        renewed: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    ) -> None:
        """Make sure that all processes do the same.

        Args:
            specification: What they must agree on, as JSON.
            renewed: Makes of what an older version stored what this one would have.

        Raises:
            ValueError: If the study began with another one.
        """
        given = json.loads(json.dumps(specification))
        stored = self.study.user_attrs.get("specification")
        if stored is None:
            self.study.set_user_attr("specification", given)
            return
        differing = sorted(differences(json.loads(json.dumps(renewed(stored))), given))
        if differing == ["content"]:
            raise invalid(
                "data",
                (f"the images and masks that the study {self.study.study_name!r} began with"),
                said="other ones",
                remedy=(
                    "Name the folder that has them (--data), or take another folder for "
                    "the study (--output)."
                ),
            )
        if differing:
            raise invalid(
                "config",
                f"what the study {self.study.study_name!r} began with",
                said=f"other values of {', '.join(differing)}",
                remedy="Take another folder, or another name in the storage.",
            )

    @contextmanager
    def present(self) -> Iterator[None]:
        """Be known, to processes of the same folder, to be alive."""
        lock = self._lock(self.owner)
        with locked(lock):
            self._remove_old_locks()
            yield
        # Not after an error: what it left running is seen to be dead by the lock that is free.
        lock.unlink(missing_ok=True)

    def _remove_old_locks(self) -> None:
        """Those of processes that were killed, and whose trials others have taken up."""
        from optuna.trial import TrialState

        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        needed = {self.owner, *(str(trial.user_attrs.get("owner")) for trial in running)}
        for lock in (self.folder / "owners").glob("*.lock"):
            # A new one may not be held yet.
            if lock.stem not in needed and time.time() - lock.stat().st_mtime > 60:
                with suppress(OSError), locked(lock, wait=False):
                    lock.unlink()

    def counted(self) -> list["FrozenTrial"]:
        """The trials that count, in order; at most as many as the study has."""
        return self._counting()[: self.trials]

    @property
    def settled(self) -> bool:
        """Whether all trials have come to their end."""
        counted = self.counted()
        return len(counted) == self.trials and all(t.state.is_finished() for t in counted)

    def claim(self) -> "Trial | None":
        """A trial to run: one to take up again, or a new one; None if there is none left."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        while True:
            counting = self._counting()
            if len(counting) >= self.trials and not any(
                t.state == TrialState.WAITING for t in counting
            ):
                return None
            trial = self.study.ask()
            # At once: a process that dies before is noticed by its silence alone.
            trial.set_user_attr("owner", self.owner)
            if trial.number not in {t.number for t in self.counted()}:  # another was quicker
                self._give_up(trial.number)
                continue
            run = self._run_number(trial)
            # Machines draw differently, and a resumed study as an uninterrupted one.
            state = np.random.SeedSequence([self.seed, run]).generate_state(1)
            # Optuna's 10 random trials where there are 30; a third of fewer.
            random = min(10, -(-self.trials // 3))
            self.study.sampler = TPESampler(n_startup_trials=random, seed=int(state[0]))
            for name, range_ in self.space.search.items():
                range_.suggest(trial, name)
            trial.set_user_attr("run", run)
            trial.set_user_attr("host", socket.gethostname())
            if trial.user_attrs.get("attempts", 0) <= self.retries:
                return trial
            self.fail(trial, "the machines that ran it died")

    def beat(self, trial: "Trial") -> None:
        """Say that a trial is being run."""
        self._beat += 1
        trial.set_user_attr("beat", self._beat)

    def complete(self, trial: "Trial", value: float) -> None:
        """A trial has come to its end with a value."""
        self.study.tell(trial, value)

    def prune(self, trial: "Trial") -> None:
        """A trial was ended early."""
        from optuna.trial import TrialState

        self.study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: "Trial", error: str) -> None:
        """A trial has failed for good."""
        from optuna.trial import TrialState

        trial.set_user_attr("error", error[:1500])
        self.study.tell(trial, state=TrialState.FAIL)

    def hand_over(self, trial: "Trial | FrozenTrial", lost: bool = False) -> None:
        """Leave a trial to whoever asks next.

        Args:
            trial: Of this process, or of one that died.
            lost: Count it as an attempt that failed.
        """
        if not self._give_up(trial.number):
            return
        attempts = int(trial.user_attrs.get("attempts", 0)) + lost
        kept = {"run": self._run_number(trial), "attempts": attempts, "again": True}
        self.study.enqueue_trial(trial.params, user_attrs=kept)

    def retry_failed(self) -> None:
        """Make the trials that failed for good wait for somebody, under their old numbers."""
        from optuna.trial import TrialState

        for trial in self.counted():
            if trial.state == TrialState.FAIL:
                kept = {"run": number_of(trial), "attempts": 0, "again": True}
                self.study.enqueue_trial(trial.params, user_attrs=kept)

    def take_over(self) -> None:
        """Make the trials of processes that died wait for somebody."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.user_attrs.get("owner") != self.owner:
                here = self._is_dead_here(trial)
                if here or (here is None and self._is_silent(trial)):
                    self.hand_over(trial, lost=not here and "host" in trial.user_attrs)

    def _counting(self) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        runs = _run_numbers(trials)
        counting = (t for t in trials if t.state != TrialState.FAIL or "error" in t.user_attrs)
        # One that failed for good and is tried again counts as what it is now.
        latest = {runs[trial.number]: trial for trial in counting}
        # While one trial changes hands another process may begin a new one, which is then too many.
        return [latest[run] for run in sorted(latest)]

    def _run_number(self, trial: "Trial | FrozenTrial") -> int:
        return _run_numbers(self.study.get_trials(deepcopy=False))[trial.number]

    def _give_up(self, number: int) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.study.tell(number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):  # another process was quicker
            return False
        return True

    def _lock(self, owner: str) -> Path:
        return self.folder / "owners" / f"{owner}.lock"

    def _is_dead_here(self, trial: "FrozenTrial") -> bool | None:
        """Whether the owner died; None for one that does not work in this folder."""
        owner = str(trial.user_attrs.get("owner"))
        if not re.fullmatch("[0-9a-f]{16}", owner) or not self._lock(owner).exists():
            return None
        try:
            with locked(self._lock(owner), wait=False):
                return True
        except BlockingIOError:
            return False

    def _is_silent(self, trial: "FrozenTrial") -> bool:
        beat, now = trial.user_attrs.get("beat"), time.monotonic()
        seen, since = self._seen.get(trial.number, (None, 0.0))
        if trial.number not in self._seen or seen != beat:
            self._seen[trial.number] = (beat, now)
            return False
        return now - since > self.heartbeat_seconds - 3 * self.beat_seconds


def _run_numbers(trials: "Sequence[FrozenTrial]") -> dict[int, int]:
    """Of the run folder of each trial, by the number of the trial."""
    numbers, new = {}, 0
    for trial in trials:
        numbers[trial.number] = int(trial.user_attrs.get("run", new))
        new += "again" not in trial.user_attrs
    return numbers


def _open(
    folder: Path,
    storage: "str | BaseStorage | None",
    name: str,
    direction: Direction,
    pruner: "BasePruner",
) -> "Study":
    import optuna
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    if storage is None:
        storage = f"sqlite:///{(folder / 'study.db').resolve().as_posix()}"
    for attempt in range(5):
        try:
            return optuna.create_study(
                storage=_connected(storage),
                study_name=name,
                direction=direction,
                pruner=pruner,
                load_if_exists=True,
            )
        except (SQLAlchemyError, ImportError) as error:
            if attempt == 4 or not isinstance(error, DBAPIError):
                why = error.__cause__ or error  # which names the driver that is missing
                raise invalid(
                    "storage",
                    "the URL of a database that can be opened, such as sqlite:///study.db",
                    said=f"one that cannot: {why}",
                ) from error
            # Of two processes that make the tables of a new database at once, one fails.
            time.sleep(0.2 * (attempt + secrets.randbelow(10) / 10))
    raise AssertionError


def _connected(storage: "str | BaseStorage") -> "str | BaseStorage":
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

    if not isinstance(storage, str):
        return storage
    if storage.startswith("journal:"):  # Optuna has no URL for it
        return JournalStorage(JournalFileBackend(storage.removeprefix("journal:")))
    if storage.startswith("redis"):
        with warnings.catch_warnings():  # of what Optuna calls experimental since 2022
            warnings.simplefilter("ignore", ExperimentalWarning)
            return JournalStorage(JournalRedisBackend(storage))
    # Another process may hold the file; a server may have closed the connection.
    waiting = {"timeout": 120} if storage.startswith("sqlite") else {}
    return RDBStorage(storage, engine_kwargs={"connect_args": waiting, "pool_pre_ping": True})
