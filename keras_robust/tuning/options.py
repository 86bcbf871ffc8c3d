"""How hyper-parameters are searched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_robust.common.errors import invalid
from keras_robust.scheduling.processes import Crew
from keras_robust.scheduling.scheduler import WORKER, check_configs, complete_config
from keras_robust.training.records.inputs import digest_of_inputs
from keras_robust.tuning.study import Direction

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["TuningOptions"]


@dataclass(frozen=True)
class TuningOptions:
    """The size of a search, what it is for, where its trials are kept, and how they are trained.

    Args:
        trials: Number of trials, those that fail for good or are pruned included.
        epochs: Of a trial.
        objective: Column of `history.csv`, or `"ema:"` and a column for its moving average; by
            default `"pseudo_dice_train_ema"` with a plan and `"ema:dice_train"` without.
        direction: `"maximize"` or `"minimize"`.
        pruner: `"none"`, `"median"` or `"halving"`; see `keras_robust.tuning.study.make_pruner`.
        storage: An Optuna storage, its URL, or `journal:FILE`; by default SQLite, `study.db` in
            `output`.
        study: Name of the study in the storage; by default that of the folder.
        label: What figures call the study; by default made from the method.
        seed: Of the sampler.
        workers: Trials at a time, of this process.
        threads: CPU threads per trial; by default the CPUs divided by `workers`.
        crew: Who trains the trials, in place of `workers` processes of this machine: see
            `keras_robust.scheduling.cluster.joined`.
        retries: How often a trial whose process or machine died is begun anew; none whose error
            the next attempt would meet again, see
            `keras_robust.scheduling.scheduler.may_pass`.
        retry: Also try trials again that failed for good in an earlier call.
        command: Start of the command line of the worker; the run folder is added.
        complete: Fills a training configuration with its defaults, and checks it.
        check: Refuses configurations that cannot be trained, as `check_configs` does.
        content: Tells by a hash whether all processes see the same images and masks.
        poll_seconds: How often the processes are looked at.
        heartbeat_seconds: Other machines take up the trials of one that has been silent for so
            long; it says that it lives ten times as often.

    Raises:
        ValueError: A number of trials, epochs or workers below 1, or no storage.

    >>> TuningOptions(trials=60).epochs
    50
    """

    trials: int = 30
    epochs: int = 50
    objective: str | None = None
    direction: Direction = "maximize"
    pruner: str = "none"
    storage: "str | BaseStorage | None" = None
    study: str | None = None
    label: str | None = None
    seed: int = 0
    workers: int = 1
    threads: int | None = None
    crew: Crew | None = None
    retries: int = 2
    retry: bool = False
    command: Sequence[str] = WORKER
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = complete_config
    check: Callable[[Sequence[Mapping[str, Any]]], None] = check_configs
    content: Callable[[Mapping[str, Any]], str] = digest_of_inputs
    poll_seconds: float = 1.0
    heartbeat_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "workers"):
            number = getattr(self, name)
            if number < 1:
                raise invalid(name, f"{name} >= 1", said=f"{name}={number}")
        storage = self.storage
        if isinstance(storage, str) and not ("://" in storage or storage.startswith("journal:")):
            raise invalid("storage", "a URL, such as sqlite:///study.db, or journal:FILE", storage)
        if not self.heartbeat_seconds > 0:
            raise invalid(
                "heartbeat_seconds",
                "more than 0 seconds",
                said=f"heartbeat_seconds={self.heartbeat_seconds}",
            )
