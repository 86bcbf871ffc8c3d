"""The figures of tuning: course, importance, each parameter, and stability."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_robust.reports.look import style
from keras_robust.reports.names import line_styles
from keras_robust.tuning.results import TuningRecord, comparable
from keras_robust.tuning.space import Range

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["course_figure", "importance_figure", "parameter_figure", "stability_figure"]

_BEST = "#D55E00"
_POINT = "#332288"
_SOFT = "#888888"
_LEAST_SPAN = 0.02


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """Fields without their sections, where that tells them apart.

    >>> list(short_names(["loss_options.q", "x.alpha", "y.alpha"]).values())
    ['q', 'x.alpha', 'y.alpha']
    """
    ends = {field: field.split(".")[-1] for field in fields}
    counts = Counter(ends.values())
    return {field: end if counts[end] == 1 else field for field, end in ends.items()}


def course_figure(study: TuningRecord) -> Figure | None:
    """The value of every trial in the order of the trials, and the best so far.

    Returns:
        The figure; None where no trial has a value.
    """
    values = study.values
    if len(values) == 0:
        return None
    with style():
        figure = Figure(figsize=(7.4, 3.7), layout="constrained")
        axis = figure.subplots()
        best = values.cummax() if study.maximizes else values.cummin()
        axis.step(values.index, best, where="post", color=_BEST, label="best so far")
        axis.plot(values.index, values, "o", color=_POINT, markersize=5, label="trial")
        _ended_early(axis, study)
        axis.set_xlabel("trial")
        axis.set_ylabel(study.objective)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.margins(x=0.04, y=0.12)
        _widen(axis)
        axis.legend(fontsize=9)
    return figure


def _ended_early(axis: "Axes", study: TuningRecord) -> None:
    trials = study.trials
    pruned = trials[(trials["state"] == "pruned") & trials["value"].notna()]
    if len(pruned):
        axis.plot(
            pruned["trial"], pruned["value"], "o", mfc="none", color=_SOFT, ms=5, label="pruned"
        )
    failed = trials[trials["state"] == "failed"]["trial"]
    if len(failed):
        bottom = axis.get_xaxis_transform()
        axis.plot(
            failed, np.full(len(failed), 0.02), "x", color=_SOFT, transform=bottom, label="failed"
        )


def importance_figure(study: TuningRecord) -> Figure | None:
    """How much each parameter has to do with the values.

    Returns:
        The figure; None for one parameter, or too few trials.
    """
    shares = study.importance
    if len(shares) < 2:
        return None
    with style():
        figure = Figure(figsize=(6.2, 1.1 + 0.38 * len(shares)), layout="constrained")
        axis = figure.subplots()
        names = sorted(shares, key=lambda name: shares[name])
        shown = short_names(names)
        bars = axis.barh([shown[n] for n in names], [shares[n] for n in names], color=_POINT)
        axis.bar_label(bars, fmt="%.2f", padding=3)
        axis.set_xlim(0, 1.1 * max(shares.values()))
        axis.set_xlabel("importance")
        axis.grid(axis="y", visible=False)
    return figure


def parameter_figure(study: TuningRecord) -> Figure | None:
    """The objective against each parameter, one panel each; the best trial stands out.

    Returns:
        The figure; None where no trial has a value.
    """
    best = study.best
    if best is None:
        return None
    ranges = study.space.search
    names = short_names(ranges)
    trials = study.trials
    shown = trials[trials["state"].isin(["finished", "pruned"]) & trials["value"].notna()]
    columns = min(4, len(ranges))
    rows = -(-len(ranges) // columns)
    with style():
        size = (max(4.6, 3.2 * columns + 0.9), 3.3 * rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axis in axes.flat[len(ranges) :]:
            axis.set_visible(False)
        points = None
        for axis, (name, range_) in zip(axes.flat, ranges.items(), strict=False):
            finished = shown["state"] == "finished"
            positions = _positions(shown[name], range_.choices)
            points = axis.scatter(
                positions[finished],
                shown["value"][finished],
                c=shown["trial"][finished],
                cmap="viridis_r",
                s=28,
                vmin=0,
                vmax=max(1, int(shown["trial"].max())),
            )
            axis.plot(
                positions[~finished], shown["value"][~finished], "o", mfc="none", color=_SOFT, ms=5
            )
            at = _positions(best.to_frame().T[name], range_.choices)
            axis.plot(at, [best["value"]], "o", mfc="none", color=_BEST, ms=11, mew=2)
            axis.set_xlabel(names[name])
            if range_.choices:
                axis.set_xticks(range(len(range_.choices)), [str(c) for c in range_.choices])
            else:
                _span(axis, range_)
        for row in axes:
            row[0].set_ylabel(study.objective)
            _widen(row[0])
        if points is not None:
            figure.colorbar(points, ax=axes, label="trial", pad=0.01)
    return figure


def _widen(axis: "Axes") -> None:
    """Let differences look as small as they are."""
    low, high = axis.get_ylim()
    if high - low < _LEAST_SPAN:
        middle = (low + high) / 2
        axis.set_ylim(middle - _LEAST_SPAN / 2, middle + _LEAST_SPAN / 2)


def _span(axis: "Axes", range_: Range) -> None:
    """Show the whole range, whatever of it was tried."""
    low, high = range_.low or 0.0, range_.high or 0.0
    if range_.log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        if high < 1000 * low:
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        margin = (high / low) ** 0.06
        axis.set_xlim(low / margin, high * margin)
    else:
        margin = 0.06 * (high - low)
        axis.set_xlim(low - margin, high + margin)


def _positions(values: "pd.Series", choices: Sequence[object]) -> "pd.Series":
    if not choices:
        return values.astype(float)

    def place(value: Any) -> float:
        return next((n for n, choice in enumerate(choices) if _is(value, choice)), np.nan)

    return values.astype(object).map(place).astype(float)


def _is(value: Any, choice: Any) -> bool:
    """Whether a value of a table is a choice; tables have 4 as 4.0 where a value is missing."""
    if choice is None or value != value:
        return choice is None and value != value
    try:
        return float(value) == float(choice)
    except ValueError:
        return str(value) == str(choice)


def stability_figure(studies: Sequence[TuningRecord]) -> Figure | None:
    """Hyper-parameter stability: how far the objective depends on the hyper-parameters.

    The distribution of the objective over the trials of each method, as in Figure 1 of
    nnRobustLoss (2026): one panel per dataset and objective, one box per method (median,
    quartiles, whiskers to 1.5 times their distance), one point per trial. Studies of one method on
    one dataset, such as those of the folds, share a box. A narrow box is a method that needs no
    tuning; trials that were pruned or failed have no value, which the number below the box shows.

    Args:
        studies: Any; those of other objectives have panels of their own.

    Returns:
        The figure; None where no trial has a value.
    """
    groups = comparable(study for study in studies if len(study.values))
    if not groups:
        return None
    styles = line_styles({label for methods in groups.values() for label in methods})
    several = len({objective for _, objective, _ in groups}) > 1
    widths = [max(2, len(methods)) for methods in groups.values()]
    with style():
        size = (1.4 + 0.95 * sum(widths) + 0.6 * len(widths), 4.1)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
        for axis, ((dataset, objective, _), methods) in zip(axes, groups.items(), strict=True):
            for place, (label, same) in enumerate(methods.items()):
                _box(axis, place, same, styles[label]["color"])
            names = [_ticks(label, same) for label, same in methods.items()]
            axis.set_xticks(range(len(methods)), names)
            axis.set_xlim(-0.7, len(methods) - 0.3)
            axis.set_title(dataset)
            axis.grid(axis="x", visible=False)
            axis.margins(y=0.08)
            if axis is axes[0] or several:
                axis.set_ylabel(objective)
    return figure


def _box(axis: "Axes", place: int, studies: Sequence[TuningRecord], colour: str) -> None:
    values = np.concatenate([study.values.to_numpy() for study in studies])
    line = {"color": colour, "linewidth": 1.6}
    axis.boxplot(
        [values],
        positions=[place],
        widths=0.55,
        showfliers=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={**line, "linewidth": 2.6},
        manage_ticks=False,
    )
    # Spread by the order of the trials: the same picture every time.
    offsets = ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 0.36
    axis.plot(place + offsets, values, "o", color=colour, alpha=0.45, ms=4, mew=0)


def _ticks(label: str, studies: Sequence[TuningRecord]) -> str:
    counts = [(len(study.values), len(study.trials)) for study in studies]
    return f"{label}\n{sum(c[0] for c in counts)} of {sum(c[1] for c in counts)}"
