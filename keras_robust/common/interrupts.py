"""Ctrl-C and SIGTERM as a flag that long work reads where it can stop well.

An exception that a signal raises may come up anywhere, also where it is swallowed (in C++ code that
calls Python, in destructors) or turned into another one. What was asked stays in the flag.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["FOLLOW", "Interrupts", "follow_input", "interrupts"]

FOLLOW = "KERAS_ROBUST_FOLLOW_INPUT"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """How often this process was asked to stop; handles the signals within `interrupts`.

    >>> asked = Interrupts()
    >>> with asked.held():
    ...     asked(signal.SIGINT, None)
    >>> asked.times
    1
    """

    def __init__(self) -> None:
        self.times = 0
        self._held: float = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.times += 1
        if self.times > self._held:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt, if it was asked."""
        if self.times:
            raise KeyboardInterrupt

    def hold(self, times: float) -> None:
        """Let the first signals, so many, do nothing but be counted: to be read by `check`."""
        self._held = times

    @contextmanager
    def held(self, times: float = math.inf) -> Iterator[None]:
        """As `hold`, for a while."""
        before = self._held
        self.hold(times)
        try:
            yield
        finally:
            self.hold(before)

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until it is asked."""
        end = time.monotonic() + seconds
        while not self.times and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle SIGINT and SIGTERM: they raise KeyboardInterrupt and are counted.

    Within another such context, that one goes on. Outside the main thread, where no handler can be
    set, nothing is ever asked.
    """
    current = signal.getsignal(signal.SIGINT)
    if isinstance(current, Interrupts):
        yield current
        return
    asked, previous = Interrupts(), {}
    try:
        for number in _SIGNALS:
            previous[number] = signal.signal(number, asked)
    except ValueError:
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def follow_input() -> None:
    """Where the environment asks for it (`FOLLOW`), interrupt this process when its input ends.

    The standard input of a process ends with whoever holds the other end, however that one died.
    """
    if os.environ.pop(FOLLOW, "") != "1":  # no child of this process has the same input
        return

    def watch() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock the exit would wait for
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
