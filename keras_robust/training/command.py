"""The configuration of a run from a file, from options and from a run folder to continue."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.yaml import parse_yaml
from keras_robust.training.config import TrainConfig

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
    (0.7, 'runs/t')
    """
    values: dict[str, Any] = {}
    stored = output / "config.yaml" if output is not None else None
    if config is None and resume and stored is not None and stored.is_file():
        config = stored
    if config is not None:
        values = TrainConfig.load(config).model_dump(exclude_unset=True)
    given = set_fields(values, options, assignments)
    if "path" not in (values.get("data") or {}):
        raise ValueError(
            "Invalid value for argument `data`. Expected a dataset folder, by --data or as "
            "data.path in CONFIG. Received: none"
        )
    chosen = TrainConfig(**values)
    for name in OF_PLANS.keys() & given.keys() if chosen.plan else ():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected none with a plan, which has its own. "
            f"Received: {name}={given[name]}. Give --set {OF_PLANS[name]}=... instead."
        )
    if output is None:
        output = Path("runs") / (config.stem if config is not None else chosen.loss)
    return chosen, output


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
            raise ValueError(
                "Invalid value for argument `set`. Expected name=value, such as noise.alpha=0.7. "
                f"Received: set={assignment!r}"
            )
        given[name.strip()] = parse_yaml(text, f"the option {assignment!r}")
    return given


def _assign(values: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[names[-1]] = value
