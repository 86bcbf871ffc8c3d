"""The report of a study, made from run folders and nothing else."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.reports import page as html
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord, damaged, find_runs
from keras_robust.studies import curves as figures
from keras_robust.studies import tables
from keras_robust.studies.comparable import (
    differences,
    shared_fields,
    told_apart,
    without_repetitions,
)
from keras_robust.studies.panels import mask_panels
from keras_robust.studies.statistics import MIN_SEEDS, SIGNIFICANCE, SettingTest
from keras_robust.studies.tables import Setting, is_start_run, label_of, setting_label

_RULE = (
    "Mean (sample standard deviation over seeds and folds, in units of the last digit) of the "
    "test Dice, {epochs} of each run. Test Dice is the mean over images of the "
    "Dice of each image. The highest mean of a column is emphasised. It has a star (*) "
    f"only if one-way ANOVA and Tukey's HSD against every other loss give p < {SIGNIFICANCE}, "
    f"with at least {MIN_SEEDS} seeds per loss."
)


@dataclass
class _Report:
    """What has been written so far."""

    output: Path
    parts: list[str] = field(default_factory=list)

    def add(self, *parts: str) -> None:
        self.parts.extend(parts)

    def figure(
        self, figure: Figure, name: str, alternative: str, caption: str = "", wide: bool = False
    ) -> str:
        content = html.png(figure)
        atomic_write_bytes(self.output / f"{name}.png", content)
        return html.picture(content, alternative, caption, figure.get_figwidth(), wide)

    def csv(self, table: pd.DataFrame, name: str, index: bool = False) -> None:
        atomic_write_text(self.output / f"{name}.csv", frame_csv(table, index=index))


def write_report(
    paths: str | Path | Iterable[str | Path],
    output: str | Path,
    title: str = "Losses under label noise",
) -> Path:
    """Write the report of a study: `report.html`, its tables as CSV and its figures as PNG.

    Files: `report.html` (self-contained), `table.csv` and `table.md` (the paper's table),
    `values.csv` (its numbers), `runs.csv` (one row per run), `anova.csv`, `tukey.csv`,
    `figure1*.png` (memorisation), `figure2*.png` (ν̃), `panels*.png` (masks).

    Args:
        paths: Run folders, or folders of run folders.
        output: Folder of the report; made when missing.
        title: Heading of the page.

    Returns:
        Path of `report.html`.

    Raises:
        ValueError: If there is no run below `paths`.
    """
    records = find_runs(paths)
    runs, repeated = without_repetitions(told_apart(records))
    report = _Report(Path(output))
    values = tables.values_per_setting(runs)
    tests = tables.setting_tests(values)
    report.csv(tables.run_table(records), "runs")

    finished = sum(run.status == "finished" for run in runs)
    report.add(html.paragraph(f"{finished} of {len(runs)} runs are finished.", "soft"))
    for warning in [*damaged(records), *differences(runs), *repeated]:
        report.add(html.paragraph(warning, "note"))
    _add_table(report, values, tests, sorted({run.last_epochs for run in runs}))
    _add_unfinished(report, runs)
    _add_memorisation(report, runs)
    _add_tolerance(report, runs)
    _add_panels(report, runs)
    _add_statistics(report, values, tests)
    _add_origin(report, runs)
    return atomic_write_text(report.output / "report.html", html.page(title, report.parts))


def _add_table(
    report: _Report,
    values: dict[Setting, dict[str, list[float]]],
    tests: dict[Setting, SettingTest],
    last_epochs: Sequence[int],
) -> None:
    report.add(html.heading("Test Dice"))
    if not values:
        report.add(html.paragraph("No run is finished yet, so there is nothing to tabulate."))
        return
    table = tables.paper_table(values, tests)
    report.csv(table, "table", index=True)
    atomic_write_text(report.output / "table.md", tables.markdown(table) + "\n")
    report.csv(_numbers(values, tests), "values")
    best = [(test.best, setting_label(s)) for s, test in tests.items() if test.best]
    taken = [
        f"averaged over the last {n} epochs" if n > 1 else "after the last epoch"
        for n in last_epochs
    ]
    rule = _RULE.format(epochs=" or ".join(taken))
    report.add(html.table(table, best=best), html.paragraph(rule, "soft"))
    report.add(
        html.bullets(_verdict(setting, values[setting], tests[setting]) for setting in values)
    )
    notes = [f"{setting_label(s)}: {note}" for s, test in tests.items() for note in test.notes]
    report.add(*(html.paragraph(note, "note") for note in notes))


def _numbers(
    values: dict[Setting, dict[str, list[float]]], tests: dict[Setting, SettingTest]
) -> pd.DataFrame:
    rows = [
        {
            "label": label,
            "alpha": setting[0],
            "beta": setting[1],
            "seeds": len(group),
            "mean": pd.Series(group).mean(),
            "std": pd.Series(group).std(ddof=1),
            "star": tests[setting].star == label,
        }
        for setting, losses in values.items()
        for label, group in losses.items()
    ]
    return pd.DataFrame(rows)


def _verdict(setting: Setting, losses: dict[str, list[float]], test: SettingTest) -> str:
    """One sentence on a setting."""
    where = setting_label(setting)
    if test.best is None:
        return f"{where}: no usable value."
    means = {label: pd.Series(group).mean() for label, group in losses.items()}
    others = {label: mean for label, mean in means.items() if label != test.best and mean == mean}
    if not others:
        return f"{where}: {test.best} alone, {means[test.best]:.3f}."
    second = max(others, key=lambda label: others[label])
    lead = means[test.best] - others[second]
    ahead = f"{lead:.3f}" if lead >= 0.0005 else "less than 0.001"
    sentence = (
        f"{where}: {test.best} is highest with {means[test.best]:.3f}, {ahead} above {second}"
    )
    if test.star:
        return f"{sentence}; significantly better than every other loss."
    if test.p is None:
        return f"{sentence}; not tested."
    if test.p >= SIGNIFICANCE:
        return f"{sentence}; the losses do not differ significantly (ANOVA p = {test.p:.2g})."
    if any(len(group) < MIN_SEEDS for group in losses.values()):
        return f"{sentence}; too few seeds to tell whether that is luck."
    equal = [
        row.B if row.A == test.best else row.A
        for row in (test.tukey.itertuples() if test.tukey is not None else ())
        if test.best in (row.A, row.B) and row.p_tukey >= SIGNIFICANCE
    ]
    return f"{sentence}; not significantly better than {', '.join(in_order(equal))}."


def _add_unfinished(report: _Report, runs: Sequence[RunRecord]) -> None:
    table = tables.run_table(runs)
    open_runs = table[table["status"] != "finished"]
    if len(open_runs) == 0:
        return
    report.add(
        html.heading("Runs that are not in the table"),
        html.paragraph("They are not finished; the curves below show what they have."),
        html.table(
            open_runs[["run", "status", "epochs_done", "epochs", "error"]].rename(
                columns={"epochs_done": "epochs done"}
            ),
            text=["error"],
            index=False,
        ),
    )


def _slug(setting: Setting) -> str:
    return f"a{setting[0]:g}_b{setting[1]:g}"


def _add_memorisation(report: _Report, runs: Sequence[RunRecord]) -> None:
    begun = figures.main_runs(runs)
    drawn: dict[Setting, str] = {}
    for setting in sorted({run.setting for run in begun if run.setting[0] > 0}, reverse=True):
        figure = figures.memorisation([run for run in begun if run.setting == setting])
        if figure is not None:
            name = f"figure1_{_slug(setting)}" if drawn else "figure1"
            drawn[setting] = report.figure(
                figure,
                name,
                f"Dice of training predictions over iterations, {setting_label(setting)}",
                f"{setting_label(setting)}: Dice of the predictions on the training images "
                "against their clean masks, which the training never sees, by kind of noise. "
                "A curve that falls is a model that memorises wrong masks. Lines are means over "
                "seeds, bands reach from the lowest to the highest seed.",
            )
    if not drawn:
        return
    report.add(html.heading("Figure 1. Memorisation of noisy masks"))
    hardest, *others = drawn
    report.add(drawn[hardest])
    report.add(*(html.folded(setting_label(other), [drawn[other]]) for other in others))


def _add_tolerance(report: _Report, runs: Sequence[RunRecord]) -> None:
    begun = figures.main_runs(runs)
    starts = [run for run in runs if is_start_run(run) and len(run.history)]
    pictures: list[str] = []
    for label in in_order(label_of(run) for run in begun):
        main = [run for run in begun if label_of(run) == label]
        plain = all(
            run.config.get("loss") == "t" and not run.config.get("loss_options") for run in main
        )
        alike = [run for run in starts if plain and _trained_as(run) == _trained_as(main[0])]
        figure = figures.tolerance(main, alike)
        if figure is None:
            continue
        name = "figure2" if not pictures else f"figure2_{len(pictures) + 1}"
        caption = f"{label}: the logarithm ν̃ of the tolerance ν while it is trained"
        if alike:
            caption += (
                ", for each level of noise and for each initial value; right: test Dice by "
                "initial value (dashes: means over seeds)"
            )
        pictures.append(report.figure(figure, name, caption, caption + "."))
    if pictures:
        report.add(html.heading("Figure 2. The tolerance ν̃"), *pictures)


def _trained_as(run: RunRecord) -> tuple[Any, Any]:
    """Of two peers or one network, and on whose masks."""
    return run.config.get("selection"), (run.config.get("data") or {}).get("annotator")


def _add_panels(report: _Report, runs: Sequence[RunRecord]) -> None:
    candidates = [r for r in figures.main_runs(runs) if r.status == "finished"]
    drawn = []
    for setting in sorted({run.setting for run in candidates}, reverse=True):
        chosen = _one_per_loss([run for run in candidates if run.setting == setting])
        try:
            figure = mask_panels(chosen)
        except (OSError, ValueError, LookupError) as error:
            text = f"{setting_label(setting)}: the images behind the predictions cannot be read. "
            drawn.append(html.paragraph(f"{text}{error}", "note"))
            continue
        if figure is not None:
            picture = report.figure(
                figure,
                f"panels_{_slug(setting)}" if drawn else "panels",
                f"Images, masks and predictions, {setting_label(setting)}",
                f"{setting_label(setting)}, seed {chosen[0].seed}. Numbers are the Dice against "
                "the clean mask.",
                wide=True,
            )
            drawn.append(html.folded(setting_label(setting), [picture]) if drawn else picture)
    if drawn:
        report.add(html.heading("Masks and predictions"), *drawn)


def _one_per_loss(runs: Sequence[RunRecord]) -> list[RunRecord]:
    # The seed and fold that most losses have: so all see the same images and noisy masks.
    keys = [(run.seed, (run.config.get("data") or {}).get("fold") or []) for run in runs]
    key = max(sorted(keys), key=keys.count)
    return [run for run, own in zip(runs, keys, strict=True) if own == key]


def _add_statistics(
    report: _Report,
    values: dict[Setting, dict[str, list[float]]],
    tests: dict[Setting, SettingTest],
) -> None:
    tested = {setting: test for setting, test in tests.items() if test.anova is not None}
    if not tested:
        return
    report.add(html.heading("Significance"))
    report.add(
        html.paragraph(
            "One-way ANOVA over the losses and Tukey's honestly significant difference, per "
            "setting, on one value per seed (pingouin).",
            "soft",
        )
    )
    rows = [
        {
            "setting": setting_label(setting),
            "losses": len(values[setting]),
            "F": f"{test.f:.3g}",
            "p": _p_value(test.p),
            "highest": test.best,
            "star": "yes" if test.star else "no",
        }
        for setting, test in tested.items()
    ]
    report.add(html.table(pd.DataFrame(rows), index=False))
    for setting, test in tested.items():
        if test.tukey is not None:
            shown = pd.DataFrame(
                {
                    "A": test.tukey["A"],
                    "B": test.tukey["B"],
                    "mean A": test.tukey["mean_A"].map("{:.3f}".format),
                    "mean B": test.tukey["mean_B"].map("{:.3f}".format),
                    "difference": test.tukey["diff"].map("{:+.3f}".format),
                    "p": test.tukey["p_tukey"].map(_p_value),
                }
            )
            inner = [html.table(shown, index=False)]
            report.add(html.folded(f"Tukey HSD, {setting_label(setting)}", inner))
    report.csv(_stacked({s: t.anova for s, t in tested.items()}), "anova")
    report.csv(_stacked({s: t.tukey for s, t in tested.items()}), "tukey")


def _p_value(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _stacked(per_setting: dict[Setting, pd.DataFrame | None]) -> pd.DataFrame:
    frames = []
    for (alpha, beta), table in per_setting.items():
        if table is not None:
            frames.append(table.assign(alpha=alpha, beta=beta))
    return pd.concat(frames, ignore_index=True)


def _add_origin(report: _Report, runs: Sequence[RunRecord]) -> None:
    versions: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in (run.info.get("versions") or {}).items():
            versions.setdefault(str(name), {})[str(version)] = None
    lines = [f"{name}: {', '.join(found)}" for name, found in versions.items()]
    shared = next((shared_fields(run) for run in runs if run.config), {})
    lines += [f"{key}: {json.dumps(value, default=str)}" for key, value in shared.items()]
    report.add(html.folded("Configuration and versions", [html.bullets(lines)]))
