"""Scores of many runs on the cases that each held out, as one table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_robust.common.artefacts import ARTEFACTS, DamagedFileError, read_artefact
from keras_robust.common.errors import invalid
from keras_robust.common.opening import UnreadableFileError
from keras_robust.common.progress import Progress
from keras_robust.common.tables import read_frame
from keras_robust.inference.chosen import kept_components
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.tables import label_of, setting_label
from keras_robust.training.records.finished import EVALUATION, RELIABILITY, SCORED_LARGEST

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MEASURES",
    "ONE_PEER",
    "fold_of",
    "is_reference",
    "is_scored",
    "label_titles",
    "measure_title",
    "natural",
    "over_seeds",
    "per_case",
    "per_fold",
    "read_scores",
    "score_runs",
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

ONE_PEER = "evaluation_one_peer.csv"  # of two peers, the first alone
_REMEDY = "Remove it: `keras-robust crossval` scores the run again; or copy the run folder again."


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
        DamagedFileError: A table is not what was written, or of fewer images than others of the
            fold.
    """
    import pandas as pd

    frames = []
    for run, part, frame in _read_all(runs):
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
        raise invalid(
            "runs",
            "distances in one unit",
            said=", ".join(f"{length} of {method}" for length, method in first.items()),
            remedy="Write the spacing of all images into the manifest, and score the runs again "
            "(`keras_robust.inference.evaluate_run`).",
        )


def measure_title(scores: "pd.DataFrame", measure: str) -> str:
    """What tables call a measure, distances with the unit that was read."""
    title = MEASURES[measure][0]
    return f"{title} ({scores['length'].iloc[0]})" if measure in DISTANCES else title


def label_titles(scores: "pd.DataFrame") -> dict[str, str]:
    """Of each class its number and its name, where it has one; regions as they are."""
    names = scores.groupby("label")["name"].max()
    return {str(label): f"{label} {name}" if name else str(label) for label, name in names.items()}


def _read_all(runs: Iterable[RunRecord]) -> Iterator[tuple[RunRecord, str, "pd.DataFrame"]]:
    tables = [
        (run, name, part, _read(run, name))
        for run in runs
        for name, part in ((EVALUATION, ""), (ONE_PEER, " (one peer)"))
        if is_scored(run, name)
    ]
    images: dict[tuple[object, ...], set[str]] = {}
    for run, _, _, table in tables:
        images.setdefault(_held_out(run), set()).update(table["id"])
    for run, name, part, table in tables:
        # Of before files were recorded; others are known to be whole.
        if ARTEFACTS not in run.info:
            _require_all(run, name, table, images[_held_out(run)])
        yield run, part, table


def is_scored(run: RunRecord, name: str) -> bool:
    """Whether a run has scores that were finished."""
    recorded: Mapping[str, object] | None = run.info.get(ARTEFACTS)
    return (run.folder / name).is_file() and (recorded is None or name in recorded)


def _read(run: RunRecord, name: str) -> "pd.DataFrame":
    content = read_artefact(run.folder, name, run.info, _REMEDY)
    try:
        # Images and regions may be called "NA" or "None", which pandas would take for nothing.
        table = read_frame(
            run.folder / name,
            content,
            dtype={"id": str, "group": str, "label": str, "name": str},
            keep_default_na=False,
            na_values=dict.fromkeys((*MEASURES, *_with_unit("mm"), *_with_unit("px")), ["", "nan"]),
        )
    except ValueError as error:
        reason = error.reason if isinstance(error, UnreadableFileError) else f"is no table: {error}"
        raise DamagedFileError(run.folder / name, f"it {reason}", _REMEDY) from error
    length = next((unit for unit in LENGTHS if f"asd_{unit}" in table), "px")
    table = table.rename(columns=dict(zip(_with_unit(length), DISTANCES, strict=True)))
    table["length"] = length
    if "name" not in table:  # of a version that did not write it
        table["name"] = ""
    if missing := {"id", "label", *MEASURES} - set(table):
        reason = f"it has no column {', '.join(sorted(missing))}"
        raise DamagedFileError(run.folder / name, reason, _REMEDY)
    return table


def _held_out(run: RunRecord) -> tuple[object, ...]:
    """Runs that share this are scored on the same images."""
    data = run.config.get("data") or {}
    names = ("path", "clean_annotator", "test_split", "test_limit", "limit_seed", "stratify")
    return (str(data.get("fold")), *(data.get(name) for name in names))


def _require_all(run: RunRecord, name: str, table: "pd.DataFrame", images: set[str]) -> None:
    """Refuse a table that was cut: each image has all labels, and each run of a fold all images."""
    labels = table.groupby("id")["label"].nunique()
    cut = sorted(labels.index[labels < labels.max()])
    missing = sorted((images | set(run.tested["id"])) - set(table["id"])) + cut
    if missing:
        reason = f"it lacks rows of {', '.join(missing[:3])} (of {len(missing)} images)"
        raise DamagedFileError(run.folder / name, reason, _REMEDY)


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


def unscored(runs: Sequence[RunRecord], postprocess: bool = True) -> list[Path]:
    """Folders of finished runs that have no scores yet, or damaged ones, or of other masks than
    these are now (see `keras_robust.inference.evaluate`), but weights to score."""
    return [
        run.folder
        for run in runs
        if run.status == "finished"
        and not (
            all(_is_whole(run, name) for name in (EVALUATION, RELIABILITY))
            and run.info.get(SCORED_LARGEST, []) == _largest(run, postprocess)
        )
        and (run.folder / "checkpoints").is_dir()
    ]


def _largest(run: RunRecord, postprocess: bool) -> list[list[int]]:
    return [list(group) for group in kept_components([run.folder])] if postprocess else []


def score_runs(
    runs: Sequence[RunRecord],
    progress: Progress | None = None,
    *,
    one_peer: bool = False,
    postprocess: bool = True,
) -> None:
    """Score the finished runs that have no scores yet, each on what it held out.

    Args:
        runs: Run folders as they were found.
        progress: Called as `progress(done, total)` after each run.
        one_peer: Score the first of two peers alone as well.
        postprocess: See `keras_robust.inference.evaluate`.
    """
    folders = unscored(runs, postprocess)
    two = {run.folder for run in runs if one_peer and run.config.get("selection")}
    for number, folder in enumerate(folders):
        from keras_robust.inference import evaluate_run

        if folder in two:
            evaluate_run(folder, peers="a", table=ONE_PEER, postprocess=postprocess)
        evaluate_run(folder, postprocess=postprocess)
        if progress is not None:
            progress(number + 1, len(folders))


def _is_whole(run: RunRecord, name: str) -> bool:
    try:
        if not is_scored(run, name):  # at first there was no reliability
            return name == RELIABILITY and ARTEFACTS not in run.info
        return bool(read_artefact(run.folder, name, run.info, _REMEDY))
    except DamagedFileError:
        return False
