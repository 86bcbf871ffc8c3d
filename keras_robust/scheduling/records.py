"""Reading run folders."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_robust.common.artefacts import DamagedFileError, read_artefact, read_record
from keras_robust.common.errors import invalid
from keras_robust.common.opening import read_text, shown
from keras_robust.common.tables import read_frame
from keras_robust.common.yaml import read_yaml
from keras_robust.training.records.finished import (
    HISTORY,
    INPUTS,
    damage_of_run,
    evaluated_epochs,
    read_info,
    remedy,
)

if TYPE_CHECKING:
    import pandas as pd


def read_status(folder: str | Path) -> str:
    """Status of a run: `waiting` (not begun), `running`, `finished`, `failed`, `interrupted`, or
    `damaged`, a finished one with a file that is not what was written.

    A run whose process was killed still reads `running`: only the lock tells the two apart.
    """
    return RunRecord.read(folder).status


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

    `config` is the training configuration, `info` the content of `run.json`, `entry` what the
    study added (the label of the loss, and whether the run is another start of T-Loss); each is
    empty where the file is absent. `unread` is the first of these files that is damaged.
    """

    folder: Path
    config: dict[str, Any] = field(repr=False)
    info: dict[str, Any] = field(repr=False)
    entry: dict[str, Any] = field(repr=False)
    unread: DamagedFileError | None = field(default=None, repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> "RunRecord":
        """Read a run folder, finished or not."""
        folder = Path(folder)
        unread: list[DamagedFileError] = []

        def content(read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
            try:
                return read(folder)
            except DamagedFileError as error:
                unread.append(error)
                return {}

        found = content(_read_config), content(read_info), content(_read_entry)
        return cls(folder, *found, unread[0] if unread else None)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def status(self) -> str:
        """See `read_status`."""
        return "damaged" if self.damage else str(self.info.get("status", "waiting"))

    @cached_property
    def damage(self) -> DamagedFileError | None:
        """A file that is not what was written; `None` where all are."""
        return self.unread or damage_of_run(self.folder, self.info, self.config)

    @property
    def dataset(self) -> str:
        """Folder of the dataset."""
        return str((self.config.get("data") or {}).get("path"))

    @cached_property
    def images(self) -> dict[str, Any]:
        """Hashes of the images that the run sees, by id; empty where they were not recorded."""
        try:
            return read_record(self.folder / INPUTS, "", {"images": dict}).get("images", {})
        except DamagedFileError:
            return {}

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
        """See `evaluated_epochs`."""
        return evaluated_epochs(self.config)

    def content(self, name: str) -> bytes:
        """Content of a file of the run.

        Raises:
            FileNotFoundError: There is none.
            DamagedFileError: It is not what was written.
        """
        return read_artefact(self.folder, name, self.info, f"{remedy(self.folder)}.")

    @cached_property
    def history(self) -> "pd.DataFrame":
        """One row per epoch; an empty table for a run that has not begun or is damaged."""
        import pandas as pd

        try:
            if self.damage is None:
                table = read_frame(self.folder / HISTORY, self.content(HISTORY))
                return self._numbers(self._with(table, "epoch"))
        except (OSError, pd.errors.EmptyDataError):
            pass
        return pd.DataFrame(columns=["epoch", "step"])

    def curve(self, column: str) -> "pd.DataFrame":
        """Columns epoch, step and another one of the history, where that has values."""
        history = self._with(self.history, "step")
        return history[["epoch", "step", column]].dropna() if column in history else history[:0]

    def _with(self, history: "pd.DataFrame", column: str) -> "pd.DataFrame":
        if column not in history:
            reason = f"it has no column {column!r}"
            raise DamagedFileError(self.folder / HISTORY, reason, f"{remedy(self.folder)}.")
        return history

    def _numbers(self, history: "pd.DataFrame") -> "pd.DataFrame":
        if history.empty:  # the head alone, of a run that has just begun: no column has a type yet
            return history
        for column in history.select_dtypes(exclude="number"):
            reason = f"its column {column!r} holds what is no number"
            raise DamagedFileError(self.folder / HISTORY, reason, f"{remedy(self.folder)}.")
        return history

    @cached_property
    def tested(self) -> "pd.DataFrame":
        """Columns id and dice, of the test images; empty where there are none."""
        import pandas as pd

        # Images may be called "NA" or "None", which pandas would take for nothing.
        options = {"keep_default_na": False, "na_values": {"dice": [""]}}
        try:
            content = self.content("test.csv")
        except FileNotFoundError:
            return pd.DataFrame(columns=["id", "dice"])
        return read_frame(self.folder / "test.csv", content, dtype={"id": str}, **options)

    def mean_of_last(self, column: str = "dice_test") -> float:
        """Mean of a column over the last `last_epochs` epochs; NaN where it has no value there.

        Of a damaged run, what `run.json` says.
        """
        if self.damage:
            return float((self.info.get("results") or {}).get(column, "nan"))
        if column not in self.history:
            return float("nan")
        history = self.history
        last = history[history["epoch"] > history["epoch"].max() - self.last_epochs]
        return float(last[column].mean())


def find_runs(paths: str | Path | Iterable[str | Path]) -> list[RunRecord]:
    """All run folders at or below the given folders, ordered by name.

    A run folder is one with `run.json`, or with both `config.yaml` and `entry.json`: a run that a
    study has planned and not begun.

    Raises:
        ValueError: If there is none.
    """
    roots = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found: dict[Path, None] = {}
    for root in roots:
        for marker in ("run.json", "entry.json"):
            candidates = [root / marker, *sorted(root.glob(f"*/{marker}"))]
            candidates += sorted(root.glob(f"*/*/{marker}"))
            for candidate in candidates:
                has_config = candidate.with_name("config.yaml").is_file()
                if candidate.is_file() and (has_config or marker == "run.json"):
                    found[candidate.parent] = None
    if not found:
        raise invalid(
            "paths",
            "folders of runs (each with run.json)",
            said=f"paths={[str(root) for root in roots]}",
            remedy="Train first: `keras-robust train`, or `keras-robust benchmark`.",
        )
    return sorted((RunRecord.read(folder) for folder in found), key=lambda run: str(run.folder))


def share_dataset(runs: Iterable[RunRecord]) -> bool:
    """Whether runs have seen images of one dataset: of one folder, or the same in several."""
    runs = list(runs)
    if len({run.dataset for run in runs}) < 2:
        return True
    seen: dict[str, Any] = {}
    for run in runs:
        images = run.images
        other = bool(seen) and not seen.keys() & images.keys()
        if other or not images or any(seen.get(id, hash) != hash for id, hash in images.items()):
            return False
        seen |= images
    return True


def damaged(runs: Iterable[RunRecord]) -> list[str]:
    """What is damaged of runs, which are left out of tables, and how to make it again."""
    return [str(run.damage) for run in runs if run.damage]


# What is read of the configuration of a run: section, field, type, and that in words.
_READ_OF_CONFIG: tuple[tuple[str | None, str, Any, str], ...] = (
    *(
        (None, section, dict | None, "a mapping")
        for section in ("data", "noise", "loss_options", "selection", "plan")
    ),
    *((None, name, int, "a whole number") for name in ("epochs", "evaluate_last", "seed")),
    *(("noise", name, int | float, "a number") for name in ("alpha", "beta")),
)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    advice = "Copy it again: nothing else says what was trained."
    try:
        content = read_yaml(path, "the configuration of a run")
    except OSError:
        return {}
    except ValueError as error:
        raise DamagedFileError(
            path, f"it is no configuration ({shown(error, 300)})", advice
        ) from error
    for place, name, kind, said in _READ_OF_CONFIG:
        values = content if place is None else content.get(place) or {}
        if name in values and not isinstance(values[name], kind):
            reason = f"expected {said} as {name!r}, received {values[name]!r:.60}"
            raise DamagedFileError(path, reason, advice)
    return content


def _read_entry(folder: Path) -> dict[str, Any]:
    return read_record(folder / "entry.json", "The same benchmark command writes it again.")
