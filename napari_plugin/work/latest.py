"""Work that is asked for again before it is done: only the newest request counts."""

from collections.abc import Callable
from typing import Any

from napari_plugin.work.tasks import Task, run_in_background

__all__ = ["Latest"]


class Latest:
    """One thread at a time; requests that come meanwhile replace each other and wait.

    What an outdated request returns, or raises, is dropped.
    """

    def __init__(self) -> None:
        self._task: Task | None = None
        self._waiting: Callable[[], Task] | None = None
        self._number = 0

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return self._task is not None

    def ask(
        self,
        function: Callable[..., Any],
        *args: Any,
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        **kwargs: Any,
    ) -> None:
        """Call a function in a thread, after the call that runs.

        Args:
            function: What to call; it must not touch Qt or layers.
            args: Its arguments.
            done, failed: Called in the window's thread with the result, or with the exception.
            kwargs: Further arguments of `run_in_background`.
        """
        self.drop()
        number = self._number

        def newest(handler: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda value: handler(value) if number == self._number else None

        self._waiting = lambda: run_in_background(
            function, *args, done=newest(done), failed=newest(failed), **kwargs
        )
        if self._task is None:
            self._start()

    def drop(self) -> None:
        """Nothing that was asked for is wanted any more."""
        self._number += 1
        self._waiting = None
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        if self._waiting is not None:
            self._task, self._waiting = self._waiting(), None
            self._task.ended.connect(self._end)

    def _end(self) -> None:
        self._task = None
        self._start()
