"""The pages of tuning: one study, and the stability of several side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.common.words import duration
from keras_robust.reports import page as html
from keras_robust.tuning import figures as tuning_figures
from keras_robust.tuning.results import TuningRecord, comparable, find_studies

__all__ = ["NO_EFFECT", "stability_table", "write_stability", "write_tuning_report"]

_STABILITY = (
    "One point per trial, that is per choice of hyper-parameters; boxes show median and quartiles. "
    "The narrower the box, the less a method depends on its tuning. Below each: trials with a "
    "value, of all."
)
NO_EFFECT = (
    "All trials have the same value: what is searched had no effect. A warm-up that is longer than "
    "the trials has this effect (selection.options.warmup)."
)
_SIMULATED = (
    "The label noise of this configuration is simulated while training: dice_train is measured "
    "on the masks without it, which an annotator's noisy masks do not have. Write the noisy masks "
    "first (keras-robust simulate) and train on that annotator, to tune on noisy masks alone."
)


def write_tuning_report(folder: str | Path) -> Path:
    """Write `report.html` of a study: the best trial, its course, its parameters, all trials.

    Args:
        folder: Of the study; see `TuningRecord`.

    Returns:
        The page.

    Raises:
        ValueError: If the folder holds no study.
    """
    study = TuningRecord.read(folder)
    parts = [html.paragraph(_summary(study), "soft")]
    config = study.info.get("config") or {}
    if config.get("noise") and "dice_train" in study.objective and not config.get("plan"):
        parts.append(html.paragraph(_SIMULATED, "note"))
    if study.without_effect:
        parts.append(html.paragraph(NO_EFFECT, "note"))
    parts += _best(study)
    sections = {
        "Course": tuning_figures.course_figure(study),
        "Hyper-parameters": tuning_figures.parameter_figure(study),
        "Importance": tuning_figures.importance_figure(study),
        "Stability": tuning_figures.stability_figure([study]),
    }
    captions = {
        "Course": "Each trial, in the order of their beginning, and the best up to it.",
        "Hyper-parameters": "Dark: late trials. Circle: the best one. Hollow: pruned.",
        "Importance": "Share of each hyper-parameter in what sets the best trials apart "
        "(Optuna's estimate); of few trials a rough guess.",
        "Stability": _STABILITY,
    }
    for title, figure in sections.items():
        if figure is not None:
            width = figure.get_size_inches()[0]
            image = html.picture(html.png(figure), title, captions[title], width)
            parts += [html.heading(title), image]
    parts += [html.heading("Trials"), _trials(study)]
    page = html.page(f"Tuning {study.label} on {study.dataset}", parts)
    return atomic_write_text(study.folder / "report.html", page)


def _summary(study: TuningRecord) -> str:
    states = study.trials["state"].value_counts().to_dict()
    counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none begun"
    info = study.info
    text = (
        f"{info.get('trials')} trials of {info.get('epochs')} epochs; objective "
        f"{study.objective}, {'highest' if study.maximizes else 'lowest'} is best; "
        f"pruning: {info.get('pruner')}. Now: {counts}."
    )
    if "seconds" in study.trials and study.trials["seconds"].notna().any():
        text += f" Time of all trials together: {duration(study.trials['seconds'].sum())}."
    return text


def _best(study: TuningRecord) -> list[str]:
    best = study.best
    if best is None:
        return [html.paragraph("No trial is finished yet.")]
    rows = {"trial": int(best["trial"]), study.objective: f"{best['value']:.4f}"}
    rows |= {name: _number(best[name]) for name in study.space.search}
    table = pd.DataFrame({"best": rows})
    return [
        html.heading("Best trial"),
        html.table(table),
        html.paragraph(
            f"Train with it: keras-robust train --config {study.folder / 'best.yaml'}", "soft"
        ),
    ]


def _trials(study: TuningRecord) -> str:
    table = study.trials.copy()
    for column in ["value", *study.space.search]:
        table[column] = table[column].map(_number)
    for column in ("epochs", "seconds"):
        table[column] = table[column].map(lambda value: "" if pd.isna(value) else f"{value:.0f}")
    table["error"] = table["error"].fillna("")
    table = table.rename(columns=tuning_figures.short_names(study.space.search))
    return html.table(table, text=["error"], index=False)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)


def stability_table(studies: Sequence[TuningRecord]) -> pd.DataFrame:
    """One row per dataset, objective and method: trials, those with a value, best, median, worst.

    `spread` is the distance between the quartiles, `gain` that of the best from the median: what
    tuning brings over hyper-parameters taken at random from the space.
    """
    rows = []
    for (dataset, objective, maximizes), methods in comparable(studies).items():
        for label, same in methods.items():
            values = pd.concat([study.values for study in same])
            low, middle, high = values.quantile([0.25, 0.5, 0.75])
            best, worst = (
                (values.max(), values.min()) if maximizes else (values.min(), values.max())
            )
            rows.append(
                {
                    "dataset": dataset,
                    "method": label,
                    "objective": objective,
                    "trials": sum(len(study.trials) for study in same),
                    "with value": len(values),
                    "best": best,
                    "median": middle,
                    "worst": worst,
                    "spread": high - low,
                    "gain": abs(best - middle),
                }
            )
    return pd.DataFrame(rows)


def write_stability(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Compare studies: `stability.png`, `stability.csv` and `report.html`.

    Args:
        folders: Of studies, or folders of them.
        output: Folder to write to.

    Returns:
        The page.

    Raises:
        ValueError: If a folder holds no study, or no trial is finished.
    """
    studies = find_studies(folders)
    figure = tuning_figures.stability_figure(studies)
    if figure is None:
        raise invalid(
            "folders",
            "studies with finished trials",
            said=f"{[str(study.folder) for study in studies]}, which have none yet",
        )
    output = Path(output)
    table = stability_table(studies)
    atomic_write_text(output / "stability.csv", frame_csv(table, index=False))
    image = html.png(figure)
    atomic_write_bytes(output / "stability.png", image)
    parts = [html.picture(image, "Stability", _STABILITY, figure.get_size_inches()[0])]
    if table["objective"].nunique() > 1:
        note = "The studies have different objectives: their values cannot be compared."
        parts.insert(0, html.paragraph(note, "note"))
    shown = table.map(_number)
    parts += [html.heading("In figures"), html.table(shown, index=False)]
    parts.append(
        html.paragraph(
            "spread: distance between the quartiles. gain: of the best over the median, what "
            "tuning brings over hyper-parameters taken as they come.",
            "soft",
        )
    )
    page = html.page("Hyper-parameter stability", parts)
    return atomic_write_text(output / "report.html", page)
