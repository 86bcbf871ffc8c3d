"""What a study consists of: methods x label noise x folds x seeds, expanded to named runs."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from keras_robust.common.errors import invalid
from keras_robust.common.yaml import read_yaml
from keras_robust.methods import find_method, method_fields
from keras_robust.training.config import Options, SelectionConfig, TrainConfig
from keras_robust.training.defaults import with_budget


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _options(options: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_short(value)}" for key, value in sorted(options.items())]


class LossEntry(BaseModel):
    """One loss of a study, or one method with two peers.

    Args:
        name: A name that `losses.get` knows, such as `"ngce+rce"`, or one of a method with two
            peers: `"cot"`, `"cot+"`, `"stocot"`, `"hrl"`, or a loss with one of the first three,
            such as `"t+dice-stocot"`. With `-corrected` behind it masks are corrected meanwhile,
            see `TrainConfig.correct`.
        options: Options of the loss and, of a method, of its selection.
        selection: Two peers that choose voxels this way with the loss `name`.
        annotator: Whose masks to train on, in place of those of `base`: `"gold"`, say, for a
            reference among runs on noisy masks.
        label: What tables and figures call it; by default made from the other fields.

    >>> LossEntry(name="hrl", options={"sigma": 0.5}).training()["loss"]
    'svls-apl2'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: Options = Field(default_factory=dict)
    selection: SelectionConfig | None = None
    annotator: str | None = None
    label: str | None = None

    @model_validator(mode="after")
    def _one_selection(self) -> "LossEntry":
        if self.selection is not None and find_method(self.name):
            raise invalid(
                "selection",
                "none beside a method with two peers, which has one",
                said=f"name={self.name!r} with selection={self.selection.name!r}",
                remedy="Give its options as `options`, or name a loss.",
            )
        return self

    def training(self) -> dict[str, Any]:
        """Fields of a `TrainConfig`, see `keras_robust.methods.method_fields`."""
        fields = method_fields(self.name, self.options)
        if self.selection is not None:
            fields["selection"] = self.selection.model_dump()
        return fields

    @property
    def slug(self) -> str:
        """The entry's part of a folder name; of other characters the letters and digits alone.

        >>> LossEntry(name="t", options={"event": "voxel"}).slug
        't-event=voxel'
        >>> LossEntry(name="t+dice", selection={"name": "cot"}, annotator="gold").slug
        't+dice-cot-gold'
        """
        parts = [self.name, *_options(self.options)]
        if self.selection is not None:
            parts += [self.selection.name, *_options(self.selection.options)]
        if self.annotator is not None:
            parts.append(self.annotator)
        return re.sub(r"[^\w.+=-]+", "", unicodedata.normalize("NFC", "-".join(parts)))


def _folders(entries: Sequence[LossEntry]) -> list[str]:
    """The slugs, with a digest where entries before have the same: slugs are rounded.

    >>> _folders([LossEntry(name="gce", options={"q": q}) for q in (0.1234567, 0.1234568)])
    ['gce-q=0.123457', 'gce-q=0.123457-c41a998e']
    """
    names: list[str] = []
    for entry in entries:
        name = entry.slug
        if name in names:
            content = json.dumps(_trained(entry), sort_keys=True, default=str)
            name += f"-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        names.append(name)
    return names


