"""The files of a plan: writing and reading them, and refusing those of another data set."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.opening import read_bytes
from keras_robust.common.progress import Progress
from keras_robust.data import Dataset
from keras_robust.planning.fingerprint import Fingerprint, fingerprint
from keras_robust.planning.plan import CONFIGURATIONS, Plan, make_plans

Record = TypeVar("Record", bound=BaseModel)


def write_plan_of(
    chosen: Dataset,
    folder: str | Path,
    progress: Progress | None = None,
    workers: int | None = None,
    *,
    memory_gib: float | None = None,
    preset: str = "plain",
    anew: bool = True,
) -> Plan:
    """Plan for images and masks, and leave `plan.json` and `fingerprint.json` in a folder, and the
    plans of further configurations beside it, as `plan_2d.json`.

    Args:
        chosen: The cases to look at, of one annotator.
        folder: Made when missing.
        progress: Called as `progress(done, total)`.
        workers: Threads that read images.
        memory_gib, preset: As of `keras_robust.planning.make_plans`.
        anew: Also where the folder has a plan, which is else left as it is and returned.

    Returns:
        The plan in `plan.json`.

    Raises:
        ValueError: See `fingerprint`, `make_plan` and `load_plan`.
    """
    folder = Path(folder)
    if not anew and (folder / "plan.json").is_file():
        return load_plan(folder)[0]
    found = fingerprint(chosen, progress, workers)
    plans = make_plans(found, memory_gib, preset)
    made = plans.pop("3d_fullres", None) or plans.pop("2d")
    atomic_write_text(folder / "fingerprint.json", found.model_dump_json(indent=2) + "\n")
    for name in CONFIGURATIONS:  # also of those that an earlier plan had
        if name in plans:
            atomic_write_text(folder / file_of(name), plans[name].to_json())
        else:
            (folder / file_of(name)).unlink(missing_ok=True)
    atomic_write_text(folder / "plan.json", made.to_json())
    return made


def file_of(configuration: str) -> str:
    """Name of the file of a configuration that is not that of `plan.json`."""
    return f"plan_{configuration}.json"


def load_configuration(
    folder: str | Path, configuration: str | None = None
) -> tuple[Plan, Fingerprint]:
    """The plan of a configuration; `None` for that of `plan.json`.

    Raises:
        FileNotFoundError, ValueError: It was not planned; see also `load_plan`.
    """
    folder = Path(folder)
    if configuration is None:
        return load_plan(folder)
    if (folder / file_of(configuration)).is_file():
        return load_plan(folder, file_of(configuration))
    plan, found = load_plan(folder)
    if plan.configuration != configuration:
        raise invalid(
            "configuration",
            f"one of those planned, {[plan.configuration, *planned_beside(folder)]}",
            configuration,
            "Few data sets have all: `3d_lowres` and the cascade are for large volumes.",
        )
    return plan, found


def planned_beside(folder: Path) -> list[str]:
    """The configurations of a folder beside that of `plan.json`."""
    return [name for name in CONFIGURATIONS if (folder / file_of(name)).is_file()]


def cases_folder(folder: Path, plan: Plan) -> Path:
    """Where the preprocessed cases of a plan go: one folder of each spacing."""
    coarse = plan.configuration == "3d_lowres" or plan.slices
    return folder / (f"cases_{plan.configuration}" if coarse else "cases")


def load_plan(folder: str | Path, name: str = "plan.json") -> tuple[Plan, Fingerprint]:
    """What `keras-robust plan` wrote.

    Args:
        folder: Holds the plan and `fingerprint.json`.
        name: Of the plan's file.

    Raises:
        FileNotFoundError: One of them is not there.
        ValueError: One of them is damaged, or lacks a field.
    """
    folder = Path(folder)
    return _read(folder / name, Plan), _read(folder / "fingerprint.json", Fingerprint)


def require_plan_of(folder: Path, plan: Plan, fingerprint: Fingerprint) -> None:
    """See to it that a run goes on with the plan that it began with.

    Args:
        folder: Of the run, in which an earlier start left its plan.
        plan: As the run would use it now.
        fingerprint: Of that plan.

    Raises:
        ValueError: The plan has changed since.
    """
    if load_plan(folder, "training_plan.json") != (plan, fingerprint):
        raise invalid(
            "plan.folder",
            f"the plan that the run in {str(folder)!r} began with",
            said="another, of other images or settings",
            remedy=(
                "Put back training_plan.json and fingerprint.json of the run, as "
                "plan.json and fingerprint.json, or take another folder for another "
                "plan."
            ),
        )


def _read(path: Path, kind: type[Record]) -> Record:
    folder = f"plan.folder={str(path.parent)!r}"
    try:
        return kind.model_validate_json(read_bytes(path))
    except FileNotFoundError:
        raise invalid(
            "plan.folder",
            "a folder with plan.json and fingerprint.json",
            said=f"{folder}, which lacks {path.name}",
            remedy=f"Write them: keras-robust plan DATASET --output {path.parent}",
            kind=FileNotFoundError,
        ) from None
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, one['loc'])) or path.name}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise invalid(
            "plan.folder",
            "files as `keras-robust plan` writes them, or edited with care",
            said=f"{folder}, whose {path.name} does not fit. {'; '.join(found)}",
            remedy="Correct it, or plan again.",
        ) from error
