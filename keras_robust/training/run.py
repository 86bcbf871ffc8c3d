"""The folder of a training run: what is in it, and how it is written."""

import platform
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_robust.common.artefacts import ARTEFACTS, DamagedFileError, describe, read_artefact
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, atomic_write_text, locked
from keras_robust.common.interrupts import Interrupts
from keras_robust.common.opening import UnreadableFileError
from keras_robust.common.tables import read_table, write_csv
from keras_robust.noise import KINDS, Corruption, read_log
from keras_robust.training.config import TrainConfig, read_yaml
from keras_robust.training.records.finished import (
    HISTORY,
    INPUTS,
    damage_of_run,
    read_info,
    record_of,
    remedy,
)
from keras_robust.training.records.identity import differences, identity

if TYPE_CHECKING:
    import keras

    from keras_robust.planning.fingerprint import Fingerprint
    from keras_robust.planning.plan import Plan

HISTORY_COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "loss",
    "learning_rate",
    "nu",
    "nu_tilde",
    "dice_train",
    "dice_train_clean",
    *(f"dice_train_{kind}" for kind in KINDS),
    "dice_test",
    "dice_test_pooled",
)
LOCK = ".training.lock"


class Run:
    """A run folder: `config.yaml`, `run.json`, `history.csv`, `test.csv`, `noise.jsonl`,
    `checkpoints/`, `predictions/`, `tensorboard/`; of a run by a plan `training_plan.json` and
    `fingerprint.json`, too.

    Args:
        folder: Of the run.

    >>> Run("nowhere").status
    'absent'
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    @property
    def info(self) -> dict[str, Any]:
        """Content of `run.json`; empty before the run has begun.

        Raises:
            DamagedFileError: It is no JSON object.
        """
        return read_info(self.folder)

    @property
    def status(self) -> str:
        """`"absent"`, `"running"` (or killed), `"finished"`, `"failed"` or `"interrupted"`."""
        return self.info.get("status", "absent")

    @property
    def damage(self) -> DamagedFileError | None:
        """A file of a finished run that is not what was written; `None` where all are."""
        return damage_of_run(self.folder, self.info, self._stored_config)

    @property
    def _stored_config(self) -> dict[str, Any]:
        return read_yaml(self.folder / "config.yaml", "the fields of TrainConfig")

    @property
    def has_checkpoint(self) -> bool:
        """Whether an epoch was finished, so that the run is continued rather than begun."""
        return any((self.folder / "checkpoints").glob("[0-9]*"))

    @property
    def results(self) -> dict[str, float]:
        """`dice_test`, `dice_test_std_images` and `dice_test_pooled` of a finished run."""
        return self.info.get("results", {})

    @property
    def config(self) -> TrainConfig:
        """The configuration of the run."""
        return TrainConfig.load(self.folder / "config.yaml")

    @property
    def history(self) -> list[dict[str, float | None]]:
        """One row per epoch; `None` where a figure was not taken.

        Raises:
            DamagedFileError: It is not what the run wrote.
        """
        try:
            content = self._read(HISTORY)
        except FileNotFoundError:
            return []
        try:
            return [
                {key: float(value) if value else None for key, value in row.items()}
                for row in read_table(content)[1]
            ]
        except ValueError as error:
            raise UnreadableFileError(self.folder / "history.csv", str(error)) from None

    @property
    def noise(self) -> list[Corruption]:
        """How the training masks were corrupted; empty where they were not."""
        try:
            self._read("noise.jsonl")
        except FileNotFoundError:
            return []
        return read_log(self.folder / "noise.jsonl")

    def _read(self, name: str) -> bytes:
        return read_artefact(self.folder, name, self.info, f"{remedy(self.folder)}.")

    @property
    def plan(self) -> "tuple[Plan, Fingerprint] | None":
        """The plan as the run uses it, and its fingerprint; None for a run on whole images."""
        if self.config.plan is None:
            return None
        from keras_robust.planning.plan_files import load_plan

        return load_plan(self.folder, "training_plan.json")

    def _recorded(self, key: str) -> Any:
        """A value of `run.json` that a model cannot be built without."""
        try:
            return self.info[key]
        except KeyError:
            reason = f"lacks {key!r}, which the model cannot be built without"
            raise UnreadableFileError(self.folder / "run.json", reason) from None

    def load_model(self, best: bool = False, peers: str = "mean") -> "keras.Model":
        """The model with the weights of the newest valid checkpoint, ready to predict.

        Only numbers are read from the checkpoint; the architecture comes from the configuration.
        The model of a plan takes patches and has one output, the finest.

        Args:
            best: Take the epoch of the highest moving average of pseudo-Dice, which runs by a plan
                keep, instead of the last.
            peers: What two peers predict, see `keras_robust.models.CoTeaching`.

        Raises:
            FileNotFoundError: The folder holds no valid checkpoint.
            ValueError: The best epoch of a run on whole images, or peers that there are not.
        """
        from keras_robust.models import CoTeaching
        from keras_robust.training.build import build_model
        from keras_robust.training.checkpoint import Checkpoints
        from keras_robust.training.state import load_state

        folder = self.folder / "checkpoints"
        if best and self.plan is None:
            raise invalid(
                "best",
                ("False for a run on whole images, of which the last epochs alone are kept"),
                said="best=True",
            )
        newest = Checkpoints(folder / "best" if best else folder).newest()
        if newest is None:
            raise invalid(
                "folder",
                "a run with at least one finished epoch",
                said=f"folder={str(self.folder)!r}, which has no valid checkpoint",
                kind=FileNotFoundError,
            )
        plan = self.plan
        if plan is not None:
            from keras_robust.training.patches.network import build_planned, finest

            model = build_planned(self.config, plan[0], self._recorded("classes"))
        else:
            shape = tuple(self._recorded("image_shape"))
            model = build_model(self.config, shape, self._recorded("classes"))
        load_state(model, newest[1]["state.npz"], weights_only=True)
        if isinstance(model, CoTeaching):
            model.inference = peers
        return model if plan is None else finest(model)

    @contextmanager
    def claimed(self, config: TrainConfig, resume: bool) -> Iterator[None]:
        """Hold the folder for a configuration: no other process trains in it meanwhile.

        A run that ended before its first checkpoint is begun anew; what it left is removed.

        Raises:
            ValueError: The folder holds a run and `resume` is not set, or one of another
                configuration.
            BlockingIOError: Another process is training in the folder.
        """
        with self._lock():
            self._begin(config, resume)
            yield

    def require_free(self, resume: bool) -> None:
        """See to it that the folder holds no run, or one that is to be continued.

        Raises:
            ValueError: It holds one, and `resume` is not set.
        """
        if not resume and (self.status == "finished" or self.has_checkpoint):
            raise invalid(
                "folder",
                "a folder without a run",
                said=f"folder={str(self.folder)!r}, whose run is {self.status}",
                remedy=(
                    "Continue it (`resume=True`, on the command line --resume) or take "
                    "another folder."
                ),
            )

    def _begin(self, config: TrainConfig, resume: bool) -> None:
        self.require_free(resume)
        path = self.folder / "config.yaml"
        differing = None
        if path.is_file():
            stored = identity(TrainConfig.load(path).model_dump())
            differing = sorted(differences(stored, identity(config.model_dump())))
        status = self.status
        if status == "finished" or self.has_checkpoint:
            if differing:  # paths may: whether the files are the same is seen when they are read
                raise invalid(
                    "config",
                    f"the configuration that the run in {str(self.folder)!r} began with",
                    said=f"other values of {', '.join(differing)}",
                    remedy="Take another folder for another configuration.",
                )
        elif status != "absent":
            self._remove_dead_attempt()
        if differing != [] or not (status == "finished" or self.has_checkpoint):
            atomic_write_text(path, config.to_yaml())

    def _remove_dead_attempt(self) -> None:
        for name in ("noisy_masks", "predictions", "tensorboard"):
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
        # What marks the folder as a run goes last: a kill in between leaves the rest to the next.
        for name in ("noise.jsonl", HISTORY, "test.csv", INPUTS, "run.json"):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def recording(
        self, config: TrainConfig, asked: Interrupts | None = None
    ) -> Iterator[Callable[..., None]]:
        """Keep `run.json` true while the body runs: running, then finished, failed or interrupted.

        To be used inside `claimed`. Yields a function that writes its keyword arguments to
        `run.json` at once. An error after `asked` is what became of an interrupt, and is raised as
        one.
        """
        info: dict[str, Any] = {
            **self.info,  # what a checkpoint is loaded by, should this attempt fail before it knows
            "status": "running",
            "seed": config.seed,
            "versions": versions(),
            "started": self.info.get("started", _now()),
            "finished": None,
            "error": None,
            "results": {},
            ARTEFACTS: {},
        }

        def note(**values: Any) -> None:
            info.update(values)
            atomic_write_json(self.folder / "run.json", info)

        note()
        try:
            yield note
        except KeyboardInterrupt:
            note(status="interrupted", finished=_now())
            raise
        except BaseException as error:
            if asked is not None and asked.times:
                note(status="interrupted", finished=_now())
                raise KeyboardInterrupt from error
            text = "".join(traceback.format_exception_only(error)).strip()
            note(status="failed", finished=_now(), error=text)
            raise
        note(status="finished", finished=_now(), **record_of(self.folder, self._stored_config))

    def record(self, *names: str, **values: Any) -> None:
        """Add further files, as those of an evaluation, and values to a finished run's record."""
        if self.status != "finished":
            return  # what an unfinished run is worth will change
        with locked(self.folder / LOCK):
            info = self.info
            known = info.get(ARTEFACTS)
            if known is None:
                info |= record_of(self.folder, self._stored_config)
            info[ARTEFACTS] = {**info[ARTEFACTS], **describe(self.folder, names)}
            info |= values
            atomic_write_json(self.folder / "run.json", info)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            with locked(self.folder / LOCK, wait=False):
                yield
        except BlockingIOError:
            raise BlockingIOError(
                f"Another process is training in {str(self.folder)!r}. Wait for it, or take "
                "another folder."
            ) from None

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `history.csv` anew."""
        columns = list(HISTORY_COLUMNS)
        columns += [key for row in rows for key in row if key not in columns]
        write_csv(self.folder / HISTORY, list(dict.fromkeys(columns)), rows)


def versions() -> dict[str, Any]:
    """Versions of what a result depends on."""
    from importlib import import_module

    import keras

    packages = ("keras_robust", "keras", keras.backend.backend(), "numpy")
    found: dict[str, Any] = {name: import_module(name).__version__ for name in packages}
    return {"python": platform.python_version(), "platform": platform.platform(), **found}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
