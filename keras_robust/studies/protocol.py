"""The protocol of nnRobustLoss in one call: methods are tuned, trained, cross-validated, reported.

Venkatraghavan et al., *Are robust loss functions still relevant for medical image segmentation with
noisy labels?* (2026), section 3.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.common.tables import read_frame
from keras_robust.common.yaml import read_yaml
from keras_robust.data import Dataset
from keras_robust.reports import page as html
from keras_robust.reports.names import loss_label
from keras_robust.scheduling.grid import BenchmarkConfig, LossEntry, PlannedRun
from keras_robust.scheduling.records import find_runs
from keras_robust.scheduling.scheduler import run_planned
from keras_robust.scheduling.state import StudyState
from keras_robust.studies.crossval.scores import score_runs
from keras_robust.training.config import TrainConfig
from keras_robust.training.defaults import needs_plan, with_budget, with_plan
from keras_robust.tuning.loop import TuningState
from keras_robust.tuning.space import Space, space_of
from keras_robust.tuning.tune import tune

__all__ = ["ProtocolProgress", "ProtocolResult", "Protocol", "run_protocol"]

_OF_METHODS = ("loss", "loss_options", "selection", "seed")


def _silent(*what: Any) -> None:
    pass


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how.

    Args:
        methods: Losses, sums of losses, or methods with two peers, as `LossEntry` names them. The
            first is what the others are tested against.
        folds: Of the images of `data.train_split`; every method is trained once in each, and
            measured on the images that it held out.
        seeds: One run per method, fold and seed.
        trials: Of the search of the options of each method, on noisy training masks alone; 0
            trains all with their defaults.
        trial_epochs: Of a trial.
        per_fold: Search in every fold, on its training images; else once, on those of the first.

    Raises:
        ValueError: Fewer than one method, a method twice, or a number that is too small.

    >>> Protocol(("ce+dice", "t+dice-stocot"), folds=3).labels
    {'ce+dice': 'CE+Dice', 't+dice-stocot': 'StoCoT T-Loss+Dice'}
    """

    methods: tuple[str, ...]
    folds: int = 3
    seeds: tuple[int, ...] = (0,)
    trials: int = 0
    trial_epochs: int = 50
    per_fold: bool = False

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise invalid("methods", "different methods, one at least", self.methods)
        for name, least in {"folds": 2, "trials": 0, "trial_epochs": 1}.items():
            if (number := getattr(self, name)) < least:
                raise invalid(name, f"{name} >= {least}", said=f"{name}={number}")
        if not self.seeds:
            raise invalid("seeds", "one seed at least", self.seeds)

    @property
    def labels(self) -> dict[str, str]:
        """What tables call the methods."""
        found = {}
        for method in self.methods:
            fields = LossEntry(name=method).training()
            found[method] = loss_label(fields["loss"], None, fields["selection"])
        return found


@dataclass(frozen=True)
class ProtocolProgress:
    """Callbacks of the stages: a method is tuned, runs are trained, runs are scored."""

    tuning: Callable[[str, TuningState], None] = _silent
    training: Callable[[StudyState], None] = _silent
    scoring: Progress = _silent


@dataclass(frozen=True)
class ProtocolResult:
    """What a comparison has come to.

    Args:
        report: The page; None where no run is finished.
        state: Of the runs.
        tuned: By method what was found in each fold that was searched: fields and values.
        dice: By method the mean over the images that were held out.
    """

    report: Path | None
    state: StudyState
    tuned: Mapping[str, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)
    dice: Mapping[str, float] = field(default_factory=dict)


def run_protocol(
    config: TrainConfig,
    output: str | Path,
    protocol: Protocol,
    *,
    jobs: int = 1,
    threads: int | None = None,
    retry: bool = False,
    progress: ProtocolProgress | None = None,
    **engine: Any,
) -> ProtocolResult:
    """Tune, train and cross-validate methods on one dataset, and report which is better.

    The same call continues after any stop: trials, runs and scores that are done are kept.

    Args:
        config: What all runs share. Its loss, options, selection and seed give way to the methods;
            its steps, and for volumes its plan, are chosen where it has none.
        output: Folder, made when missing; gets `tuning/`, `runs/`, `report/` and for volumes
            `plan/`.
        protocol: What is compared, and how.
        jobs: Trials or runs at a time.
        threads: CPU threads of each; by default the CPUs divided by `jobs`.
        retry: Also try what failed in an earlier call.
        progress: Called as things go on.
        engine: Of `tune` and `run_planned` both: `crew`, `command`, `complete`, `check`,
            `poll_seconds`.

    Raises:
        ImportError: Optuna is absent, and there is something to tune.
        ValueError: The dataset, the methods or the folder do not fit together; a method has no
            trial that is finished.
    """
    output, told = Path(output), progress or ProtocolProgress()
    base = _shared(config, output, protocol)
    study = _study(base, protocol)  # raises what does not fit
    options = {"threads": threads, "retry": retry, **engine}
    tuned = {
        method: _tuned(method, space, base, output, protocol, told, workers=jobs, **options)
        for method in protocol.methods
        if protocol.trials and (space := space_of(method))
    }
    state = run_planned(
        list(_runs(study, protocol, tuned)),
        output / "runs",
        jobs=jobs,
        progress=told.training,
        **options,
    )
    if not state.count("finished"):
        return ProtocolResult(None, state, tuned)
    score_runs(find_runs(output / "runs"), told.scoring, one_peer=True)
    from keras_robust.studies.crossval.report import write_cross_validation_report  # slow to import

    report = write_cross_validation_report(
        output / "runs",
        output / "report",
        "Comparison of methods",
        protocol.labels[protocol.methods[0]],
        foreword=_foreword(protocol, base, tuned),
    )
    means = read_frame(report.with_name("scores.csv")).groupby("method")["dice"].mean()
    dice = {m: float(means[label]) for m, label in protocol.labels.items() if label in means}
    return ProtocolResult(report, state, tuned, dice)


