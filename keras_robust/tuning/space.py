"""What a tuning study searches: fields of the training configuration, and the range of each."""

import copy
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from keras_robust.common.errors import invalid
from keras_robust.common.yaml import read_yaml
from keras_robust.methods import method_fields

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["SPACES", "Range", "Space", "configured", "load_space", "space_of"]


class Range(BaseModel):
    """The values that one field may take.

    Args:
        low: Lowest value, included.
        high: Highest value, included.
        log: Search the logarithm, for values over orders of magnitude.
        step: Distance between the values; a whole number, between whole bounds, makes them whole.
        choices: The values themselves, instead of `low` and `high`.

    Raises:
        pydantic.ValidationError: If the values are not a range.

    >>> Range(low=0.5, high=8, log=True).samples()
    (0.5, 2.0, 8.0)
    >>> Range(low=4, high=16, step=4).samples(), Range(choices=["gce", "sce"]).samples()
    ((4, 8, 16), ('gce', 'sce'))
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)
    choices: tuple[str | int | float | bool | None, ...] = ()

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        bounds = (self.low, self.high)
        if self.choices:
            if bounds != (None, None) or self.log or self.step is not None:
                raise ValueError("Expected choices, or low and high. Received: both.")
            return self
        if self.low is None or self.high is None or not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"Expected low < high, or choices. Received: low, high={bounds}.")
        if self.log and self.low <= 0:
            raise ValueError(f"Expected low > 0 where log is set. Received: low={self.low}.")
        if self.log and self.step is not None and not (self.whole and self.step == 1):
            raise ValueError(f"Expected step=1, or none, beside log. Received: step={self.step}.")
        step = self.step or self.high - self.low
        steps = (self.high - self.low) / step
        if not math.isclose(steps, round(steps), rel_tol=1e-9):  # the highest would never be tried
            raise ValueError(
                "Expected a high that steps from low reach. Received: "
                f"low={self.low:g}, high={self.high:g}, step={step:g}; "
                f"{self.low + math.floor(steps) * step:g} would be the last."
            )
        return self

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        bounds = (self.low, self.high)
        return isinstance(self.step, int) and all(b is not None and b == int(b) for b in bounds)

    def samples(self) -> tuple[Any, ...]:
        """All choices, or the lowest, a middle and the highest value."""
        if self.low is None or self.high is None:
            return self.choices
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if self.step is not None:
            middle = self.low + self.step * math.floor((middle - self.low) / self.step + 1e-9)
        if self.whole:
            return int(self.low), int(middle), int(self.high)
        return self.low, middle, self.high

    def suggest(self, trial: "BaseTrial", name: str) -> Any:
        """What the sampler of an Optuna trial takes from the range."""
        if self.low is None or self.high is None:
            return trial.suggest_categorical(name, self.choices)
        if self.whole and isinstance(self.step, int):
            low, high = int(self.low), int(self.high)
            return trial.suggest_int(name, low, high, step=self.step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


class Space(BaseModel):
    """Fields of `TrainConfig` by their dotted names: some of one value, others to search.

    Args:
        fixed: Values that all trials share, over those of the configuration.
        search: Ranges of the fields to search.

    Raises:
        pydantic.ValidationError: If there is nothing to search.

    >>> Space.read({"loss": "gce", "loss_options.q": {"low": 0.1, "high": 1}}).fixed
    {'loss': 'gce'}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Range] = Field(min_length=1)

    @model_validator(mode="after")
    def _single_values(self) -> "Space":
        for name, value in self.fixed.items():
            if isinstance(value, Mapping):
                raise invalid(
                    "fixed",
                    "one value for each field",
                    said=f"{name}={value!r}",
                    remedy=(
                        "Give its fields by their dotted names, such as "
                        f"{name}.{next(iter(value), 'FIELD')}."
                    ),
                )
        return self

    def with_fixed(self, fields: Mapping[str, Any]) -> "Space":
        """The space with these values, of fields that are then not searched.

        Raises:
            ValueError: If nothing is left to search, or a value is a mapping.

        >>> space = Space.read({"a": {"low": 0, "high": 1}, "b": {"low": 0, "high": 1}})
        >>> list(space.with_fixed({"a": 0.5}).search)
        ['b']
        """
        search = {name: range_ for name, range_ in self.search.items() if name not in fields}
        if not search:
            raise invalid(
                "fields",
                "values that leave something to search",
                said=f"{', '.join(self.search)}, all that is searched",
                remedy="Leave one out.",
            )
        return Space(fixed={**self.fixed, **fields}, search=search)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Space":
        """A space from one mapping, in which fields to search have mappings as values.

        Raises:
            ValueError: If there is nothing to search, or a range is none.
        """
        ranges = {str(k): v for k, v in content.items() if isinstance(v, Mapping)}
        fixed = {str(k): v for k, v in content.items() if not isinstance(v, Mapping)}
        return cls.model_validate({"fixed": fixed, "search": ranges})

    def written(self) -> dict[str, Any]:
        """The mapping that `read` takes."""
        ranges = {
            k: v.model_dump(mode="json", exclude_defaults=True) for k, v in self.search.items()
        }
        return {**self.fixed, **ranges}


