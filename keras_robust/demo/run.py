"""The demonstration: wrong masks of the packaged images are found, and repaired or borne."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_robust.annotators import clean_annotator, simulate_dataset
from keras_robust.audit import Audit, audit
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, locked
from keras_robust.common.opening import read_json
from keras_robust.common.progress import StageProgress
from keras_robust.common.tables import read_frame
from keras_robust.data import Dataset, sample
from keras_robust.data.layouts.manifest_writing import append_rows
from keras_robust.noise import LabelNoise, read_log
from keras_robust.refinement.refine import write_targets
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import run_planned
from keras_robust.scheduling.state import StudyState

__all__ = ["KINDS", "Demo", "DemoSettings", "run_demo"]

# Those of the mistakes that a picture with one object can have.
KINDS = (
    *("cut", "hole", "leak", "object_missing", "object_added"),
    *("polygon", "brush", "mirror", "rotate", "other_case"),
)
NOISY, REFINED, REPAIRED = "annotated", "refined", "repaired"
SETTINGS = "demo.json"
RUNS = {
    "plain": ("ce+dice", NOISY, "CE + Dice on the masks as they are"),
    "robust": ("t+dice", NOISY, "T-Loss + Dice on the masks as they are"),
    "refined": ("t+dice", REFINED, "T-Loss + Dice on soft targets, by the audit alone"),
    "repaired": ("ce+dice", REPAIRED, "CE + Dice after the review of the first {first}"),
}
"""By the name of a run: its loss, whose masks it is trained on, and what the report calls it."""


@dataclass(frozen=True)
class DemoSettings:
    """How the demonstration is run: like real annotation, in minutes on two processor cores.

    Args:
        alpha: Share of the training masks that are made wrong.
        beta: Relative change of area of each.
        size: Height and width in pixels that images are resized to for training.
        features: Of the first level of every network.
        judge_epochs: Of the networks of the audit.
        epochs: Of the networks that are compared.
        first: Masks that are looked at, the most suspicious ones.
        seed: Of the mistakes.
    """

    alpha: float = 0.3
    beta: float = 0.5
    size: int = 96
    features: int = 8
    judge_epochs: int = 60
    epochs: int = 40
    first: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Demo:
    """What a demonstration measured.

    Args:
        folder: Of `data/` (a dataset), `audit/`, `runs/` and `report.html`.
        settings: As it was run.
        found: The audit of the masks.
        kinds: What was done to each mask, by id; "clean" where nothing was.
        runs: Trained networks by the names of `RUNS`.
    """

    folder: Path
    settings: DemoSettings
    found: Audit
    kinds: Mapping[str, str]
    runs: Mapping[str, RunRecord]

    @property
    def wrong(self) -> frozenset[str]:
        """Ids of the masks that differ from the clean ones."""
        options: dict[str, Any] = {"dtype": {"id": str}, "keep_default_na": False}
        table = read_frame(self.found.folder / "truth.csv", **options)
        return frozenset(table.loc[table["wrong"], "id"])

    @property
    def looked_at(self) -> tuple[str, ...]:
        """Ids of the masks that the audit ranks first, worst first."""
        return tuple(case.id for case in self.found.cases[: self.settings.first])

    @property
    def hits(self) -> int:
        """How many of those that are looked at are wrong."""
        return len(self.wrong & set(self.looked_at))

    @property
    def dataset(self) -> Dataset:
        """Images with the masks of all annotators."""
        return Dataset.open(self.folder / "data")

    def dice(self, name: str) -> float:
        """Mean Dice of a run on the test images, against clean masks."""
        return self.runs[name].mean_of_last("dice_test")

    def lines(self) -> list[str]:
        """What was measured, and what comes next; the last line starts the review."""
        share = len(self.wrong) / len(self.found.cases)
        by_chance = share * len(self.looked_at)
        wide = max(len(self.title(name)) for name in RUNS)
        return [
            f"{len(self.wrong)} of {len(self.found.cases)} training masks are wrong, in "
            f"{len(self.done)} ways; the audit was not told which.",
            f"Of the {len(self.looked_at)} that it ranks first, {self.hits} are wrong "
            f"({by_chance:.0f} by chance).",
            "Dice on clean test masks, one seed:",
            *(f"  {self.title(name):{wide}}  {self.dice(name):.3f}" for name in RUNS),
            f"Report: {self.folder / 'report.html'}",
            f"Picture: {self.folder / 'demo.png'}",
        ]

    @property
    def done(self) -> dict[str, int]:
        """How many masks each kind of mistake made wrong."""
        names = [kind for id, kind in self.kinds.items() if id in self.wrong]
        return {kind: names.count(kind) for kind in KINDS if kind in names}

    def title(self, name: str) -> str:
        """What the report calls a run."""
        return RUNS[name][2].format(first=len(self.looked_at))


def run_demo(
    output: str | Path,
    settings: DemoSettings | None = None,
    jobs: int = 2,
    progress: StageProgress | None = None,
    training: Callable[[StudyState], None] | None = None,
) -> Demo:
    """Make masks of the packaged images wrong, find them, train, and write `report.html`.

    The same call again continues where an interrupted one stopped, and writes only the report anew
    where nothing remains to be trained.

    Args:
        output: Folder, made when missing.
        settings: As `DemoSettings` by default.
        jobs: Networks at a time.
        progress: Of the audit, see `keras_robust.audit.audit`.
        training: Of the networks that are compared, see `run_planned`.

    Raises:
        RuntimeError: A training failed; its log is named.
        ValueError: `output` holds a demonstration of other settings.
    """
    from keras_robust.demo.report import write_demo_report

    output, asked = Path(output), settings or DemoSettings()
    _claim(output, asked)
    clean = clean_annotator(sample()) or ""
    noise = LabelNoise(asked.alpha, asked.beta, asked.seed, kinds=KINDS)
    masks = simulate_dataset(sample().root, noise, NOISY, output=output / "data")
    found = audit(
        output / "data",
        output / "audit",
        annotator=NOISY,
        truth=clean,
        split="train",
        folds=2,
        size=(asked.size, asked.size),
        epochs=asked.judge_epochs,
        training={"model": {"features": asked.features}, "data": {"cache": "memory"}},
        jobs=jobs,
        progress=progress,
    )
    kinds = {entry.id: entry.kind for entry in read_log(masks / "noise.jsonl")}
    if REFINED not in Dataset.open(output / "data").annotators:
        tell = progress or (lambda stage, done, total: None)
        write_targets(Dataset.open(output / "data"), found, output / "data", REFINED, tell)
    _repair(output / "data", [case.id for case in found.cases[: asked.first]], clean)
    state = run_planned(
        [_run(output / "data", name, asked, clean) for name in RUNS],
        output / "runs",
        jobs=jobs,
        retry=True,
        progress=training,
    )
    unfinished = [run for run in state.runs if run.state != "finished"]
    if unfinished:
        reasons = ". ".join(f"{run.plan.name}: {run.error or run.state}" for run in unfinished)
        raise RuntimeError(f"Not all runs finished. {reasons}. Details are in {output / 'runs'}.")
    runs = {run.plan.name: RunRecord.read(run.folder) for run in state.runs}
    demo = Demo(output, asked, found, kinds, runs)
    write_demo_report(demo)
    return demo


def _claim(output: Path, settings: DemoSettings) -> None:
    there = output / SETTINGS
    if there.is_file() and read_json(there, dict) != asdict(settings):
        raise invalid(
            "output",
            "a folder without a demonstration of other settings",
            str(output),
            "Give another output folder.",
        )
    atomic_write_json(there, asdict(settings))


def _repair(folder: Path, ids: list[str], clean: str) -> None:
    """Add an annotator who has the clean masks of some images, as after their review."""
    dataset = Dataset.open(folder)
    right = {case.id: case.mask for case in dataset.select(annotator=clean)}
    cases = list(dataset.select(annotator=NOISY))
    masks = {case.id: right[case.id] if case.id in ids else case.mask for case in cases}
    with locked(folder / ".manifest.lock"):
        append_rows(folder, cases, REPAIRED, {id: mask for id, mask in masks.items() if mask})


def _run(folder: Path, name: str, settings: DemoSettings, clean: str) -> PlannedRun:
    loss, annotator, _ = RUNS[name]
    config: dict[str, Any] = {
        "data": {
            "path": str(folder.absolute()),
            "size": [settings.size, settings.size],
            "annotator": annotator,
            "clean_annotator": clean,
            "cache": "memory",
        },
        "loss": loss,
        "model": {"features": settings.features},
        "epochs": settings.epochs,
        "batch_size": 8,
        "evaluate_every": 5,
        "evaluate_last": min(10, settings.epochs),
        "save_predictions": 0,
        "tensorboard": False,
    }
    return PlannedRun(name, config, RUNS[name][2].format(first=settings.first))
