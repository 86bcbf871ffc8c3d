"""The report of an audit, as one page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_robust.audit.folder import PREDICTIONS, Audit, AuditCase
from keras_robust.audit.folds import FOLDS
from keras_robust.audit.habits import HABITS
from keras_robust.audit.panels import MASK_COLOUR, PREDICTION_COLOUR, panel
from keras_robust.audit.summary import mean_dice, summary
from keras_robust.audit.truth import Truth
from keras_robust.common.files import atomic_write_text
from keras_robust.common.tables import read_table
from keras_robust.data import Case, Dataset
from keras_robust.data.layouts.labels import class_title
from keras_robust.reports import page as html
from keras_robust.reports.look import style
from keras_robust.reports.names import loss_label
from keras_robust.scheduling.records import RunRecord
from keras_robust.suspicion import KINDS

REPORT = "report.html"
PLACES_SHOWN = 3
WORST, ROWS = 50, 300
_RIGHT, _WRONG, _UNKNOWN = "#7F8FA6", "#D55E00", "#D8DCE3"


def write_audit_report(audit: Audit, dataset: Dataset, truth: Truth | None = None) -> Path:
    """Write report.html: what was done, the scores, the worst masks as panels, a table.

    The page is self-contained, and follows the reader's choice of light or dark.

    Args:
        audit: The audit, finished.
        dataset: Its dataset, with images and masks.
        truth: What is known of the masks.

    Returns:
        The page.
    """
    names = ", ".join(audit.annotators)
    parts = [html.paragraph(_introduction(audit))]
    parts.append(html.bullets(summary(audit)))
    parts += _distribution(audit, truth)
    if truth is not None:
        parts += _detection(audit, truth)
    parts += _habits(audit)
    parts += _worst(audit, dataset, truth)
    parts += _table(audit) + _origin(audit)
    title = f"Audit of the masks by {names} in {audit.info['name']}"
    return atomic_write_text(audit.folder / REPORT, html.page(title, parts))


def _introduction(audit: Audit) -> str:
    settings = audit.info["settings"]
    count = len(audit.cases)
    if "predictions" in settings:
        given = settings["predictions"]
        folders = given if isinstance(given, list) else [given]
        origin = f"They come from {', '.join(folders)}, as they were found there."
    else:
        training = settings["training"]
        size = " x ".join(map(str, training["data"]["size"]))
        where = "on patches" if training.get("plan") else f"at {size}"
        loss = loss_label(training["loss"], training["loss_options"], training.get("selection"))
        origin = (
            f"Each image was predicted by one of {settings['folds']} models that have not seen it, "
            f"trained with {loss} on the masks by {settings['trained_on']} for "
            f"{_length(audit)} {where}."
        )
    return (
        f"{count} masks were compared with predictions. {origin} A high score says that mask and "
        "prediction disagree more than those of other images do. It is a reason to look, not a "
        "verdict: the model may be the one that is wrong."
    )


def _length(audit: Audit) -> str:
    settings = audit.info["settings"]
    if settings.get("steps"):
        return f"{settings['steps']} steps"
    if settings.get("budget"):
        return f"as many steps as fit {settings['budget']:g} minutes"
    return f"{settings['training']['epochs']} epochs"


def _distribution(audit: Audit, truth: Truth | None) -> list[str]:
    scores = np.array([case.score for case in audit.cases], float)
    groups = _groups(audit, truth)
    kinds = Counter(case.kind for case in audit.cases)
    shown = [kind for kind in KINDS if kinds[kind]] + sorted(set(kinds) - set(KINDS))
    with style():
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        finite = scores[np.isfinite(scores)]
        bins = np.linspace(finite.min(), finite.max() or 1.0, 31) if finite.size else 10
        left.hist(
            [scores[chosen & np.isfinite(scores)] for _, chosen in groups.values()],
            bins=bins,
            stacked=True,
            color=[colour for colour, _ in groups.values()],
            label=list(groups),
        )
        left.set_title("Score distribution")
        left.set_xlabel(f"score ({audit.ranked_by})")
        left.set_ylabel("masks")
        bottom = np.zeros(len(shown))
        for colour, chosen in groups.values():
            of_kind = Counter(c.kind for c, yes in zip(audit.cases, chosen, strict=True) if yes)
            counts = np.array([of_kind[kind] for kind in shown])
            right.barh(shown, counts, left=bottom, color=colour)
            bottom += counts
        for position, total in enumerate(bottom):
            right.annotate(
                f"{int(total)}", (total, position), (4, 0), textcoords="offset points", va="center"
            )
        right.margins(x=0.12)
        right.invert_yaxis()
        right.grid(False, axis="y")
        right.set_title("Kind of error")
        right.set_xlabel("masks")
        if truth:
            left.legend()
    alternative = "Histogram of the scores, and number of masks by kind of error"
    counted = ", ".join(f"{kind} {kinds[kind]}" for kind in shown)
    caption = f"{_score_sentence(audit, audit.ranked_by)} Kinds: {counted}."
    picture = html.picture(html.png(figure), alternative, caption, figure.get_figwidth())
    return [html.heading("Scores"), picture]


def _groups(audit: Audit, truth: Truth | None) -> dict[str, tuple[str, NDArray[np.bool_]]]:
    """Colour of each group of masks, and which of them are in it."""
    if truth is None:
        return {"all": (_RIGHT, np.ones(len(audit.cases), bool))}
    found = {(c.case.id, c.case.annotator): "wrong" if c.wrong else "right" for c in truth.cases}
    verdicts = np.array([found.get((c.id, c.annotator), "not known") for c in audit.cases])
    colours = {"right": _RIGHT, "wrong": _WRONG, "not known": _UNKNOWN}
    groups = {name: (colour, verdicts == name) for name, colour in colours.items()}
    return {name: group for name, group in groups.items() if name in ("right", "wrong", *verdicts)}


def _score_sentence(audit: Audit, name: str) -> str:
    return f"{name}: {audit.info['scores'][name]}"


def _detection(audit: Audit, truth: Truth) -> list[str]:
    table = truth.detection()
    wrong = truth.wrong()
    best = [
        (str(row), str(column))
        for column in table.columns
        for row in table.index[table[column] == table[column].max()]
    ]
    without = len(audit.cases) - len(truth.cases)
    parts = [
        html.heading("How well the scores find the wrong masks"),
        html.paragraph(
            f"{truth.rule} So {wrong.sum()} of {len(wrong)} masks are wrong"
            + (
                f"; {without} have no mask by {truth.annotator} and are left out."
                if without
                else "."
            )
        ),
        html.table(table.map(_number), best),
        html.paragraph(
            "AUROC: how often a wrong mask has a higher score than a right one (0.5 says nothing). "
            f"Average precision of a score that says nothing: {wrong.mean():.3f}. Precision at k: "
            f"share of wrong masks among the k of highest score ({wrong.sum()} are wrong in all). "
            "Spearman: rank correlation of the score with one minus the Dice with the truth.",
            "soft",
        ),
    ]
    kinds = truth.kinds()
    if kinds is not None:
        parts += [
            html.heading("Kind of error named", 3),
            html.paragraph(
                f"Of the wrong masks, {truth.kind_accuracy():.0%} have their kind of error named "
                "right. Rows: what was done; columns: what the audit says."
            ),
            html.table(kinds),
        ]
    descriptions = (_score_sentence(audit, name) for name in audit.score_names)
    return [*parts, html.folded("What the scores are", [html.bullets(descriptions)])]


def _habits(audit: Audit) -> list[str]:
    """How much larger or smaller each annotator and group draws."""
    path = audit.folder / HABITS
    rows = read_table(path.read_bytes())[1] if path.is_file() else []
    if not rows:
        return []
    columns = {
        "than_model": "than the model says",
        "than_others": "the same, less that of all others",
        "than_annotators": "than other annotators on the same images",
    }
    table = pd.DataFrame(
        [
            {
                "by": row["by"],
                "group": row["group"],
                "masks": row["masks"],
                **{title: _interval(row, name) for name, title in columns.items()},
                "a habit": "yes" if row["systematic"] == "True" else "",
            }
            for row in rows
        ]
    )
    note = (
        "How much larger (+) or smaller (-) the masks are drawn, as areas or volumes, with 95 % "
        "intervals. A habit is 5 % or more that no chance explains: then look at one of these "
        "masks and at how they were drawn, not at each."
    )
    content = html.table(table, text=["by", "group"], index=False)
    return [html.heading("Annotators and groups"), html.paragraph(note, "soft"), content]


def _interval(row: Mapping[str, str], name: str) -> str:
    if not row.get(name):
        return "–"
    value, low, high = (float(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:+.0%} ({low:+.0%} to {high:+.0%})"


def _worst(audit: Audit, dataset: Dataset, truth: Truth | None) -> list[str]:
    cases = {(case.id, case.annotator): case for case in dataset}
    known = {(c.case.id, c.case.annotator): c for c in truth.cases} if truth else {}
    entries, unreadable = [], []
    for case in audit.cases[:WORST]:
        place = (case.id, case.annotator)
        lines = list(_lines(audit, case))
        if place in known:
            verdict = "wrong" if known[place].wrong else "right"
            kind = f", {known[place].kind}" if known[place].kind else ""
            lines.append(f"In truth {verdict}{kind}: Dice {known[place].dice:.2f}.")
        try:
            content, shown = _panel(audit, dataset, cases[place], case)
        except (OSError, ValueError, KeyError) as reason:
            unreadable.append(f"{case.id}: {reason}")
            continue
        title = f"{case.rank}. {case.id}" + (f", {shown}" if shown else "")
        alternative = f"{case.id}: image with mask and prediction, and error map"
        entries.append(html.card(title, content, alternative, lines))
    legend = [
        (MASK_COLOUR, "mask"),
        (PREDICTION_COLOUR, "prediction"),
        ("linear-gradient(90deg,#000004,#b73779,#fcfdbf)", "error map, from right to wrong"),
    ]
    text = "Each picture is cut to where mask and prediction are, with its error map beside it."
    parts = [html.heading(f"The {len(entries)} most suspicious masks")]
    parts += [html.paragraph(text, "soft"), html.key(legend)]
    parts += [html.paragraph(f"Not shown: {line}", "note") for line in unreadable]
    return [*parts, html.cards(entries)]


def _panel(audit: Audit, dataset: Dataset, case: Case, judged: AuditCase) -> tuple[bytes, str]:
    return panel(
        dataset.read_image(case),
        _without_ignored(dataset.read_mask(case), dataset.ignore_label),
        audit.labels(case.id, case.image),
        audit.error_map(case.id, case.annotator),
        case.spacing,
        at=judged.places[0].point if judged.places else None,
    )


def _without_ignored(labels: Any, ignore_label: int | None) -> Any:
    return labels if ignore_label is None else np.where(labels == ignore_label, 0, labels)


def _lines(audit: Audit, case: AuditCase) -> Iterable[str]:
    by = f", by {case.annotator}" if len(audit.annotators) > 1 else ""
    kind = case.kind[:1].upper() + case.kind[1:] if case.kind != "none" else "No error named"
    yield f"{kind}; score {_number(case.score)}{by}."
    flat = _is_flat(audit)
    unit = {("mm", True): "mm²", ("mm", False): "mm³", ("px", True): "px"}.get(
        (case.unit, flat), "voxels"
    )
    for figures in case.classes:
        if not (figures.area or figures.predicted_area):
            continue
        title = class_title(figures.label, audit.class_names)
        label = f"Class {title}: " if len(case.classes) > 1 else ""
        text = f"{label}{figures.area:,.0f} {unit}, predicted {figures.predicted_area:,.0f}"
        if figures.dice == figures.dice:
            text += f"; Dice {figures.dice:.2f}"
        if figures.surface_offset == figures.surface_offset:
            # Without the sign of what rounds to zero.
            offset = round(figures.surface_offset, 1) or 0.0
            text += f"; surface {offset:+.1f} {case.unit} from the predicted one"
        yield text + "."
    yield from _places(case, unit)


def _places(case: AuditCase, unit: str) -> Iterable[str]:
    for number, place in enumerate(case.places[:PLACES_SHOWN], start=1):
        where = ", ".join(str(index) for index in place.point)
        size = f"{place.volume:,.0f} {unit}"
        yield f"Place {number}: {place.kind} at ({where}), {size}, P {place.p_wrong:.2f}."
    if len(case.places) > PLACES_SHOWN:
        yield f"And {len(case.places) - PLACES_SHOWN} more places: places.csv has all."


def _is_flat(audit: Audit) -> bool:
    return any((audit.folder / PREDICTIONS).glob("*.png"))


def _table(audit: Audit) -> list[str]:
    rows = [
        {
            "rank": case.rank,
            "id": case.id,
            "annotator": case.annotator,
            "kind": case.kind,
            **{name: _number(value) for name, value in case.scores.items()},
            "Dice with prediction": _number(mean_dice(case)),
        }
        for case in audit.cases[:ROWS]
    ]
    shown = f"the first {ROWS}" if len(audit.cases) > ROWS else "all"
    content = html.table(pd.DataFrame(rows), text=["id", "annotator", "kind"], index=False)
    note = html.paragraph("audit.csv holds all masks, with the figures of every class.", "soft")
    return [html.heading("All masks"), html.folded(f"Show {shown}", [note, content])]


def _origin(audit: Audit) -> list[str]:
    parts = [html.heading("How this was made")]
    runs = [RunRecord.read(path) for path in sorted((audit.folder / FOLDS).glob("fold-*"))]
    rows = [
        {
            "Dice with the held-out masks": _number(run.mean_of_last("dice_test")),
            "final ν": _number(_last(run.history, "nu")),
            "time": f"{run.history['seconds'].sum() / 60:.1f} min" if len(run.history) else "–",
        }
        for run in runs
    ]
    if rows:
        names = pd.Index([run.name.replace("-", " ") for run in runs], name="fold")
        parts.append(html.table(pd.DataFrame(rows, index=names)))
        parts.append(
            html.paragraph(
                "Dice of the predictions with the masks as they are, right or wrong, of the images "
                "that the model of the fold has not seen.",
                "soft",
            )
        )
    used = {**(runs[0].info.get("versions") or {} if runs else {}), **audit.info["versions"]}
    versions = ", ".join(f"{name} {number}" for name, number in used.items())
    lines = [f"Dataset: {audit.dataset}", f"Audit: {audit.folder.resolve()}", versions]
    return [*parts, html.bullets(lines)]


def _last(history: pd.DataFrame, column: str) -> float:
    values: Sequence[float] = list(history[column].dropna()) if column in history else []
    return float(values[-1]) if values else float("nan")


def _number(value: float) -> str:
    if value != value:
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
