"""The curves of a study: memorisation of noisy masks (Figure 1) and ν̃ (Figure 2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from keras_robust.reports.look import style
from keras_robust.reports.names import in_order, line_styles
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.tables import is_start_run, label_of, setting_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {
    "dice_train_clean": "masks left clean",
    "dice_train_dilate": "dilated masks",
    "dice_train_erode": "eroded masks",
    "dice_train_affine": "displaced masks",
    "dice_train_mistakes": "masks with other mistakes",
}
NU = r"$\tilde{\nu}$"
# From a dark violet to a light orange: ordered in print and for colour-blind readers.
_ORDERED = ["#3B0F70", "#8C2981", "#DE4968", "#F08A3C", "#B8A100", "#5C8A3A", "#2B7A9B", "#777777"]


def average(runs: Sequence[RunRecord], column: str) -> pd.DataFrame:
    """Mean, lowest and highest value over seeds, per epoch; index: iterations.

    Only epochs that every run has are kept, so that no seed drops out halfway along a curve.
    """
    curves = []
    for run in runs:
        curve = run.curve(column)
        if len(curve):
            curves.append(curve.set_index("epoch"))
    if not curves:
        return pd.DataFrame(columns=["mean", "low", "high"])
    values = pd.concat([curve[column] for curve in curves], axis=1, join="inner")
    table = pd.DataFrame(
        {"mean": values.mean(axis=1), "low": values.min(axis=1), "high": values.max(axis=1)}
    )
    table.index = pd.Index(curves[0]["step"].loc[values.index], name="step")
    return table


def _draw(axis: "Axes", curve: pd.DataFrame, label: str, **line: Any) -> None:
    axis.plot(curve.index, curve["mean"], label=label, **line)
    if (curve["high"] > curve["low"]).any():
        axis.fill_between(
            curve.index, curve["low"], curve["high"], color=line["color"], alpha=0.13, linewidth=0
        )


def _iterations(axis: "Axes") -> None:
    axis.set_xlabel("iterations")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.margins(x=0.02)


def memorisation(runs: Sequence[RunRecord], columns: dict[str, str] | None = None) -> Figure | None:
    """Figure 1: Dice of training predictions against clean masks, one panel per kind of noise.

    One line per loss: the mean over seeds, with a band from the lowest to the highest seed. Values
    of the first epochs that would squeeze the rest are cut off below.

    Args:
        runs: Runs of one noise setting.
        columns: History columns and the titles of their panels; by default the kinds of noise.

    Returns:
        The figure; None if no run has such a column.
    """
    labels = in_order(label_of(run) for run in runs)
    curves = {
        (column, label): average([run for run in runs if label_of(run) == label], column)
        for column in (columns or KINDS)
        for label in labels
    }
    shown = {
        column: title
        for column, title in (columns or KINDS).items()
        if any(len(curves[column, label]) for label in labels)
    }
    if not shown:
        return None
    styles = line_styles(labels)
    with style():
        legend_rows = -(-len(labels) // 6)
        height = 3.3 + 0.28 * legend_rows
        figure = Figure(figsize=(max(5.6, 3.3 * len(shown)), height), layout="constrained")
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axis, (column, title) in zip(axes, shown.items(), strict=True):
            for label in labels:
                if len(curves[column, label]):
                    _draw(axis, curves[column, label], label, **styles[label])
            axis.set_title(title)
            _iterations(axis)
        axes[0].set_ylabel("Dice against the clean masks")
        axes[0].set_ylim(*_limits([curve for curve in curves.values() if len(curve)]))
        handles: dict[str, Any] = {}
        for axis in axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        names = [label for label in labels if label in handles]
        figure.legend(
            [handles[name] for name in names],
            names,
            loc="outside lower center",
            ncols=min(6 if len(shown) > 2 else 3, len(names)),
            handlelength=2.8,
        )
    return figure


def _limits(curves: Sequence[pd.DataFrame]) -> tuple[float, float]:
    late = [curve.iloc[len(curve) // 5 :] for curve in curves]
    low = min(float(curve["low"].min()) for curve in late)
    high = max(float(curve["high"].max()) for curve in curves)
    margin = max(0.05 * (high - low), 0.005)
    return max(0.0, low - margin), min(1.0, high + margin)


def tolerance(main: Sequence[RunRecord], starts: Sequence[RunRecord]) -> Figure | None:
    """Figure 2: ν̃ per noise level, per initial value, and final Dice per initial value.

    Args:
        main: Runs of one loss that has ν, at all noise settings.
        starts: Runs at one noise setting that differ in the initial ν̃; the main runs of that
            setting are added as the initial value 0.

    Returns:
        The figure, with one panel where there are no `starts`; None without any ν̃.
    """
    levels = [
        (setting_label(setting), average([r for r in main if r.setting == setting], "nu_tilde"))
        for setting in sorted({run.setting for run in main})
    ]
    levels = [(label, curve) for label, curve in levels if len(curve)]
    if not levels:
        return None
    setting = starts[0].setting if starts else None
    groups: dict[float, list[RunRecord]] = {}
    for run in [*starts, *(run for run in main if starts and run.setting == setting)]:
        start = float((run.config.get("loss_options") or {}).get("nu_tilde", 0.0))
        groups.setdefault(start, []).append(run)
    with style():
        panels = 3 if groups else 1
        size = (12.5, 3.7) if groups else (6.4, 3.9)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for i, (label, curve) in enumerate(levels):
            _draw(axes[0], curve, label, color=_ORDERED[i % len(_ORDERED)], linewidth=1.9)
        axes[0].set_title(f"{NU} by noise level")
        axes[0].set_ylabel(NU, rotation=0, labelpad=10, fontsize=13)
        axes[0].legend(fontsize=9)
        _iterations(axes[0])
        if groups and setting:
            _starts(axes[1], axes[2], groups, setting_label(setting))
    return figure


def _starts(
    curves: "Axes", points: "Axes", groups: dict[float, list[RunRecord]], where: str
) -> None:
    for i, (start, runs) in enumerate(sorted(groups.items())):
        colour = _ORDERED[i % len(_ORDERED)]
        curve = average(runs, "nu_tilde")
        if len(curve):
            _draw(curves, curve, f"start {start:g}", color=colour, linewidth=1.9)
        dice = np.array([run.mean_of_last("dice_test") for run in runs])
        dice = dice[np.isfinite(dice)]
        if len(dice):
            points.plot(
                np.full(len(dice), start), dice, "o", color=colour, alpha=0.45, markersize=5
            )
            points.plot(start, dice.mean(), "_", color=colour, markersize=20, markeredgewidth=2.6)
    curves.set_title(f"{NU} by start, {where}", fontsize=10.5)
    curves.legend(fontsize=9)
    _iterations(curves)
    points.set_title(f"test Dice by start, {where}", fontsize=10.5)
    points.set_xlabel(f"start of {NU}")
    points.set_ylabel("test Dice, one point per seed")
    points.set_xticks(sorted(groups))
    points.margins(x=0.1)
    low, high = points.get_ylim()
    # Differences between seeds should look as small as they are.
    if high - low < 0.1:
        middle = (low + high) / 2
        points.set_ylim(middle - 0.05, min(1.0, middle + 0.05))


def main_runs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs of the main table, finished or not, that have begun."""
    return [run for run in runs if not is_start_run(run) and len(run.history)]
