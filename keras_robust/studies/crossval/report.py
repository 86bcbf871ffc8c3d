"""The report of a cross-validation, made from run folders: tables 1 and 2, tests, calibration."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.inference.chosen import kept_parts
from keras_robust.metrics import Reliability
from keras_robust.reports import page as html
from keras_robust.reports.names import in_order, line_styles
from keras_robust.scheduling.records import RunRecord, damaged, find_runs, share_dataset
from keras_robust.studies import curves as figures
from keras_robust.studies.comparable import differences, without_repetitions
from keras_robust.studies.crossval.label_quality import label_quality
from keras_robust.studies.crossval.scores import (
    MEASURES,
    label_titles,
    natural,
    over_seeds,
    per_fold,
    read_scores,
    trained_on,
    unscored,
)
from keras_robust.studies.crossval.tables import (
    Comparison,
    compare_methods,
    reliabilities,
    table1,
    table2,
)
from keras_robust.studies.tables import label_of, markdown
from keras_robust.training.records.finished import SCORED_LARGEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_cross_validation_report"]

_RULE = (
    "Mean (sample standard deviation between folds and seeds, in units of the last digit) of what "
    "each model scores on the cases that it held out. Dice, surface Dice: higher is better; ASD "
    "(average surface distance) and ECE (expected calibration error of a class's probability): "
    "lower. Distances in px are in pixels, where the data set does not tell the spacing."
)
_MISSED = (
    " What is missed is in one of the two masks only: counted here, its Dice is 0, and its "
    "distances, which are infinite, are left out."
)
_TESTS = (
    "Over folds: one-way ANOVA over the methods and Tukey's honestly significant difference, as "
    "the paper has it. Paired: every method against {baseline}, on the same cases (Wilcoxon's "
    "signed-rank test), and on the same folds (t-test), both with Holm's correction. Each case "
    "and each fold is the mean over its seeds; without folds, each seed is one. Images of one "
    "group, such as a patient, count as one case. Cases of one fold are predicted by one model: "
    "the test over cases says that these models differ, not that others trained anew would."
)


class _Report:
    """What has been written so far."""

    def __init__(self, output: Path):
        self.output, self.parts = output, list[str]()

    def table(self, table: pd.DataFrame, name: str) -> None:
        atomic_write_text(self.output / f"{name}.csv", frame_csv(table))
        atomic_write_text(self.output / f"{name}.md", markdown(table) + "\n")
        self.parts.append(html.table(table))

    def csv(self, table: pd.DataFrame, name: str) -> None:
        atomic_write_text(self.output / f"{name}.csv", frame_csv(table, index=False))


def _kept(runs: Sequence[RunRecord]) -> list[str]:
    """What was taken away from predictions before they were scored."""
    of_runs: dict[str, int] = {}
    for run in runs:
        if largest := run.info.get(SCORED_LARGEST):
            of_runs[kept_parts(largest)] = of_runs.get(kept_parts(largest), 0) + 1
    return [
        f"{parts} This is so in {count} of {len(runs)} runs, as `keras-robust choose` decided on "
        "the same images, which favours them a little; `--no-postprocess` scores what networks "
        "predict."
        for parts, count in of_runs.items()
    ]


def require_method(runs: Iterable[RunRecord], baseline: str | None) -> None:
    """See to it, before anything is scored, that there are runs of the method to compare with.

    Raises:
        ValueError: There are none.
    """
    known = {label_of(run) for run in runs}
    plain = (baseline or "").removesuffix(" (one peer)").removesuffix(" (ref.)")
    if baseline is not None and plain not in known:
        raise invalid("baseline", f"one of {sorted(known)}", baseline)


def write_cross_validation_report(
    paths: str | Path | Iterable[str | Path],
    output: str | Path,
    title: str = "Cross-validation",
    baseline: str | None = None,
    foreword: Sequence[str] = (),
) -> Path:
    """Write the report of a cross-validation: `report.html`, its tables as CSV and Markdown.

    Runs need `evaluation.csv`, as `keras_robust.inference.evaluate_run` writes it. Files:
    `table1`, `table2` (`.csv` and `.md`, the paper's tables; one each per setting where runs were
    trained on several annotators' masks), `paired.csv`, `tukey.csv`, `scores.csv` (means over
    folds of every case), `calibration.csv`, `reliability.png`, `label_quality.csv`.

    Args:
        paths: Run folders, or folders of run folders.
        output: Folder of the report; made when missing.
        title: Heading of the page.
        baseline: The method that paired tests compare with; see `compare_methods`.
        foreword: Parts of the page that open it, as `keras_robust.reports.page` makes them.

    Returns:
        Path of `report.html`.

    Raises:
        ValueError: There is no run below `paths`, or none with scores, or a method was trained on
            several data sets.
    """
    found = find_runs(paths)
    _refuse_mixtures(found)
    runs, notes = without_repetitions([run for run in found if not run.damage])
    scores = read_scores(runs)
    if not len(scores):
        raise invalid(
            "paths",
            "runs with evaluation.csv",
            said=(
                f"{len(runs)} runs, {len(unscored(runs))} of which could be scored, "
                "by `keras_robust.inference.evaluate_run`"
            ),
        )
    report = _Report(Path(output))
    report.parts += foreword
    reference = scores[scores["reference"]]
    settings = sorted(set(scores.loc[~scores["reference"], "trained_on"]))
    finished = sum(run.status == "finished" for run in runs)
    report.parts.append(html.paragraph(f"{finished} of {len(runs)} runs are finished.", "soft"))
    told = [*damaged(found), *differences(runs), *_kept(runs), *notes]
    report.parts += [html.paragraph(note, "note") for note in told]
    _add_label_quality(report, runs)
    tests = []
    for setting in settings or sorted(set(reference["trained_on"])):
        own = scores[scores["trained_on"] == setting]
        chosen = pd.concat([own, reference]).drop_duplicates() if settings else own
        part = "" if len(settings) < 2 else f"_{_slug(setting)}"
        tests.append(_add_setting(report, chosen, setting, part, baseline))
    _add_tests(report, tests)
    _add_calibration(report, runs, reference, label_titles(scores))
    columns = ["trained_on", "method", "fold", "id"]
    means = scores.groupby(columns)[list(MEASURES)].mean()
    named = means.rename(columns={"asd": f"asd_{scores['length'].iloc[0]}"})
    report.csv(named.round(5).reset_index(), "scores")
    return atomic_write_text(report.output / "report.html", html.page(title, report.parts))


def _refuse_mixtures(runs: Sequence[RunRecord]) -> None:
    """Of several data sets no mean is taken; the reference may lie in a folder of its own."""
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        found.setdefault((label_of(run), trained_on(run)), []).append(run)
    for (method, _), own in found.items():
        if not share_dataset(own):
            data = sorted({run.dataset for run in own})
            raise invalid(
                "paths",
                "runs of one data set",
                said=f"{method} trained on {' and '.join(data)}",
                remedy="Write a report for each.",
            )


def _add_label_quality(report: _Report, runs: Sequence[RunRecord]) -> None:
    found = label_quality(runs)
    if not len(found):
        return
    unread = found["dice"].isna()
    means = found[~unread].groupby(["trained_on", "label"], sort=False)["dice"]
    shown = means.agg(["count", "mean", "std", "min"]).reset_index()
    report.csv(found.round(5), "label_quality")
    for column in ("mean", "std", "min"):
        shown[column] = shown[column].map("{:.3f}".format)
    shown = shown.rename(columns={"trained_on": "masks", "label": "class", "count": "images"})
    report.parts += [
        html.heading("The masks to train on"),
        html.paragraph("Dice of the masks that were trained on against those measured against."),
        html.table(shown, index=False),
    ]
    if unread.any():
        told = f"{unread.sum()} image(s) left out, whose masks cannot be read: label_quality.csv."
        report.parts.append(html.paragraph(told, "note"))


def _add_setting(
    report: _Report, scores: pd.DataFrame, setting: str, part: str, baseline: str | None
) -> Comparison:
    values = over_seeds(per_fold(scores, "dice"))
    folds = [name for name in values.columns if not name.startswith("test ")]
    cases, units = scores["id"].nunique(), scores["unit"].nunique()
    told = f"{cases} cases" + (f", {units} apart by their groups" if units < cases else "")
    told += f" in {len(folds)} fold(s)" if folds else ""
    report.parts.append(html.heading(f"Trained on the masks of {setting}"))
    table = table1(scores)
    rule = _RULE + (_MISSED if "missed" in table else "")
    report.parts.append(html.paragraph(f"{told}. {rule}", "soft"))
    for method, row in values[folds].iterrows():
        if lacking := ", ".join(row.index[row.isna()]):
            note = f"{method} lacks fold {lacking}: its means are of fewer cases than others'."
            report.parts.append(html.paragraph(note, "note"))
    report.table(table, f"table1{part}")
    if scores["label"].nunique() > 1:
        report.parts.append(html.heading("By class", 3))
        report.table(table2(scores), f"table2{part}")
    return compare_methods(scores, setting, baseline)


def _add_tests(report: _Report, tests: Sequence[Comparison]) -> None:
    rows, tukeys = [], []
    report.parts.append(html.heading("Do the methods differ?"))
    rule = _TESTS.format(baseline=" or ".join(dict.fromkeys(test.baseline for test in tests)))
    report.parts.append(html.paragraph(rule, "soft"))
    for test in tests:
        report.parts.append(html.heading(test.setting, 3))
        found = test.folds
        if found.p is not None:
            p = _p_value(found.p)
            report.parts.append(html.paragraph(f"ANOVA over folds: F = {found.f:.3g}, p = {p}."))
        report.parts += [html.paragraph(note, "note") for note in found.notes]
        if found.tukey is not None:
            tukeys.append(found.tukey.assign(trained_on=test.setting))
        both = test.paired_cases.merge(
            test.paired_folds, on="method", suffixes=("_cases", "_folds"), how="outer"
        )
        tukey = _against(test)
        both["p_tukey"] = [tukey.get(method, np.nan) for method in both["method"]]
        rows.append(both.assign(trained_on=test.setting, baseline=test.baseline))
        order = in_order(both["method"])
        both = both.set_index("method").loc[order].reset_index()
        shown = pd.DataFrame(
            {
                "method": both["method"],
                f"Dice - {test.baseline}": both["difference_cases"].map("{:+.4f}".format),
                "higher in": both["higher_cases"].map("{:.0%}".format),
                "cases": both["pairs_cases"],
                "p, cases (Holm)": both["p_holm_cases"].map(_p_value),
                "p, folds (Holm)": both["p_holm_folds"].map(_p_value),
                "p, Tukey": both["p_tukey"].map(_p_value),
            }
        )
        report.parts.append(html.table(shown, index=False))
    report.csv(pd.concat(rows, ignore_index=True), "paired")
    if tukeys:
        report.csv(pd.concat(tukeys, ignore_index=True), "tukey")


def _against(test: Comparison) -> dict[str, float]:
    """Tukey's p-value of every method against the baseline."""
    table = test.folds.tukey
    if table is None:
        return {}
    pairs = [(row.A, row.B, row.p_tukey) for row in table.itertuples()]
    return {a if b == test.baseline else b: p for a, b, p in pairs if test.baseline in (a, b)}