def configured(base: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with other values of some fields.

    Options belong to one loss or selection: another one begins without those of the old.

    Args:
        base: Fields of `TrainConfig`, sections as mappings.
        fields: Values by dotted names, applied in this order, but sections before their fields and
            a loss or selection before its options.

    >>> configured({"loss": "gce", "loss_options": {"q": 0.5}}, {"loss": "svls"})
    {'loss': 'svls', 'loss_options': {}}
    """
    result = copy.deepcopy(dict(base))
    owned = {"loss": "loss_options", "selection.name": "selection.options"}
    for name, value in sorted(fields.items(), key=lambda field: field[0].count(".")):
        if name in owned and _get(result, name) not in (None, value):
            _set(result, owned[name], {})
        _set(result, name, value)
    return result


def _get(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _set(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = name.split(".")
    for section in sections:
        if not isinstance(values.get(section), dict):
            values[section] = {}
        values = values[section]
    values[last] = value


# nnRobustLoss (2026), section 2.1: w of NGCE in (0, 1], R(tau) in [0, 0.1], alpha and beta in
# [0.5, 8] on a logarithmic scale, the spread of the Gaussian in [0.2, 2].
_EXPONENT = {"loss_options.q": Range(low=0.001, high=1)}
_FORGET = {"selection.options.forget_rate": Range(low=0, high=0.1)}
_BETA = {
    "selection.options.alpha": Range(low=0.5, high=8, log=True),
    "selection.options.beta": Range(low=0.5, high=8, log=True),
}
_SPREAD = {"loss_options.sigma": Range(low=0.2, high=2)}


_OF_LOSSES = {"gce": _EXPONENT, "ngce": _EXPONENT, "apl2": _EXPONENT, "svls": _SPREAD}
_OF_SELECTIONS = {"cot": _FORGET, "cot+": _FORGET, "stocot": _BETA}


def space_of(method: str) -> Space | None:
    """What there is to search of a loss, a sum of losses or a method with two peers.

    Args:
        method: A name that `keras_robust.losses.get` knows, or one of `METHODS`, or a loss and a
            selection with a dash between them.

    Returns:
        The ranges of nnRobustLoss for each of its parts; None where no part has one.

    >>> list(space_of("t+dice-stocot").search), space_of("ce+dice")
    (['selection.options.alpha', 'selection.options.beta'], None)
    """
    fields = method_fields(method, {})
    loss, selection = fields.pop("loss"), fields.pop("selection")
    del fields["loss_options"]
    search: dict[str, Range] = {}
    for part in re.split("[+-]", loss):
        search |= _OF_LOSSES.get(part, {})
    fixed: dict[str, Any] = {"loss": loss, "selection": None, **fields}
    if selection is not None:
        fixed = {"loss": loss, "selection.name": selection["name"], **fields}
        search |= _OF_SELECTIONS.get(selection["name"], {})
    return Space(fixed=fixed, search=search) if search else None


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        name: space
        for name in ("apl2", "cot", "cot+", "stocot", "svls", "hrl")
        if (space := space_of(name))
    }
)
"""The spaces of nnRobustLoss by the names of the methods, each with its loss and selection."""


def load_space(name: str | Path) -> Space:
    """A space by its name, or from a YAML file.

    Raises:
        ValueError: If it is neither, or the file holds no space.

    >>> sorted(load_space("stocot").search)
    ['selection.options.alpha', 'selection.options.beta']
    """
    if str(name) in SPACES:
        return SPACES[str(name)]
    path = Path(name)
    if not path.is_file():
        raise invalid("space", f"one of {list(SPACES)}, or a YAML file", str(name))
    example = "fields and their ranges, such as `loss_options.q: {low: 0.1, high: 1}`"
    return Space.read(read_yaml(path, example))
