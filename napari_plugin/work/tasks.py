"""Long work that never blocks the window: in a thread, or in a child process."""

import atexit
import multiprocessing
import threading
import weakref
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils import progress as napari_progress
from qtpy.QtCore import QObject, QTimer, Signal

from keras_robust.common.progress import Progress
from napari_plugin.work.child import Cancelled, in_words, run_child

__all__ = ["Cancelled", "ChildProcess", "Task", "run_in_background"]


class Task(QObject):
    """Work in a thread: see `run_in_background`. Signals arrive in the thread of the window.

    Attributes:
        progressed: (done, total) as the work goes on.
        done: What the function returned.
        failed: The exception that it raised.
        ended: After any end, also a cancelled one.
    """

    progressed = Signal(int, int)
    done = Signal(object)
    failed = Signal(object)
    ended = Signal()
    _outcome = Signal(str, object)

    _running: set["Task"] = set()

    def __init__(self, function: Callable[..., Any], args: tuple, kwargs: dict, title: str):
        super().__init__()
        self._cancelled = False
        self._call = (function, args, kwargs)
        self._bar = napari_progress(desc=title, total=0) if title else None
        self.progressed.connect(self._show)
        self._outcome.connect(self._end)
        self._worker = create_worker(self._work, _start_thread=False)

    @property
    def running(self) -> bool:
        """Whether the work has not ended."""
        return self in Task._running

    def cancel(self) -> None:
        """Ask the work to end: it does when it next reports progress. Nothing is reported then."""
        self._cancelled = True

    def _start(self) -> None:
        Task._running.add(self)
        self._worker.start()

    def _work(self) -> None:
        function, args, kwargs = self._call
        try:
            if "progress" in kwargs:
                kwargs = kwargs | {"progress": self._report}
            outcome: tuple[str, Any] = ("done", function(*args, **kwargs))
        except Cancelled:
            outcome = ("cancelled", None)
        except Exception as error:
            outcome = ("failed", error)
        self._outcome.emit(*outcome)

    def _report(self, done: int, total: int) -> None:
        # The worker is asked to quit when the application closes.
        if self._cancelled or self._worker.abort_requested:
            raise Cancelled
        self.progressed.emit(done, total)

    def _show(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)

    def _end(self, outcome: str, value: object) -> None:
        Task._running.discard(self)
        if self._bar is not None:
            self._bar.close()
        if outcome == "done" and not self._cancelled:
            self.done.emit(value)
        elif outcome == "failed":
            self.failed.emit(value)
        self.ended.emit()


def run_in_background(
    function: Callable[..., Any],
    *args: Any,
    progress: bool | Progress = False,
    done: Callable[[Any], None] | None = None,
    failed: Callable[[Exception], None] | None = None,
    title: str = "",
    **kwargs: Any,
) -> Task:
    """Call `function(*args, **kwargs)` in a thread while the window stays alive.

    Args:
        function: What to call. It must not touch Qt or layers.
        args: Its arguments.
        progress: True, or what to call with (done, total): the function is then given a callback
            `progress(done, total)`, which is also where a cancelled function ends.
        done: Called in the window's thread with the result.
        failed: Called there with the exception; where None, napari shows it as an error.
        title: Shows a bar of that name in napari's activity dock.
        kwargs: Further arguments of the function.

    Returns:
        A handle with `cancel()`, `running` and signals.
    """
    if progress:
        kwargs["progress"] = None
    task = Task(function, args, kwargs, title)
    if callable(progress):
        task.progressed.connect(progress)
    if done is not None:
        task.done.connect(done)
    task.failed.connect(_show_error if failed is None else failed)
    task._start()
    return task


def _show_error(error: Exception) -> None:
    from napari.utils.notifications import show_error

    show_error(in_words(error))


