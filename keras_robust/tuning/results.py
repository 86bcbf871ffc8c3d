"""The files of a tuning study: what its processes write, and what figures and reports read."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from keras_robust.common.artefacts import ARTEFACTS, describe, read_artefact
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.tables import frame_csv, read_frame
from keras_robust.common.yaml import read_yaml
from keras_robust.reports.names import in_order
from keras_robust.tuning.space import Space
from keras_robust.tuning.study import number_of

if TYPE_CHECKING:
    import pandas as pd
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["TuningRecord", "comparable", "find_studies", "write_results"]

_STATES = {"COMPLETE": "finished", "FAIL": "failed"}
_FILES = ("trials.csv", "importance.csv", "best.yaml")
_REMEDY = "The same `keras-robust tune` writes it again from the storage; or copy it again."
# Fewer values say nothing about which parameter matters.
_ENOUGH = 5


@dataclass(frozen=True)
class TuningRecord:
    """What the folder of a tuning study says.

    Args:
        folder: With `tuning.yaml`, `trials.csv` and `best.yaml`.
        info: Content of `tuning.yaml`.
    """

    folder: Path
    info: Mapping[str, Any]

    @classmethod
    def read(cls, folder: str | Path) -> "TuningRecord":
        """Read a study, finished or not.

        Raises:
            ValueError: If the folder holds none.
        """
        path = Path(folder) / "tuning.yaml"
        try:
            info = read_yaml(path, "a tuning study")
        except (OSError, ValueError):
            raise invalid(
                "folder",
                "a folder that keras-robust tune wrote",
                said=f"folder={str(folder)!r}, without a readable tuning.yaml",
            ) from None
        return cls(Path(folder), info)

    @property
    def label(self) -> str:
        """What figures call the study."""
        return str(self.info.get("label", self.folder.name))

    @property
    def dataset_folder(self) -> Path:
        """Folder of the dataset, on the machine that trained."""
        data = (self.info.get("config") or {}).get("data") or {}
        return Path(str(data.get("path", "")))

    @property
    def dataset(self) -> str:
        """Name of the dataset folder."""
        return self.dataset_folder.name

    @property
    def objective(self) -> str:
        """What is tuned for."""
        return str(self.info.get("objective", ""))

    @property
    def maximizes(self) -> bool:
        """Whether larger values are better."""
        return self.info.get("direction") != "minimize"

    @property
    def space(self) -> Space:
        """What is searched."""
        return Space.read(self.info["space"])

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """One row per trial: trial, state (waiting, running, finished, pruned or failed), value,
        the parameters, epochs, seconds, attempts, host, error; the run folder is `run_folder`."""
        import pandas as pd

        try:
            # A choice may be called "NA" or "None".
            options = {"keep_default_na": False, "na_values": [""]}
            content = self._content("trials.csv")
            table = read_frame(self.folder / "trials.csv", content, dtype={"error": str}, **options)
        except (OSError, pd.errors.EmptyDataError):
            table = pd.DataFrame(columns=["trial", "state", "value"])
        return table.assign(value=table["value"].astype(float))

    def _content(self, name: str) -> bytes:
        return read_artefact(self.folder, name, self.info, _REMEDY)

    def run_folder(self, trial: int) -> Path:
        """Run folder of a trial; on the machine that trained it."""
        return run_folder(self.folder, trial)

    @property
    def values(self) -> "pd.Series":
        """Values of the trials that are finished, by the number of the trial."""
        finished = self.trials[self.trials["state"] == "finished"]
        return finished.set_index("trial")["value"].dropna()

    @property
    def without_effect(self) -> bool:
        """Whether several trials are finished, all with one value, and none failed or was pruned:
        where some end otherwise, what is searched has an effect."""
        ended = self.trials["state"].isin(("failed", "pruned"))
        values = self.values
        return len(values) > 1 and values.nunique() == 1 and not ended.any()

    @property
    def best(self) -> "pd.Series | None":
        """The row of the best trial; None where none is finished."""
        values = self.values
        if len(values) == 0:
            return None
        best = values.idxmax() if self.maximizes else values.idxmin()
        return self.trials.set_index("trial", drop=False).loc[best]

    @cached_property
    def importance(self) -> dict[str, float]:
        """Share of each parameter in how the values differ; empty before there are enough."""
        import pandas as pd

        try:
            table = read_frame(self.folder / "importance.csv", self._content("importance.csv"))
        except (OSError, pd.errors.EmptyDataError):
            return {}
        return dict(zip(table["parameter"], table["importance"], strict=True))


def run_folder(folder: Path, trial: int) -> Path:
    """Run folder of a trial of a study.

    >>> run_folder(Path("study"), 7).as_posix()
    'study/trials/0007'
    """
    return folder / "trials" / f"{trial:04d}"


def find_studies(paths: Iterable[str | Path]) -> list[TuningRecord]:
    """The studies in folders, or one level below.

    Raises:
        ValueError: If a folder holds none.
    """
    found: list[TuningRecord] = []
    for path in map(Path, paths):
        inner = sorted(file.parent for file in path.glob("*/tuning.yaml"))
        found += [
            TuningRecord.read(folder)
            for folder in ([path] if (path / "tuning.yaml").is_file() or not inner else inner)
        ]
    return found


def comparable(
    studies: Iterable[TuningRecord],
) -> dict[tuple[str, str, bool], dict[str, list[TuningRecord]]]:
    """Studies by what their values are of, then by label in the order of tables.

    Returns:
        (dataset, objective, whether larger is better) -> label -> studies. Datasets whose folders
        have one name are told apart by more of their paths.
    """
    studies = list(studies)
    names = _names({study.dataset_folder for study in studies})
    groups: dict[tuple[str, str, bool], dict[str, list[TuningRecord]]] = {}
    for study in studies:
        key = (names[study.dataset_folder], study.objective, study.maximizes)
        groups.setdefault(key, {}).setdefault(study.label, []).append(study)
    return {
        key: {label: methods[label] for label in in_order(methods)}
        for key, methods in groups.items()
    }


def _names(folders: Collection[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell them apart.

    >>> list(_names([Path("/a/x"), Path("/b/x"), Path("/b/y")]).values())
    ['a/x', 'b/x', 'y']
    """

    def name(folder: Path) -> str:
        for count in range(1, len(folder.parts)):
            end = folder.parts[-count:]
            if sum(other.parts[-count:] == end for other in folders) == 1:
                return Path(*end).as_posix()
        return folder.as_posix()

    return {folder: name(folder) for folder in folders}


