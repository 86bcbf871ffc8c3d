"""Showing a study while it runs: a live table in a terminal, plain lines elsewhere."""

import re
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keras_robust.common.words import duration
from keras_robust.scheduling.state import StudyState

MARKS = {
    "finished": ("●", "green"),
    "running": ("◐", "cyan"),
    "waiting": ("·", "dim"),
    "failed": ("✗", "bold red"),
    "interrupted": ("‖", "yellow"),
    "elsewhere": ("○", "yellow"),
}


def summary(study: StudyState) -> str:
    """One line: what is done and what remains."""
    parts = [f"{study.count('finished')} of {len(study.runs)} runs finished"]
    for state in ("running", "waiting", "interrupted", "failed"):
        if study.count(state):
            parts.append(f"{study.count(state)} {state}")
    if study.count("elsewhere"):
        parts.append(f"{study.count('elsewhere')} in another process")
    if study.seconds_left and study.count("running"):
        parts.append(f"about {duration(study.seconds_left)} left")
    return ", ".join(parts)


def table(study: StudyState) -> Group:
    """One row per loss, one column per noise setting, one mark per seed and fold."""
    settings: dict[tuple[float, float], None] = {}
    cells: dict[str, dict[tuple[float, float], Text]] = {}
    running, failed = [], []
    for run in study.runs:
        slug = re.sub("_a[^_]+_b[^_]+(_f[^_]+)?_s[^_]+$", "", run.plan.name)
        noise = run.plan.config.get("noise") or {"alpha": 0.0, "beta": 0.0}
        setting = (noise["alpha"], noise["beta"])
        settings[setting] = None
        mark, style = MARKS[run.state]
        cell = cells.setdefault(slug, {}).setdefault(setting, Text())
        cell.append(mark + " ", style=style)
        if run.state == "running":
            on = f"  on {run.where}" if run.where else ""
            running.append((run.where, f"{run.plan.name}  epoch {run.done}/{run.epochs}{on}"))
        if run.state == "failed":
            failed.append(f"{run.plan.name}  {run.error}")
    grid = Table(box=None, header_style="bold", padding=(0, 2))
    grid.add_column("loss")
    for alpha_value, beta_value in settings:
        grid.add_column(f"α={alpha_value:g} β={beta_value:g}" if alpha_value else "clean")
    for slug, row in cells.items():
        grid.add_row(slug, *(row.get(setting, Text()) for setting in settings))
    lines = [Text(f"◐ {line}", style="cyan") for _, line in sorted(running, key=lambda row: row[0])]
    lines += [Text(f"✗ {line}", style="red") for line in failed]
    return Group(grid, Text(), *lines, Text(summary(study), style="bold"))


class StudyView:
    """The `progress` callback of `run_benchmark` for a terminal or a log file."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False)
        terminal = self.console.is_terminal
        self._live = Live(console=self.console, auto_refresh=False) if terminal else None
        self._said = time.monotonic()
        self._opened = False

    def __enter__(self) -> "StudyView":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, study: StudyState) -> None:
        if self._live:
            self._live.update(table(study), refresh=True)
            return
        # A log wants events, and a sign of life every ten minutes.
        silent = time.monotonic() - self._said > 600
        if study.message or silent or not self._opened:
            self._opened = True
            self._said = time.monotonic()
            stamp = time.strftime("%H:%M:%S")
            event = f"{study.message}; " if study.message else ""
            self.console.print(f"{stamp} {event}{summary(study)}", soft_wrap=True, markup=False)
