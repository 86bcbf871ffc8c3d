"""Reading run folders."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_robust.common.opening import UnreadableFileError, read_json, read_text
from keras_robust.common.tables import read_frame
from keras_robust.common.yaml import read_yaml

if TYPE_CHECKING:
    import pandas as pd


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, dict)
    except (OSError, ValueError):
        return {}


def read_status(folder: str | Path) -> str:
    """Status of a run: `waiting` (not begun), `running`, `finished`, `failed` or `interrupted`.

    A run whose process was killed still reads `running`: only the lock tells the two apart.
    """
    return str(_read_json(Path(folder) / "run.json").get("status", "waiting"))


def count_epochs(folder: str | Path) -> int:
    """Epochs that the history of a run holds, without reading it into a table."""
    try:
        lines = read_text(Path(folder) / "history.csv").splitlines()
    except (OSError, ValueError):
        return 0
    return max(0, len(lines) - 1)


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says about itself.

    `config` is the training configuration, `info` the content of `run.json`, `plan` what the
    study added (the label of the loss, and whether the run is another start of T-Loss); each is
    empty where the file is absent.
    """

    folder: Path
    config: dict[str, Any] = field(repr=False)
    info: dict[str, Any] = field(repr=False)
    plan: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> "RunRecord":
        """Read a run folder, finished or not."""
        folder = Path(folder)
        try:
            config = read_yaml(folder / "config.yaml", "a configuration")
        except (OSError, ValueError):
            config = {}
        return cls(
            folder,
            config,
            _read_json(folder / "run.json"),
            _read_json(folder / "plan.json"),
        )

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def status(self) -> str:
        """See `read_status`."""
        return str(self.info.get("status", "waiting"))

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config.get("seed", 0))

    @property
    def setting(self) -> tuple[float, float]:
        """Simulated label noise (alpha, beta); (0, 0) for clean training masks."""
        noise = self.config.get("noise") or {}
        alpha = float(noise.get("alpha", 0.0))
        return (alpha, float(noise.get("beta", 0.0))) if alpha > 0 else (0.0, 0.0)

    @property
    def epochs(self) -> int:
        """Epochs that the run is to have."""
        return int(self.config.get("epochs", 0))

    @property
    def last_epochs(self) -> int:
        """Number of last epochs over which the result of the run is averaged (paper: 10).

        Runs by a plan predict the test images once, after the last.
        """
        if self.config.get("plan") is not None:
            return 1
        return int(self.config.get("evaluate_last", 10))

    @cached_property
    def history(self) -> "pd.DataFrame":
        """One row per epoch; an empty table for a run that has not begun."""
        import pandas as pd

        try:
            table = read_frame(self.folder / "history.csv")
        except (OSError, pd.errors.EmptyDataError):
            return pd.DataFrame(columns=["epoch", "step"])
        missing = [column for column in ("epoch", "step") if column not in table]
        if missing:
            reason = f"has no column {' or '.join(missing)}"
            raise UnreadableFileError(self.folder / "history.csv", reason)
        return table

    def mean_of_last(self, column: str = "dice_test") -> float:
        """Mean of a column over the last `last_epochs` epochs; NaN where it has no value there."""
        if column not in self.history:
            return float("nan")
        history = self.history
        last = history[history["epoch"] > history["epoch"].max() - self.last_epochs]
        return float(last[column].mean())


def find_runs(paths: str | Path | Iterable[str | Path]) -> list[RunRecord]:
    """All run folders at or below the given folders, ordered by name.

    A run folder is one with `run.json`, or with both `config.yaml` and `plan.json`: a run that a
    study has planned and not begun.

    Raises:
        ValueError: If there is none.
    """
    roots = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found: dict[Path, None] = {}
    for root in roots:
        for marker in ("run.json", "plan.json"):
            candidates = [root / marker, *sorted(root.glob(f"*/{marker}"))]
            candidates += sorted(root.glob(f"*/*/{marker}"))
            for candidate in candidates:
                # `keras-robust plan` writes a plan.json as well.
                planned = candidate.with_name("config.yaml").is_file()
                if candidate.is_file() and (planned or marker == "run.json"):
                    found[candidate.parent] = None
    if not found:
        raise ValueError(
            "Invalid value for argument `paths`. Expected folders of runs (each with run.json). "
            f"Received: paths={[str(root) for root in roots]}. Train first: keras-robust train, "
            "or keras-robust benchmark."
        )
    return sorted((RunRecord.read(folder) for folder in found), key=lambda run: str(run.folder))
