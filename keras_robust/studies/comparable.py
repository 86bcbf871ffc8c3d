"""Which runs of a study are the same, and in what they differ beyond what is compared."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_robust.scheduling.records import RunRecord, share_dataset
from keras_robust.studies.tables import label_of
from keras_robust.training.records.identity import identity

# Runs that share these differ only in what the study compares.
_VARIED = {
    "loss", "loss_options", "selection", "noise", "seed",
    "threads", "tensorboard", "save_predictions",
}  # fmt: skip
_VARIED_DATA = {"fold", "annotator"}


def without_repetitions(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The runs, each once, and notes on those left out."""
    # A run counted twice would make the spread over seeds look smaller than it is.
    seen: dict[tuple[Any, ...], RunRecord] = {}
    notes = []
    for run in records:
        what = [run.config.get(key) for key in ("loss", "loss_options", "selection")]
        data = run.config.get("data") or {}
        what += [data.get(key) for key in sorted(_VARIED_DATA)]
        key = (json.dumps(what, sort_keys=True), label_of(run), run.setting, run.seed)
        if key in seen:
            notes.append(
                f"{run.folder} is left out: {seen[key].folder} has the same loss, setting, fold "
                "and seed."
            )
        else:
            seen[key] = run
    return list(seen.values()), notes


def told_apart(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs, with the annotator in the label of those that share one but not the annotator."""

    def annotator(run: RunRecord) -> str | None:
        return (run.config.get("data") or {}).get("annotator")

    annotators: dict[str, set[str | None]] = {}
    for run in records:
        annotators.setdefault(label_of(run), set()).add(annotator(run))
    return [
        replace(run, entry={**run.entry, "label": f"{label_of(run)} ({annotator(run)})"})
        if len(annotators[label_of(run)]) > 1
        else run
        for run in records
    ]


def differences(runs: Sequence[RunRecord]) -> list[str]:
    """A warning that names the fields in which runs differ beyond what is compared, if any.

    Where a dataset lies is no difference, and what is in it is.

    A field that a run does not have, as one written by an older version, differs from none.
    """
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        shared = dict(_leaves(identity(shared_fields(run))))
        for key in ("kinds", "mode"):
            if key in (run.config.get("noise") or {}):
                shared[f"noise.{key}"] = run.config["noise"][key]
        for key, value in shared.items():
            found.setdefault(key, {})[json.dumps(value, sort_keys=True, default=str)] = None
    different = [f"{key} ({' and '.join(vals)})" for key, vals in found.items() if len(vals) > 1]
    if not share_dataset(runs):
        paths = dict.fromkeys(json.dumps(run.dataset) for run in runs)
        different.append(f"data.path ({' and '.join(paths)})")
    if not different:
        return []
    return [f"These runs are not alike beyond what is compared: {'; '.join(different)}."]


def shared_fields(run: RunRecord) -> dict[str, Any]:
    """The part of a configuration that the runs of a study have in common."""
    shared = {key: value for key, value in run.config.items() if key not in _VARIED}
    if isinstance(shared.get("data"), dict):
        data = shared["data"].items()
        shared["data"] = {key: value for key, value in data if key not in _VARIED_DATA}
    return shared


def _leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
