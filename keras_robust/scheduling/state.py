"""Where the runs of a study stand."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from keras_robust.scheduling.grid import PlannedRun


@dataclass
class RunState:
    """Where one run of the study stands.

    `state` is `waiting`, `running`, `finished`, `failed`, `interrupted` (somebody stopped it; the
    next call continues it), or `elsewhere` (another process trains it). `where` is the machine of a
    run that a cluster trains; `lost` is true of one whose machine went away. `attempts` leaves out
    those that were lost after they had come on from `done_at_start`.
    """

    plan: PlannedRun
    folder: Path
    epochs: int
    state: str = "waiting"
    done: int = 0
    attempts: int = 0
    seconds: float = 0.0
    error: str = ""
    dice: float | None = None
    where: str = ""
    lost: bool = False
    done_at_start: int = 0


@dataclass
class StudyState:
    """A view of the whole study, given to the `progress` callback."""

    runs: list[RunState]
    message: str = ""
    started: float = field(default_factory=time.monotonic)
    done_before: int = 0

    def count(self, state: str) -> int:
        """Number of runs in a state."""
        return sum(run.state == state for run in self.runs)

    @property
    def seconds_left(self) -> float | None:
        """Expected time to the end, from the epochs done since the start; None if unknown."""
        new = sum(run.done for run in self.runs) - self.done_before
        elapsed = time.monotonic() - self.started
        left = sum(
            run.epochs - run.done for run in self.runs if run.state in ("waiting", "running")
        )
        return left * elapsed / new if new > 0 else None
