"""The configuration of a run from a file, from options and from a run folder to continue."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_robust.cli.console import hint, progress_bar
from keras_robust.common.errors import invalid
from keras_robust.common.yaml import parse_yaml, read_yaml
from keras_robust.methods import check_names, method_fields
from keras_robust.training.config import TrainConfig
from keras_robust.training.defaults import (
    HELD_OUT,
    needs_plan,
    with_budget,
    with_held_out,
    with_plan,
)
from keras_robust.training.inputs import check_inputs
from keras_robust.training.run import Run

# Fields that a plan has of its own.
OF_PLANS = {
    "data.size": "plan.patch_size",
    "batch_size": "plan.batch_size",
    "learning_rate": "plan.learning_rate",
    "steps_per_epoch": "plan.steps_per_epoch",
}


def run_config(
    config: Path | None,
    output: Path | None,
    options: Mapping[str, Any],
    assignments: Iterable[str],
    resume: bool = False,
) -> tuple[TrainConfig, Path]:
    """Configuration and folder of the run that a command line asks for.

    Args:
        config: YAML file; `None` takes the defaults, or what is in the run folder to continue.
        output: Run folder; `None` for `runs/` and the name of the file or of the loss.
        options: Fields as dotted names; those that are `None` change nothing.
        assignments: Further fields as `name=value`, the value as YAML.
        resume: Whether `output` may hold a run.

    Raises:
        ValueError: An assignment without `=` or that is no YAML, values that do not fit, or a field
            that has no effect with a plan.

    >>> chosen, folder = run_config(None, None, {"data.path": "lesions"}, ["noise.alpha=0.7",
    ...     "noise.beta=0.7"])
    >>> chosen.noise.alpha, folder.as_posix()
    (0.7, 'runs/t+dice')
    """
    path = options.get("data.path")
    if path is not None and Path(path).suffix in (".yaml", ".yml"):
        raise invalid(
            "dataset",
            "a dataset folder",
            str(path),
            f"A configuration is given by --config {path}.",
        )
    values: dict[str, Any] = {}
    stored = output / "config.yaml" if output is not None else None
    if config is None and resume and stored is not None and stored.is_file():
        config = stored
    if config is not None:
        values = dict(read_yaml(config, "the fields of TrainConfig"))
    given = set_fields(values, options, assignments)
    method = str(values.get("loss", ""))
    fields = method_fields(method, dict(values.get("loss_options") or {}))
    if fields["selection"] is not None:
        values |= fields
    elif fields["loss"] != method:  # a single network, of which a selection may be named beside
        values |= {name: value for name, value in fields.items() if name != "selection"}
    if "path" not in (values.get("data") or {}):
        raise invalid(
            "dataset",
            (
                "a dataset folder, as in `keras-robust train DATASET`, or data.path in "
                "the file of --config"
            ),
            said="none",
        )
    plan = values.get("plan")
    if isinstance(plan, dict) and plan.keys() == {"configuration"}:
        values.pop("plan")  # for which `completed` makes one
    chosen = TrainConfig(**values)
    for name in OF_PLANS.keys() & given.keys() if chosen.plan else ():
        raise invalid(
            name,
            "none with a plan, which has its own",
            said=f"{name}={given[name]}",
            remedy=f"Give --set {OF_PLANS[name]}=... instead.",
        )
    if output is None:
        output = Path("runs") / (config.stem if config is not None else method or chosen.loss)
    return chosen, output


def runs_in(folders: Sequence[Path]) -> list[str]:
    """Run folders, those given and those in folders that are given."""
    from keras_robust.scheduling.records import find_runs

    return [str(run.folder) for run in find_runs(folders)]


def tested(config: TrainConfig) -> TrainConfig:
    """The configuration with a fold to test on where nothing names test images, which is said.

    Raises:
        FileNotFoundError, ValueError: See `with_held_out`.
    """
    found = with_held_out(config)
    if found.data.fold not in (None, config.data.fold):
        count = HELD_OUT[1]
        hint(f"No image is named for testing: one in {count} is held out for it.", err=True)
    return found


def completed(
    config: TrainConfig, plan_folder: Path, configuration: str | None = None
) -> TrainConfig:
    """The configuration with what nobody said: steps by the number of images, and for volumes a
    plan, which is made in a folder where it has none yet.

    Raises:
        FileNotFoundError, ValueError: See `with_budget` and `with_plan`.
    """
    if config.plan is None and (configuration is not None or needs_plan(config)):
        with progress_bar("Planning") as progress:
            config = with_plan(config, plan_folder, progress, configuration)
    return with_budget(config)


def check_run(config: TrainConfig, folder: Path, resume: bool = False) -> None:
    """Refuse what cannot be trained, as far as it is seen without Keras.

    Args:
        config: Of the run.
        folder: Of the run.
        resume: Whether it may hold a run already.

    Raises:
        FileNotFoundError, ValueError: There is no such dataset, annotator, split, plan or loss, or
            the folder holds a run.
    """
    run = Run(folder)
    if run.status == "finished" and resume:
        return
    run.require_free(resume)
    check_fields(config)
    check_inputs(config)


def check_fields(config: TrainConfig) -> None:
    """Refuse losses, options of these and networks that there are not, see `check_names`."""
    check_names(config.loss, config.loss_options, config.model.name)


def set_fields(
    values: dict[str, Any], options: Mapping[str, Any], assignments: Iterable[str]
) -> dict[str, Any]:
    """Set fields of a configuration, in place.

    Args:
        values: The configuration, sections as mappings.
        options: Fields as dotted names; those that are `None` change nothing.
        assignments: Further fields as `name=value`, the value as YAML.

    Returns:
        What was set, by dotted names.

    Raises:
        ValueError: An assignment without `=` or that is no YAML.

    >>> values = {"loss": "t"}
    >>> set_fields(values, {"epochs": 5, "seed": None}, ["data.cache=memory"])
    {'epochs': 5, 'data.cache': 'memory'}
    >>> values
    {'loss': 't', 'epochs': 5, 'data': {'cache': 'memory'}}
    """
    given = {name: value for name, value in options.items() if value is not None}
    given |= parse_assignments(assignments)
    for name, value in given.items():
        _assign(values, name.split("."), value)
    return given


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Values by dotted names, of `name=value` with the value as YAML.

    Raises:
        ValueError: An assignment without `=` or that is no YAML.

    >>> parse_assignments(["epochs=5", "data.fold=[0, 3]"])
    {'epochs': 5, 'data.fold': [0, 3]}
    """
    given = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise invalid("set", "name=value, such as noise.alpha=0.7", assignment)
        given[name.strip()] = parse_yaml(text, f"the option {assignment!r}")
    return given


def _assign(values: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[names[-1]] = value