def _trained(entry: LossEntry) -> dict[str, Any]:
    return {**entry.training(), "annotator": entry.annotator}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its folder name, its training configuration and its label.

    `start` is true of a run that shows another start of T-Loss, beside the table of the study.
    """

    name: str
    config: Mapping[str, Any]
    label: str | None = None
    start: bool = False


class BenchmarkConfig(BaseModel):
    """A study: every loss or method at every noise setting, in every fold, with every seed.

    Args:
        base: Fields of `TrainConfig` that all runs share. Options under `noise` (`kinds`, `mode`,
            a fixed `seed`) are kept; without a noise seed, noise follows the seed of the run, so
            that all losses of one seed see the same noisy masks.
        losses: Names, or mappings of the fields of `LossEntry`.
        noise: Pairs (alpha, beta); alpha = 0 is training on clean masks.
        folds: Cross-validation with so many folds, one run each; None for the splits of `base`.
        seeds: One run per seed.
        nu_tilde: Further initialisations of T-Loss, run at the hardest noise setting, for the
            figure of its sensitivity.

    Raises:
        pydantic.ValidationError: If the study is empty, has a loss twice, or `base` names what the
            study varies.

    >>> config = BenchmarkConfig(losses=["t"], noise=[(0, 0.7), (0.7, 0.7)], seeds=[0])
    >>> [run.name for run in config.runs()]
    ['t_a0_b0_s0', 't_a0.7_b0.7_s0']
    >>> config = BenchmarkConfig(losses=["hrl"], noise=[(0, 0)], folds=2, seeds=[0])
    >>> [run.name for run in config.runs()]
    ['hrl_a0_b0_f0_s0', 'hrl_a0_b0_f1_s0']
    """

    model_config = ConfigDict(extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict)
    losses: list[LossEntry] = Field(min_length=1)
    noise: list[tuple[float, float]] = Field(default=[(0.7, 0.7)], min_length=1)
    folds: int | None = Field(default=None, ge=2)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    nu_tilde: list[float] = Field(default_factory=list)

    @field_validator("losses", mode="before")
    @classmethod
    def _names_are_losses(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"name": entry} if isinstance(entry, str) else entry for entry in value]

    @field_validator("losses")
    @classmethod
    def _each_once(cls, value: list[LossEntry]) -> list[LossEntry]:
        given = [(entry.slug, _trained(entry)) for entry in value]
        twice = sorted({entry[0] for entry in given if given.count(entry) > 1})
        if twice:
            raise invalid(
                "losses",
                "every loss once",
                said=f"{', '.join(twice)} more than once",
                remedy="Remove one of them.",
            )
        return value

    @model_validator(mode="after")
    def _base_varies_nothing(self) -> "BenchmarkConfig":
        for name in ("data", "noise"):
            if not isinstance(self.base.get(name) or {}, Mapping):
                raise invalid(
                    "base", f"a mapping of fields as {name!r}", said=f"{name}={self.base[name]!r}"
                )
        varied = {"loss": "losses", "loss_options": "losses", "selection": "losses"}
        varied |= {"seed": "seeds", "noise.alpha": "noise", "noise.beta": "noise"}
        if self.folds is not None:
            varied["data.fold"] = "folds"
        for name, field in varied.items():
            section, _, key = name.rpartition(".")
            values = (self.base.get(section) or {}) if section else self.base
            if values.get(key) not in (None, {}):
                raise invalid(
                    "base",
                    f"no {name!r}, which `{field}` gives",
                    said=f"{name}={values[key]!r}",
                    remedy="Move it there.",
                )
        return self

    @field_validator("noise")
    @classmethod
    def _in_range(cls, value: list[tuple[float, float]]) -> list[tuple[float, float]]:
        for alpha, beta in value:
            if not (0 <= alpha <= 1 and beta >= 0):
                raise invalid(
                    "noise",
                    "pairs (alpha, beta) with 0 <= alpha <= 1 and beta >= 0",
                    said=f"({alpha}, {beta})",
                )
        # Without noisy masks beta has no meaning: (0, 0.5) and (0, 0.7) are the same run.
        return list(dict.fromkeys((a, b) if a > 0 else (0.0, 0.0) for a, b in value))

    @field_validator("seeds", "nu_tilde")
    @classmethod
    def _once(cls, value: list[Any]) -> list[Any]:
        return list(dict.fromkeys(value))

    @classmethod
    def load(cls, path: str | Path) -> "BenchmarkConfig":
        """Read a study from a YAML file.

        Raises:
            FileNotFoundError, IsADirectoryError, ValueError: See
                `keras_robust.common.yaml.read_yaml`; or the file holds no study.
        """
        return cls.model_validate(read_yaml(path, "the keys `base`, `losses`, `noise` and `seeds`"))

    def with_data(self, path: str | Path) -> "BenchmarkConfig":
        """The study with the dataset in another folder."""
        data = {**(self.base.get("data") or {}), "path": str(path)}
        return self.model_copy(update={"base": {**self.base, "data": data}})

    def with_budget(self) -> "BenchmarkConfig":
        """The study with batches and steps by the number of its images, where it names neither.

        Raises:
            FileNotFoundError, ValueError: Its first run cannot be configured, or has no cases.
        """
        first = TrainConfig(**self.runs()[0].config)
        chosen = with_budget(first)
        if chosen.plan or chosen is first:
            return self
        own = {name: getattr(chosen, name) for name in ("batch_size", "steps_per_epoch")}
        return self.model_copy(update={"base": {**self.base, **own}})

    def runs(self) -> list[PlannedRun]:
        """All runs, in the order of their use: the first seed and fold of everything first."""
        folds = [None] if self.folds is None else [*range(self.folds)]
        losses = [*zip(_folders(self.losses), self.losses, strict=True)]
        main = [
            self._run(folder, entry, setting, fold, seed)
            for seed in self.seeds
            for fold in folds
            for setting in self.noise
            for folder, entry in losses
        ]
        taken = {run.name for run in main}
        # The default start of nu_tilde is the main run itself.
        starts = [
            LossEntry(name="t", options={"nu_tilde": start}, label="T-Loss")
            for start in self.nu_tilde
            if not (start == 0 and _trained(LossEntry(name="t")) in map(_trained, self.losses))
        ]
        hardest = max(self.noise)
        extra = [
            replace(self._run(entry.slug, entry, hardest, fold, seed), start=True)
            for seed in self.seeds
            for fold in folds
            for entry in starts
        ]
        return main + [run for run in extra if run.name not in taken]

    def _run(
        self,
        folder: str,
        entry: LossEntry,
        setting: tuple[float, float],
        fold: int | None,
        seed: int,
    ) -> PlannedRun:
        alpha, beta = setting
        noise = None
        if alpha > 0:
            noise = {"seed": seed} | (self.base.get("noise") or {}) | {"alpha": alpha, "beta": beta}
        config = {**self.base, **entry.training(), "noise": noise, "seed": seed}
        data: dict[str, Any] = {}
        if fold is not None:
            data["fold"] = [fold, self.folds]
        if entry.annotator is not None:
            data["annotator"] = entry.annotator
        if data:
            config["data"] = {**(self.base.get("data") or {}), **data}
        part = "" if fold is None else f"_f{fold}"
        name = f"{folder}_a{alpha:g}_b{beta:g}{part}_s{seed}"
        return PlannedRun(name, config, entry.label)
