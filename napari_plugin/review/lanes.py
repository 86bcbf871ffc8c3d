"""Threads that do one thing after the other, in the order asked for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, Signal

__all__ = ["Lane"]


class Lane(QObject):
    """One thread; what is asked of it is done in order, and answered in the window's thread.

    Unlike daemon threads, it is waited for when the program ends: what was asked for is done.

    Args:
        name: Of the thread.
    """

    _answered = Signal(object, object)

    def __init__(self, name: str):
        super().__init__()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._open = True
        self.waiting = 0
        self._answered.connect(self._answer)

    def ask(
        self,
        function: Callable[..., Any],
        *args: Any,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
        **kwargs: Any,
    ) -> None:
        """Call a function in the thread.

        Args:
            function: What to call; it must not touch Qt or layers.
            args, kwargs: Its arguments.
            done, failed: Called in the window's thread with the result, or with the exception.
        """
        if self._open:
            self.waiting += 1
            self._pool.submit(self._run, function, args, kwargs, done, failed)

    def end(self) -> None:
        """Wait until all is done; nothing is answered or taken on any more."""
        self._open = False
        self._pool.shutdown(wait=True)

    def _run(self, function: Any, args: Any, kwargs: Any, done: Any, failed: Any) -> None:
        try:
            value, handler = function(*args, **kwargs), done
        except Exception as error:
            value, handler = error, failed
        try:
            self._answered.emit(handler, value)
        except RuntimeError:
            pass  # the window is gone

    def _answer(self, handler: Callable[[Any], None] | None, value: Any) -> None:
        self.waiting -= 1
        if handler is not None and self._open:
            handler(value)
