"""Scores of many runs on the cases that each held out, as one table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_robust.common.tables import read_frame
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.tables import label_of, setting_label

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MEASURES",
    "ONE_PEER",
    "fold_of",
    "is_reference",
    "label_titles",
    "measure_title",
    "natural",
    "over_seeds",
    "per_case",
    "per_fold",
    "read_scores",
    "trained_on",
    "unscored",
]

MEASURES = {
    "dice": ("Dice", 3),
    "asd": ("ASD", 2),
    "surface_dice": ("Surface Dice", 3),
    "ece": ("ECE", 4),
}
"""Columns of the scores: what tables call them, and with how many decimals."""

DISTANCES = ("asd", "hd95")
LENGTHS = ("mm", "px")

EVALUATION = "evaluation.csv"
ONE_PEER = "evaluation_one_peer.csv"  # of two peers, the first alone
RELIABILITY = "reliability.csv"


def trained_on(run: RunRecord) -> str:
    """Whose masks a run was trained on, in words."""
    annotator = (run.config.get("data") or {}).get("annotator") or "the annotator"
    noise = "" if run.setting[0] == 0 else f", {setting_label(run.setting)}"
    return f"{annotator}{noise}"


def is_reference(run: RunRecord) -> bool:
    """Whether a run was trained on the masks that it is measured against."""
    data = run.config.get("data") or {}
    annotator, clean = data.get("annotator"), data.get("clean_annotator")
    if run.setting[0] > 0:
        return False
    return annotator is None or annotator == clean or not (clean or annotator.startswith("noisy"))


def read_scores(runs: Iterable[RunRecord]) -> "pd.DataFrame":
    """The rows of `evaluation.csv` of all runs that have one.

    Two peers predict with their mean, which helps by itself; where `evaluation_one_peer.csv` lies
    beside, its rows are those of a further method, whose name ends in "(one peer)".

    Columns: method, trained_on, reference (see `is_reference`), fold (a text, with the seed),
    id, unit (what is independent: the group of the image, such as a patient, else its id), label,
    name (of the class, where it has one), length ("mm" or "px", in which distances are), and the
    measures. Where runs on other masks are there too, the method of a reference
    ends in "(ref.)".

    Raises:
        ValueError: Distances are in mm in some runs and in pixels in others.
    """
    import pandas as pd

    frames = []
    for run, name, part in (
        (run, name, part)
        for run in runs
        for name, part in ((EVALUATION, ""), (ONE_PEER, " (one peer)"))
        if (run.folder / name).is_file()
    ):
        # Images and regions may be called "NA" or "None", which pandas would take for nothing.
        frame = read_frame(
            run.folder / name,
            dtype={"id": str, "group": str, "label": str, "name": str},
            keep_default_na=False,
            na_values=dict.fromkeys((*MEASURES, *_with_unit("mm"), *_with_unit("px")), ["", "nan"]),
        )
        length = next((unit for unit in LENGTHS if f"asd_{unit}" in frame), "px")
        frame = frame.rename(columns=dict(zip(_with_unit(length), DISTANCES, strict=True)))
        frame["length"] = length
        if "name" not in frame:  # of a version that did not write it
            frame["name"] = ""
        frame.insert(0, "method", label_of(run) + part)
        frame.insert(1, "trained_on", trained_on(run))
        frame.insert(2, "reference", is_reference(run))
        frame.insert(3, "fold", fold_of(run))
        frame["unit"] = frame["id"]
        if "group" in frame:
            frame["unit"] = frame["id"].where(frame["group"] == "", "group " + frame["group"])
        frames.append(frame)
    if not frames:
        columns = ["method", "trained_on", "reference", "fold", "id", "unit", "label", "name"]
        return pd.DataFrame(columns=[*columns, "length", *MEASURES])
    table = pd.concat(frames, ignore_index=True)
    _refuse_mixed_lengths(table)
    if not table["reference"].all():
        plain = table["reference"] & ~table["method"].str.endswith("(ref.)")
        table.loc[plain, "method"] += " (ref.)"
    return table


def _with_unit(length: str) -> list[str]:
    return [f"{name}_{length}" for name in DISTANCES]


def _refuse_mixed_lengths(scores: "pd.DataFrame") -> None:
    if scores["length"].nunique() > 1:
        first = {length: rows["method"].iloc[0] for length, rows in scores.groupby("length")}
        raise ValueError(
            "Invalid value for argument `runs`. Expected distances in one unit. Received: "
            + ", ".join(f"{length} of {method}" for length, method in first.items())
            + ". Write the spacing of all images into the manifest, and score the runs again "
            "(`keras_robust.inference.evaluate_run`)."
        )


def measure_title(scores: "pd.DataFrame", measure: str) -> str:
    """What tables call a measure, distances with the unit that was read."""
    title = MEASURES[measure][0]
    return f"{title} ({scores['length'].iloc[0]})" if measure in DISTANCES else title


def label_titles(scores: "pd.DataFrame") -> dict[str, str]:
    """Of each class its number and its name, where it has one; regions as they are."""
    names = scores.groupby("label")["name"].max()
    return {str(label): f"{label} {name}" if name else str(label) for label, name in names.items()}


def fold_of(run: RunRecord) -> str:
    """Fold and seed of a run, "0 s0"; "test s0" without folds."""
    fold = (run.config.get("data") or {}).get("fold")
    return f"{'test' if fold is None else fold[0]} s{run.seed}"


def per_fold(scores: "pd.DataFrame", measure: str, label: str | None = None) -> "pd.DataFrame":
    """Mean over cases of a measure: one row per method, one column per fold.

    Args:
        scores: From `read_scores`.
        measure: A key of `MEASURES`. Infinite distances, of structures that are in one mask only,
            are left out.
        label: Of one class or region; None for the mean over all of both.
    """
    chosen = _finite(scores if label is None else scores[scores["label"] == label], measure)
    # A label counts as much as another, however many of its values are finite.
    means = chosen.groupby(["method", "fold", "label"])[measure].mean()
    table = means.groupby(level=["method", "fold"]).mean().unstack("fold")
    return table.reindex(in_order(table.index))


def over_seeds(values: "pd.DataFrame") -> "pd.DataFrame":
    """The values of `per_fold`, of the seeds of a fold their mean: one column per fold.

    Trainings on the same images are no independent folds. Without folds each seed stands for one.
    """
    folds = values.columns.str.rpartition(" s").get_level_values(0)
    if set(folds) == {"test"}:
        return values
    return values.T.groupby(folds).mean().T


def per_case(scores: "pd.DataFrame", measure: str) -> dict[str, dict[str, float]]:
    """Mean over labels, and over trainings with other seeds, of a measure for each method and case.

    A case counts once however often a method was trained, and a group, such as the images of one
    patient, as one case: what is said of the same one is not independent.
    """
    trainings = _finite(scores, measure).groupby(["method", "unit", "id", "fold"])[measure].mean()
    images = trainings.groupby(["method", "unit", "id"]).mean()
    found: dict[str, dict[str, float]] = {}
    for (method, unit), value in images.groupby(["method", "unit"]).mean().items():
        found.setdefault(method, {})[unit] = float(value)
    return {method: found[method] for method in in_order(found)}


def natural(labels: Iterable[str]) -> list[str]:
    """Labels without repetition, numbers in their order, then names."""
    return sorted(
        set(labels),
        key=lambda label: (0, int(label), "") if label.isdigit() else (1, 0, label),
    )


def _finite(scores: "pd.DataFrame", measure: str) -> "pd.DataFrame":
    import numpy as np

    return scores[np.isfinite(scores[measure].astype(float))]


def unscored(runs: Sequence[RunRecord]) -> list[Path]:
    """Folders of finished runs that have no scores yet, but weights to score."""
    return [
        run.folder
        for run in runs
        if run.status == "finished"
        and not (run.folder / EVALUATION).is_file()
        and (run.folder / "checkpoints").is_dir()
    ]