def _shared(config: TrainConfig, output: Path, protocol: Protocol) -> dict[str, Any]:
    """The fields that all runs share, steps and plan among them."""
    changes: dict[str, Any] = {"fold": (0, protocol.folds)}
    splits = Dataset.open(config.data.path).splits
    if "train_split" not in config.data.model_fields_set and "train" not in splits:
        changes["train_split"] = None
    config = config.model_copy(update={"data": config.data.model_copy(update=changes)})
    if needs_plan(config):
        config = with_plan(config, output / "plan")
    shared = with_budget(config).model_dump(mode="json", exclude_unset=True)
    for name in _OF_METHODS:
        shared.pop(name, None)
    del shared["data"]["fold"]
    return shared


def _tuned(
    method: str,
    space: Space,
    shared: Mapping[str, Any],
    output: Path,
    protocol: Protocol,
    progress: ProtocolProgress,
    **options: Any,
) -> dict[int, dict[str, Any]]:
    """The loss, its options and the selection that were best, by the fold that was searched.

    Raises:
        ValueError: No trial is finished.
    """
    found = {}
    for fold in range(protocol.folds if protocol.per_fold else 1):
        record = tune(
            {**shared, "data": {**shared["data"], "fold": [fold, protocol.folds]}},
            output / "tuning" / f"{LossEntry(name=method).slug}_f{fold}",
            space,
            trials=protocol.trials,
            epochs=protocol.trial_epochs,
            label=protocol.labels[method],
            progress=partial(progress.tuning, method),
            **options,
        )
        if record.best is None:
            raise invalid(
                "trials",
                f"one that is finished, of {method!r}",
                said=f"none in {str(record.folder)!r}",
                remedy="trials.csv there says why; try them again (`retry`), or leave it out.",
            )
        best = read_yaml(record.folder / "best.yaml", "a tuned configuration")
        found[fold] = {name: best.get(name) for name in _OF_METHODS[:3]}
    return found


def _study(shared: Mapping[str, Any], protocol: Protocol) -> BenchmarkConfig:
    """Methods as a study, of the noise that the configuration has or of none."""
    noise = dict(shared.get("noise") or {})
    setting = noise.pop("alpha", 0.0), noise.pop("beta", 0.0)
    return BenchmarkConfig(
        base={**shared, "noise": noise or None},
        losses=[LossEntry(name=method) for method in protocol.methods],
        noise=[setting],
        folds=protocol.folds,
        seeds=list(protocol.seeds),
    )


def _runs(
    study: BenchmarkConfig,
    protocol: Protocol,
    tuned: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> Iterator[PlannedRun]:
    """The runs of a study, with what was found for their method and fold."""
    runs = study.runs()
    methods = protocol.methods * (len(runs) // len(protocol.methods))
    for run, method in zip(runs, methods, strict=True):
        found = tuned.get(method, {})
        own = found.get(run.config["data"]["fold"][0], found.get(0, {}))
        yield replace(run, config={**run.config, **own}, label=protocol.labels[method])


def _foreword(
    protocol: Protocol,
    shared: Mapping[str, Any],
    tuned: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> list[str]:
    """What was done, in words, and what was found."""
    import pandas as pd

    epochs = shared.get("epochs") or TrainConfig.model_fields["epochs"].default
    text = (
        f"{len(protocol.methods)} methods, each trained in {protocol.folds} folds with "
        f"{len(protocol.seeds)} seed(s) for {epochs} epochs, and measured on the images that it "
        "held out."
    )
    if not protocol.trials:
        return [html.paragraph(f"{text} None was tuned: all have their default options.")]
    where = "in every fold" if protocol.per_fold else "on the training images of the first fold"
    text += (
        f" Options were searched {where}: {protocol.trials} trials of {protocol.trial_epochs} "
        "epochs each, for the highest moving average of the Dice on the training masks, noisy as "
        "they are."
    )
    without = [label for name, label in protocol.labels.items() if name not in tuned]
    if without:
        text += f" Nothing is searched of {', '.join(without)}."
    rows = [
        {"method": protocol.labels[method], "fold": fold, **_options(fields)}
        for method, found in tuned.items()
        for fold, fields in found.items()
    ]
    table = html.table(pd.DataFrame(rows).fillna("–"), index=False) if rows else ""
    return [html.heading("Protocol"), html.paragraph(text), table]


def _options(fields: Mapping[str, Any]) -> dict[str, str]:
    """Options of a loss and a selection, in short.

    >>> _options({"loss": "gce", "loss_options": {"q": 0.51234}, "selection": None})
    {'q': '0.512'}
    """
    given = {**(fields["loss_options"] or {}), **((fields["selection"] or {}).get("options") or {})}
    return {k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in given.items()}
