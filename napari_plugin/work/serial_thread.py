"""Threads that do one thing after the other, in the order asked for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, Signal

__all__ = ["SerialThread"]


class SerialThread(QObject):
    """One thread; what is asked of it is done in order, and answered in the window's thread.

    Unlike daemon threads, it is waited for when the program ends: what was asked for is done.

    Args:
        name: Of the thread.
    """

    _answered = Signal()

    def __init__(self, name: str):
        super().__init__()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._open = True
        self._answers: deque[tuple[Callable[[Any], None] | None, Any]] = deque()
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

    def settle(self) -> None:
        """Wait until all that was asked for is done, and answer it now."""
        if self._open:
            self._pool.submit(int).result()
            self._answer()

    def end(self, answer: bool = False) -> None:
        """Wait until all is done; nothing is taken on any more, nor answered after this.

        Args:
            answer: Whether what has been done by now is answered.
        """
        self._open = False
        self._pool.shutdown(wait=True)
        if answer:
            self._answer()
        self._answers.clear()

    def _run(self, function: Any, args: Any, kwargs: Any, done: Any, failed: Any) -> None:
        try:
            value, handler = function(*args, **kwargs), done
        except Exception as error:
            value, handler = error, failed
        self._answers.append((handler, value))
        try:
            self._answered.emit()
        except RuntimeError:
            pass  # the window is gone

    def _answer(self) -> None:
        while self._answers:
            handler, value = self._answers.popleft()
            self.waiting -= 1
            if handler is not None:
                handler(value)
