"""The child process that works for the widget: its start, its end, its bar and its messages."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_plugin.work.tasks import ChildProcess

__all__ = ["Progress"]

STAGES = {
    "masks": "Reading masks",
    "step": "Training",
    "predict": "Predicting a volume",
    "images": "Predicting",
    "files": "Reading files",
    "predicting": "Reading predictions",
    "scoring": "Scoring masks",
    "error maps": "Drawing error maps",
}


class Progress(QWidget):
    """One child process at a time, a bar that shows how far it is, and a line for messages.

    Attributes:
        child: The process; None while there is none.
        epoch_ended: The row of the history of an epoch.
        paused: Whether the child waits.
        changed: A child starts, or has ended.
        stopped: It has ended since it was cancelled; after `changed`.
    """

    epoch_ended = Signal(object)
    paused = Signal(bool)
    changed = Signal()
    stopped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.child: ChildProcess | None = None
        self._done: Callable[[Any], None] = lambda result: None
        self._result: tuple[Any, ...] = ()
        self._tasks: list[ChildProcess] = []  # dropped with the widget, and their processes too
        self.destroyed.connect(lambda *_, tasks=self._tasks: tasks.clear())
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.message = QLabel("Choose a dataset, then train.")
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bar)
        column.addWidget(self.message)

    def say(self, text: str) -> None:
        """Show a message; an empty one hides it."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def start(
        self, function: Callable[..., Any], args: tuple[Any, ...], done: Callable[[Any], None]
    ) -> None:
        """Run `function(channel, *args)` in a child, unless there is one, then `done(result)`."""
        if self.child is not None:
            return
        child = ChildProcess(function, *args)
        child.message.connect(self._receive)
        child.waited.connect(lambda seconds: self.say(f"Starting … {seconds} s"))
        child.paused.connect(self._show_paused)
        child.failed.connect(self.say)
        child.ended.connect(self._end)
        child.done.connect(self._note_result)
        self._done, self._result = done, ()
        self.child = child
        self._tasks.append(child)
        self.say("Starting ...")
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.changed.emit()
        child.start()

    def stop(self) -> None:
        """Stop the child; what it had written is kept."""
        if self.child is not None:
            self.say("Stopping ...")
            self.child.cancel()

    def _receive(self, message: tuple[Any, ...]) -> None:
        stage, *content = message
        if stage == "epoch":
            self.epoch_ended.emit(content[0])
            return
        done, total = content
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setFormat(f"{STAGES.get(stage, stage)}: %v of %m")
        self.say("")

    def _show_paused(self, paused: bool) -> None:
        self.paused.emit(paused)
        self.say("Paused." if paused else "Going on ...")

    def _note_result(self, result: Any) -> None:
        self._result = (result,)

    def _end(self) -> None:
        """The child has ended, however: the next step of what it was for, if it succeeded."""
        child, self.child = self.child, None
        self._tasks.clear()
        self.bar.setVisible(False)
        self.changed.emit()
        if self._result:
            self._done(self._result[0])
        elif child is not None and child.cancelled:
            self.stopped.emit()