def _p_value(p: float) -> str:
    if not np.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _add_calibration(
    report: _Report,
    runs: Sequence[RunRecord],
    reference: pd.DataFrame,
    titles: Mapping[str, str],
) -> None:
    found = reliabilities(runs)
    if not found:
        return
    rows = [
        {
            "trained_on": setting,
            "method": method,
            "label": titles.get(label, label),
            "ece": bins.expected_error,
            "greatest_error": bins.maximum_error,
        }
        for (setting, method), labels in found.items()
        for label, bins in labels.items()
    ]
    report.csv(pd.DataFrame(rows).round(6), "calibration")
    settings = sorted({setting for setting, _ in found})
    noisy = [name for name in settings if name not in set(reference["trained_on"])] or settings
    report.parts.append(html.heading("Calibration"))
    for number, setting in enumerate(noisy):
        curves = {method: bins for (name, method), bins in found.items() if name == setting}
        name = "reliability" if number == 0 else f"reliability_{_slug(setting)}"
        content = html.png(reliability_figure(curves, titles))
        atomic_write_bytes(report.output / f"{name}.png", content)
        caption = (
            f"Trained on the masks of {setting}. How often a voxel is of the class, where its "
            "probability is said to be that of the abscissa; on the dashed line predictions are "
            "what they claim. Bins of at least 20 voxels, over all folds."
        )
        report.parts.append(html.picture(content, f"Reliability diagram, {setting}", caption))


def reliability_figure(
    curves: Mapping[str, Mapping[str, Reliability]], titles: Mapping[str, str] | None = None
) -> Figure:
    """A reliability diagram, a panel per class and a line per method.

    Args:
        curves: Bins by method and label; the label "all" is left out.
        titles: Of the labels.
    """
    labels = natural(label for bins in curves.values() for label in bins if label != "all")
    styles = line_styles(curves)
    with figures.style():
        figure = Figure(figsize=(4.6 * len(labels) + 2.6, 4.4), layout="constrained")
        axes: Sequence[Axes] = figure.subplots(1, len(labels), squeeze=False)[0]
        for axis, label in zip(axes, labels, strict=True):
            axis.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1)
            for method in in_order(curves):
                bins = curves[method].get(label)
                if bins is None:
                    continue
                kept = bins.count >= 20
                axis.plot(
                    bins.confidence[kept], bins.accuracy[kept], label=method, **styles[method]
                )
            axis.set(
                xlabel="probability",
                ylabel="share that is of the class",
                title=f"class {(titles or {}).get(label, label)}",
            )
            axis.set_aspect("equal")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center")
    return figure


def _slug(text: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text)
    return kept.strip("-")