def write_results(
    folder: Path,
    trials: Sequence["FrozenTrial"],
    study: "Study",
    best_config: Callable[[Mapping[str, Any]], dict[str, Any]],
    last: bool = False,
) -> "FrozenTrial | None":
    """Write `trials.csv`, and `best.yaml` where a trial is finished.

    Args:
        folder: Of the study.
        trials: Those that count.
        study: Optuna's, for the direction and the importance of the parameters.
        best_config: Makes the configuration to train from parameters.
        last: Nothing is written after: `importance.csv` is as well, and `tuning.yaml` gets the
            length and hash of the files.

    Returns:
        The best trial.
    """
    import pandas as pd
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    _record(folder, [])  # until all are written
    parameters = list(Space.read(_info(folder)["space"]).search)
    columns = ["trial", "state", "value", *parameters]
    columns += ["epochs", "seconds", "attempts", "host", "error"]
    rows = sorted((_row(trial) for trial in trials), key=lambda row: row["trial"])
    _write_table(folder / "trials.csv", pd.DataFrame(rows, columns=columns))
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
    best = max(finished, key=lambda trial: sign * trial.values[0], default=None)
    if best is not None:
        config = yaml.safe_dump(best_config(best.params), sort_keys=False, allow_unicode=True)
        origin = f"# Trial {number_of(best)}: {_info(folder)['objective']} = {best.value:.6g}\n"
        atomic_write_text(folder / "best.yaml", origin + config)
    if last and len(parameters) > 1 and len(finished) >= _ENOUGH:
        _write_importance(folder, study)
    if last:
        _record(folder, _FILES)
    return best


def _record(folder: Path, names: Sequence[str]) -> None:
    info = dict(_info(folder))
    found = describe(folder, names)
    if found != info.get(ARTEFACTS, {}):
        text = yaml.safe_dump(info | {ARTEFACTS: found}, sort_keys=False, allow_unicode=True)
        atomic_write_text(folder / "tuning.yaml", text)


def _info(folder: Path) -> Mapping[str, Any]:
    return TuningRecord.read(folder).info


def _row(trial: "FrozenTrial") -> dict[str, Any]:
    attributes = trial.user_attrs
    value = trial.values[0] if trial.values else math.nan
    row = {"trial": number_of(trial), "value": value, **trial.params}
    row["state"] = _STATES.get(trial.state.name, trial.state.name.lower())
    row["attempts"] = 1 + int(attributes.get("attempts", 0))
    return row | {key: attributes.get(key) for key in ("epochs", "seconds", "host", "error")}


def _write_table(path: Path, table: "pd.DataFrame") -> None:
    atomic_write_text(path, frame_csv(table, index=False))


def _write_importance(folder: Path, study: "Study") -> None:
    import optuna
    import pandas as pd

    try:
        found = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):  # all values are the same
        return
    table = pd.DataFrame({"parameter": list(found), "importance": list(found.values())})
    _write_table(folder / "importance.csv", table)
