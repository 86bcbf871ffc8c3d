"""Closing the loop: audit, soft targets in place of masks that are surely wrong, training again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_robust.annotators.roles import REFINED_JOURNAL, clean_annotator
from keras_robust.annotators.writing import (
    annotator_folder,
    check_annotator,
    write_annotator,
    write_hashed,
)
from keras_robust.audit.folder import JUDGES, Audit, audit_folder, read_audit
from keras_robust.audit.inputs import choose_inputs
from keras_robust.audit.judges import judge_config, with_plan, with_steps
from keras_robust.audit.options import AuditOptions
from keras_robust.common.errors import invalid
from keras_robust.common.files import locked
from keras_robust.common.hashes import sha256
from keras_robust.common.opening import read_json
from keras_robust.common.progress import StageProgress
from keras_robust.common.tables import write_csv
from keras_robust.data import Case, Dataset
from keras_robust.data.files.soft_masks import encode_soft_mask, soft_mask_suffix
from keras_robust.data.layouts.manifest_writing import add_soft_annotator, writable_home
from keras_robust.refinement.targets import refined_targets, sureness
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import run_planned
from keras_robust.scheduling.state import StudyState

__all__ = ["Refinement", "refine", "write_targets"]

TABLE, RUNS = "refined.csv", "runs"
PLAIN, REFINED = "plain", "refined"
STEPS = 1000  # where the audit has not trained, whose number of steps would be taken
EVERY_FIELD = {"save_predictions": 0, "tensorboard": False}


@dataclass(frozen=True)
class Refinement:
    """What was changed, and what came of it.

    Args:
        folder: With refined.csv, a row per mask, and the run folders in `runs/`.
        annotator: Name of the new annotator, whose masks are the soft targets.
        changed: Masks that are no longer as they were drawn.
        masks: Their number in all.
        dice: Test Dice of each run, `refined` and, where it was asked for, `plain`; empty where
            the dataset has no test images.
    """

    folder: Path
    annotator: str
    changed: int
    masks: int
    dice: Mapping[str, float]

    @property
    def summary(self) -> list[str]:
        """A sentence each on what was changed and on the Dice of the models."""
        lines = [
            f"{self.changed} of {self.masks} masks became soft targets, as far as the audit is "
            f"sure that they are wrong; annotator {self.annotator}."
        ]
        if self.dice:
            told = ", ".join(f"{name} {value:.4f}" for name, value in self.dice.items())
            lines.append(f"Dice on the test images: {told}.")
        return lines


def refine(
    dataset: str | Path,
    output: str | Path,
    audited: str | Path | None = None,
    *,
    name: str | None = None,
    home: str | Path | None = None,
    truth: str | None = None,
    compare: bool = False,
    steps: int | None = None,
    training: Mapping[str, Any] | None = None,
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> Refinement:
    """Train on masks of which those that an audit is sure of are replaced by soft targets.

    The masks of the audited annotator stay as they are; the targets are a new annotator, on whom
    anything else may train as well. The same call again continues.

    Args:
        dataset: Dataset folder.
        output: Folder of what is made, and of the runs.
        audited: Folder of a finished audit of one annotator, ranked by `default`; by default the
            one beside the dataset.
        name: Of the new annotator; NAME-refined by default.
        home: New dataset folder that takes the targets, where `dataset` has another layout than a
            manifest or is read-only.
        truth: Annotator whose masks of the split `test` are right, for the test Dice; by default
            the audited one, or where that is simulated, the only one who is not.
        compare: Train on the masks as they are as well, in the same way.
        steps: Of a run; by default those of the audit's folds, or 1,000.
        training: Further fields of `TrainConfig`.
        threads: CPU threads.
        progress: Called as `progress(stage, done, total)`: `"targets"`, `"plan"`, `"training"`.

    Raises:
        FileNotFoundError: There is no dataset, or no finished audit of it.
        ValueError: The audit judged several annotators, or ranks by another score; training failed.
    """
    tell = progress or (lambda stage, done, total: None)
    opened, output = Dataset.open(dataset), Path(output)
    found = _usable(read_audit(audited or audit_folder(dataset)))
    source = found.annotators[0]
    split = found.info["settings"].get("split")
    annotator = check_annotator(name or f"{source}-refined")
    into = writable_home(opened, home)
    rows = write_targets(opened, found, into, annotator, tell)
    output.mkdir(parents=True, exist_ok=True)
    write_csv(output / TABLE, list(rows[0]), rows)
    runs = _runs(into, found, annotator, truth, output, compare, steps, split, training, tell)

    def show(state: StudyState) -> None:
        done, total = (sum(getattr(r, k) for r in state.runs) for k in ("done", "epochs"))
        tell("training", done, total)

    state = run_planned(runs, output / RUNS, threads=threads, retry=True, progress=show)
    for run in state.runs:
        if run.state != "finished":
            raise ValueError(
                f"Training of {run.plan.label} did not finish: {run.error or run.state} "
                f"({run.folder / 'log.txt'} has more). The same command again continues."
            )
    records = {run.plan.name: RunRecord.read(run.folder) for run in state.runs}
    dice = {key: record.mean_of_last("dice_test") for key, record in records.items()}
    known = {key: value for key, value in dice.items() if value == value}
    changed = sum(row["sure"] > 0 for row in rows)
    return Refinement(output, annotator, changed, len(rows), known)


def _usable(found: Audit) -> Audit:
    if len(found.annotators) != 1 or found.ranked_by != "default":
        raise invalid(
            "audited",
            "an audit of one annotator, ranked by `default`",
            said=(
                f"{str(found.folder)!r} of {', '.join(found.annotators)}, ranked by "
                f"{found.ranked_by}"
            ),
            remedy="Audit again: keras-robust audit DATASET --annotator NAME -o ANOTHER.",
        )
    return found


def write_targets(
    dataset: Dataset, found: Audit, home: Path, annotator: str, tell: StageProgress
) -> list[dict[str, Any]]:
    """Write the soft targets of an audit as a new annotator.

    Args:
        dataset: What was audited.
        found: The audit, of one annotator.
        home: Folder of the dataset that takes the targets.
        annotator: Name of the new annotator.
        tell: Called as `tell("targets", done, total)`.

    Returns:
        A row on each mask, the one that is most surely wrong first.
    """
    own = {case.id: case for case in dataset.select(annotator=found.annotators[0])}
    folder = annotator_folder(home, annotator, REFINED_JOURNAL)
    suffix = partial(soft_mask_suffix, classes=dataset.classes)
    jobs = [
        _Job(
            case.id,
            own[case.id],
            dataset,
            found,
            round(sureness(case.score), 4),
            folder / f"{case.id}{suffix(own[case.id].image)}",
        )
        for case in sorted(found.cases, key=lambda case: case.id)
    ]

    written: dict[str, Any] = {}

    def finish(records: Mapping[str, Any]) -> None:
        written.update(records)
        with locked(home / ".manifest.lock"):
            add_soft_annotator(home, annotator)

    write_annotator(
        home,
        folder,
        [own[job.id] for job in jobs],
        jobs,
        {"source": found.annotators[0], "classes": dataset.classes},
        REFINED_JOURNAL,
        masks={job.id: job.target for job in jobs},
        finish=finish,
        progress=lambda done, total: tell("targets", done, total),
    )
    kinds = {case.id: case.kind for case in found.cases}
    rows = [
        {
            "id": job.id,
            "sure": job.sure,
            "changed": written[job.id]["changed"],
            "kind": kinds[job.id],
        }
        for job in jobs
    ]
    return sorted(rows, key=lambda row: (-row["sure"], row["id"]))


@dataclass(frozen=True)
class _Job:
    """The targets of one image."""

    id: str
    case: Case
    dataset: Dataset
    found: Audit
    sure: float
    target: Path

    def __call__(self) -> dict[str, Any]:
        labels = self.dataset.read_mask(self.case)
        targets = refined_targets(
            labels,
            self.found.prediction(self.id, self.case.image),
            self.sure,
            classes=self.dataset.classes,
            ignore_label=self.dataset.ignore_label,
        )
        drawn = refined_targets(
            np.where(labels == self.dataset.ignore_label, 0, labels),
            np.zeros((*labels.shape, 1 if self.dataset.classes == 2 else self.dataset.classes)),
            0.0,
            classes=self.dataset.classes,
        )
        return {
            "id": self.id,
            "sure": self.sure,
            "changed": round(float(np.abs(targets - drawn).mean()), 6),
            "source_sha256": sha256(self.case.mask) if self.case.mask else "",
            "mask_sha256": write_hashed(
                self.target, encode_soft_mask(self.target, targets, self.case.image)
            ),
        }

    def is_done(self, record: Mapping[str, Any]) -> bool:
        same = record["mask_sha256"] == sha256(self.target) and record["sure"] == self.sure
        return (
            same
            and self.case.mask is not None
            and (record["source_sha256"] == sha256(self.case.mask))
        )


def _runs(
    home: Path,
    found: Audit,
    annotator: str,
    truth: str | None,
    output: Path,
    compare: bool,
    steps: int | None,
    split: str | None,
    training: Mapping[str, Any] | None,
    tell: StageProgress,
) -> list[PlannedRun]:
    """The training on the targets, and where it is asked for that on the masks as they are."""
    dataset = Dataset.open(home)
    source = found.annotators[0]
    others = tuple(case for case in dataset if case.annotator != annotator)
    right = truth or clean_annotator(replace(dataset, cases=others), source) or source
    tests = "test" if any(c.split == "test" and c.annotator == right for c in dataset) else None
    asked = AuditOptions(split=split, training=training)
    runs = []
    for name, trained_on in ((REFINED, annotator), (PLAIN, source))[: 2 if compare else 1]:
        # The same network and steps for both: those by the masks as they are.
        inputs = choose_inputs(dataset, [source], source, split)
        config = with_plan(
            judge_config(inputs, asked),
            inputs,
            output / f"plan-{name}",
            lambda d, n: tell("plan", d, n),
        )
        config = with_steps(config, steps or _steps_of(found))
        data = {**config["data"], "annotator": trained_on, "clean_annotator": right}
        data |= {"test_split": tests}
        changed = {**config, **EVERY_FIELD, "data": data, "evaluate_last": 1 if tests else 0}
        runs.append(PlannedRun(name, changed, f"training on the {name} masks"))
    return runs


def _steps_of(found: Audit) -> int:
    steps = found.info["settings"].get("steps")
    if steps:
        return int(steps)
    try:
        return int(read_json(found.folder / JUDGES, dict)["steps"])
    except (FileNotFoundError, KeyError, ValueError):
        return STEPS