class ChildProcess(QObject):
    """A function in a spawned child process, with messages, pause and cancel.

    The child ends with its parent, however that ends. Signals arrive in the window's thread.

    Args:
        function: Called as `function(channel, *args)` in the child, `channel` a
            `napari_plugin.work.child.Channel`; importable, from a module that imports no Qt.
        args: Its arguments; pickled.
        parent: Owner of this object.

    Attributes:
        message: What the function sent through its channel.
        waited: Seconds since it was started, each second until it sends something.
        paused: Whether the function waits.
        done: What the function returned.
        failed: Its error in words, or that the process died.
        ended: After any end, also a cancelled one.
    """

    message = Signal(object)
    waited = Signal(int)
    paused = Signal(bool)
    done = Signal(object)
    failed = Signal(str)
    ended = Signal()
    _received = Signal(str, object)

    def __init__(self, function: Callable[..., Any], *args: Any, parent: QObject | None = None):
        super().__init__(parent)
        context = multiprocessing.get_context("spawn")
        self._connection, self._theirs = context.Pipe()
        self._process = context.Process(target=run_child, args=(function, self._theirs, args))
        self._cancelled = False
        self._state = "new"
        self.details = ""  # traceback of an error
        self._received.connect(self._receive)
        self._seconds, self._clock = 0, QTimer(self)
        self._clock.timeout.connect(self._tick)
        weakref.finalize(self, _kill_quietly, self._process)

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._state == "running"

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def pid(self) -> int | None:
        """Of the process; None before it is started."""
        return self._process.pid if self._state != "ended" else None

    def start(self) -> None:
        """Start the child."""
        self._process.start()
        self._theirs.close()  # so that the end of the child is the end of the pipe
        self._state = "running"
        self._clock.start(1000)
        _children.add(self._process)
        thread = threading.Thread(
            target=_relay, args=(weakref.ref(self), self._connection, self._process), daemon=True
        )
        thread.start()

    def pause(self) -> None:
        """Let the function wait at its next message."""
        self._send("pause")

    def resume(self) -> None:
        """Let it go on."""
        self._send("resume")

    def cancel(self, grace: float = 10.0) -> None:
        """End the function at its next message, or by force after `grace` seconds."""
        self._cancelled = True
        self._send("cancel")
        QTimer.singleShot(int(grace * 1000), self._kill)

    def _send(self, command: str) -> None:
        if self.running:
            try:
                self._connection.send(command)
            except OSError:
                pass  # the child is ending; the relay says how

    def _kill(self) -> None:
        if self.running:
            _kill_quietly(self._process)

    def _tick(self) -> None:
        self._seconds += 1
        self.waited.emit(self._seconds)

    def _receive(self, kind: str, content: Any) -> None:
        self._clock.stop()
        if kind == "message":
            self.message.emit(content)
        elif kind == "paused":
            self.paused.emit(content)
        else:
            self._state = "ended"
            if kind == "result" and not self._cancelled:
                self.done.emit(content)
            elif kind == "failed" and not self._cancelled:
                text, self.details = content
                self.failed.emit(text)
            self.ended.emit()


_children: "weakref.WeakSet[Any]" = weakref.WeakSet()


@atexit.register  # after multiprocessing's own, hence run before it waits for children
def _end_children() -> None:
    for process in list(_children):
        _kill_quietly(process)


def _kill_quietly(process: Any) -> None:
    try:
        process.kill()
    except (ValueError, AttributeError):
        pass  # it has ended, or was never started


def _relay(owner: "weakref.ref[ChildProcess]", connection: Any, process: Any) -> None:
    """Hand what the child sends to the signals, in a thread; then clear the child away."""
    last: tuple[str, Any] | None = None
    while last is None:
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            break
        if kind in ("message", "paused"):
            _emit(owner, kind, content)
        else:
            last = (kind, content)
    process.join()
    if last is None:
        last = ("failed", (_death(process.exitcode), ""))
    connection.close()
    process.close()
    _emit(owner, *last)


def _emit(owner: "weakref.ref[ChildProcess]", kind: str, content: Any) -> None:
    child = owner()
    try:
        if child is not None:
            child._received.emit(kind, content)
    except RuntimeError:
        pass  # the window, and the signal with it, is gone


def _death(exitcode: int | None) -> str:
    reason = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"code {exitcode}"
    memory = ", often a sign that memory ran out" if exitcode == -9 else ""
    return (
        f"The child process died ({reason}{memory}). What it had written is kept; "
        "close other programs or choose a smaller size, and start it again."
    )
