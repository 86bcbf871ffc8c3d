"""One progress bar per run of a small study, and lines where there is no terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_robust.reports.names import loss_label
from keras_robust.scheduling.state import StudyState

_STEP = 0.1


class RunBars:
    """The `progress` callback of `run_benchmark`: epochs of each run as bars.

    Where there is no terminal it prints a line at each tenth of the whole.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._tasks: dict[str, int] = {}
        self._said = -_STEP

    def __enter__(self) -> "RunBars":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, study: StudyState) -> None:
        for run in study.runs:
            name = run.plan.name
            if name not in self._tasks:
                config = run.plan.config
                label = run.plan.label or loss_label(
                    config["loss"], config["loss_options"], config.get("selection")
                )
                self._tasks[name] = self._bars.add_task(label, total=run.epochs)
            self._bars.update(self._tasks[name], completed=run.done)  # type: ignore[arg-type]
        if self.console.is_terminal:
            return
        done = sum(run.done for run in study.runs)
        total = sum(run.epochs for run in study.runs)
        if total and done / total >= self._said + _STEP:
            self._said = done / total
            self.console.print(f"{done} of {total} epochs")
