"""What a study consists of: losses x label noise x seeds, expanded to named runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from keras_robust.training.config import parse_yaml


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class LossEntry(BaseModel):
    """One loss of a study.

    Args:
        name: A name that `losses.get` knows, such as `"ngce+rce"`.
        options: Options of that loss, such as `{"event": "voxel"}`.
        label: What tables and figures call it; by default made from the name and the options.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None

    @property
    def slug(self) -> str:
        """The loss's part of a folder name.

        >>> LossEntry(name="t", options={"event": "voxel"}).slug
        't-event=voxel'
        """
        parts = [self.name]
        parts += [f"{key}={_short(value)}" for key, value in sorted(self.options.items())]
        return re.sub(r"[^A-Za-z0-9._+=-]+", "", "-".join(parts))


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its folder name, its training configuration and its label."""

    name: str
    config: Mapping[str, Any]
    label: str | None = None


class BenchmarkConfig(BaseModel):
    """A study: every loss at every noise setting with every seed.

    Args:
        base: Fields of `TrainConfig` that all runs share. Options under `noise` (`kinds`, `mode`,
            a fixed `seed`) are kept; without a noise seed, noise follows the seed of the run, so
            that all losses of one seed see the same noisy masks.
        losses: Names known to `losses.get`, or mappings `{name, options, label}`.
        noise: Pairs (alpha, beta); alpha = 0 is training on clean masks.
        seeds: One run per seed.
        nu_tilde: Further initialisations of T-Loss, run at the hardest noise setting, for the
            figure of its sensitivity.

    Raises:
        pydantic.ValidationError: If the study is empty or two losses would share a folder.

    >>> config = BenchmarkConfig(losses=["t"], noise=[(0, 0.7), (0.7, 0.7)], seeds=[0])
    >>> [run.name for run in config.runs()]
    ['t_a0_b0_s0', 't_a0.7_b0.7_s0']
    """

    model_config = ConfigDict(extra="forbid")

    base: dict[str, Any] = Field(default_factory=dict)
    losses: list[LossEntry] = Field(min_length=1)
    noise: list[tuple[float, float]] = Field(default=[(0.7, 0.7)], min_length=1)
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
    def _one_folder_each(cls, value: list[LossEntry]) -> list[LossEntry]:
        slugs = [entry.slug for entry in value]
        twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
        if twice:
            raise ValueError(
                "Invalid value for argument `losses`. Expected every loss once. "
                f"Received: {', '.join(twice)} more than once. Remove one of them."
            )
        return value

    @field_validator("noise")
    @classmethod
    def _in_range(cls, value: list[tuple[float, float]]) -> list[tuple[float, float]]:
        for alpha, beta in value:
            if not (0 <= alpha <= 1 and beta >= 0):
                raise ValueError(
                    "Invalid value for argument `noise`. Expected pairs (alpha, beta) with "
                    f"0 <= alpha <= 1 and beta >= 0. Received: ({alpha}, {beta})."
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
            ValueError: If the file is not YAML, or no study.
        """
        content = parse_yaml(Path(path).read_text(encoding="utf-8"), f"the file {str(path)!r}")
        if not isinstance(content, dict):
            raise ValueError(
                "Invalid value for argument `path`. Expected a YAML file with the keys `base`, "
                f"`losses`, `noise` and `seeds`. Received: path={str(path)!r}, which holds "
                f"{type(content).__name__}."
            )
        return cls(**content)

    def runs(self) -> list[PlannedRun]:
        """All runs, in the order of their use: the first seed of everything first."""
        main = [
            self._run(entry, setting, seed)
            for seed in self.seeds
            for setting in self.noise
            for entry in self.losses
        ]
        taken = {run.name for run in main}
        # The default start of nu_tilde is the main run itself.
        starts = [
            LossEntry(name="t", options={"nu_tilde": start}, label="T-Loss")
            for start in self.nu_tilde
            if not (start == 0 and any(e.name == "t" and not e.options for e in self.losses))
        ]
        hardest = max(self.noise)
        extra = [self._run(entry, hardest, seed) for seed in self.seeds for entry in starts]
        return main + [run for run in extra if run.name not in taken]

    def _run(self, entry: LossEntry, setting: tuple[float, float], seed: int) -> PlannedRun:
        alpha, beta = setting
        noise = None
        if alpha > 0:
            noise = {"seed": seed} | (self.base.get("noise") or {}) | {"alpha": alpha, "beta": beta}
        config = {
            **self.base,
            "loss": entry.name,
            "loss_options": dict(entry.options),
            "noise": noise,
            "seed": seed,
        }
        name = f"{entry.slug}_a{alpha:g}_b{beta:g}_s{seed}"
        return PlannedRun(name, config, entry.label)
