"""A session at work in a viewer: cases shown, painting kept, decisions written behind."""

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from keras_robust.review import Decision, ReviewCase, ReviewSession
from napari_plugin.review.keeping import Keeping, State
from napari_plugin.review.keys import KEYS
from napari_plugin.review.layers import CaseLayers
from napari_plugin.review.places import Places
from napari_plugin.review.prepared import Ready, read_ready, read_suggestion
from napari_plugin.review.readers import Results, ThirdReader
from napari_plugin.review.tools import Toolbox
from napari_plugin.review.tools.other_layers import as_suggestion
from napari_plugin.viewer.dock import timer
from napari_plugin.work.child import in_words
from napari_plugin.work.serial_thread import SerialThread

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ReviewController"]

AUTOSAVE_MS = 1000
SEEN_MS = 300  # in view for as long, a case counts as seen


class ReviewController(QObject):
    """Shows the cases of a session and keeps what is painted and decided.

    Args:
        viewer: Where the layers are.
        session: The session; closed with the desk.

    Attributes:
        shown: A case is in the viewer, or `None` while it is being read.
        said: What the reviewer should know.
        changed: The id of a case whose status is new.
        third: Decides between two other readers.
        results: What comes of the session.
        seen: Whether the case was in view long enough for a key to be meant for it.
    """

    shown = Signal(object)
    said = Signal(str)
    changed = Signal(str)

    def __init__(self, viewer: "ViewerModel", session: ReviewSession):
        super().__init__()
        self.session = session
        dataset = session.dataset
        self.layers = CaseLayers(
            viewer, session.reviewer, dataset.classes, dataset.ignore_label, dataset.class_names
        )
        self.layers.painted.connect(self._on_paint)
        self.layers.leaving.connect(self.keep)
        self.layers.said.connect(self.said)
        self.layers.nothing_to_undo.connect(self.withdraw_last)
        self.tools = Toolbox(viewer, self.layers)
        self.tools.said.connect(self.said)
        self.places = Places(viewer, self.layers)
        self.case: ReviewCase | None = None
        self.comment = ""
        self._keeping = Keeping(session)
        self.unsaved = self._keeping.unsaved  # a case shown again starts from it
        self._pending: set[str] = set()
        self._made: list[str] = []  # ids decided on since the data set was opened, the last last
        self.seen = True
        self._closing = False
        self._touched = False  # painted on since it was last looked at
        self._since = monotonic()  # when the case in view was shown
        self._kept: State | None = None
        self._ahead: dict[str, Ready] = {}
        self._found: dict[str, tuple[Any, ...]] = {}  # places of the cases shown, by id
        self._asked: set[str] = set()
        self._reader, self._writer = SerialThread("review-read"), SerialThread("review-write")
        self.third = ThirdReader(viewer, self.layers, self._reader)
        self.third.said.connect(self.said)
        self.results = Results(session, self.third, self._reader, self._writer)
        self.results.said.connect(self.said)
        self._timer = timer(self, AUTOSAVE_MS, self.keep)
        self._seen = timer(self, SEEN_MS, self._note_seen)
        # Started by a timer: the time counts once the window has drawn and hears keys again.
        self._drawn = timer(self, 0, self._seen.start)
        self._reader.ask(session.check, done=self._checked)

    # Moving

    def start(self) -> None:
        """Show the case at which the session stands."""
        if self.session.current is not None:
            self.go(self.session.current)
            self.seen = True  # no key before can have been meant for another case

    def go(self, id: str) -> None:
        """Show a case; what is painted on the one before is kept."""
        self.keep()
        self.session.go(id)
        self.case, self._kept, self.seen = None, None, False
        self._seen.stop()
        self.shown.emit(None)
        ready = self._ahead.pop(id, None)
        if ready is not None:
            self._display(ready)
        else:
            self._read(id)

    def next(self) -> None:
        """Show the next case."""
        self._step(self.session.next, "This is the last case shown.")

    def previous(self) -> None:
        """Show the case before."""
        self._step(self.session.previous, "This is the first case shown.")

    def go_place(self, by: int) -> None:
        """Show the next place of the case, or that before, and go on to the next case."""
        if self.case is not None and not self.places.step(by):
            (self.next if by > 0 else self.previous)()

    def go_to(self, id: str, number: int) -> None:
        """Show a place of a case: its number among those of the case."""
        if self.case is not None and self.case.id == id:
            self.places.go(number)
        else:
            self.places.open_at(number)
            self.go(id)

    def known_places(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Ids of the cases listed and their places: by the audit, else of those shown so far."""
        return [
            (item.id, tuple(item.places) or self._found.get(item.id, ()))
            for item in self.session.queue
        ]

    def next_undecided(self) -> None:
        """Show the next case that is not decided on."""
        self._step(self._undecided, "All other cases shown are decided.")

    def reload(self) -> None:
        """Read the files of the case again; what is painted stays."""
        id = self.session.current
        if id is not None:
            self._ahead.pop(id, None)
            self.go(id)

    # Deciding

    def decide(self, decision: str) -> bool:
        """Write a decision in the background and go on; false where it makes no sense."""
        case = self.case
        if case is None:
            return False
        if self.layers.corrected is None:
            self.said.emit("The layer to paint on was removed. Go to the case again.")
            return False
        painted = self.layers.is_painted(case.labels)
        if decision == "repair" and not painted and case.image is not None:
            decision = "accept"  # there is nothing else to keep
        if decision == "accept" and case.labels is None:
            self.said.emit("There is no mask to accept. Paint one and repair, or reject the case.")
            return False
        if decision == "accept" and painted:
            self.said.emit(
                "The mask is not the annotator's any more. Choose Repair to keep it as you "
                "painted it, or Start over to accept the annotator's."
            )
            return False
        if decision == "repair" and case.image is None:
            self.said.emit("Without its image the mask cannot be repaired. Reject it or ask.")
            return False
        labels = self.layers.labels if painted or decision == "repair" else None
        some = case.labels is not None or (labels is not None and labels.any())
        keeps = decision == "repair" or (decision != "accept" and painted and some)
        mask = labels if keeps else None
        id, comment = case.id, self.comment
        self._timer.stop()
        self.case, self._kept = None, None
        self._pending.add(id)
        self._made.append(id)
        if mask is not None:
            self.unsaved[id] = (mask, comment)
        self._writer.ask(
            self._keeping.write,
            self.session.decide,
            id,
            mask,
            comment,
            decision,
            comment,
            mask,
            seconds=monotonic() - self._since,
            done=lambda record: self._decided(record),
            failed=lambda error: self._failed(id, error, back=True),
        )
        if not self._step(self._undecided, "All other cases shown are decided."):
            self.go(id)
        return True

    def undo(self) -> None:
        """Take back the last step of painting, else the last decision."""
        self.layers.undo()

    def withdraw_last(self) -> None:
        """Take back the decision made last since the data set was opened, and show its case."""
        if self._made:
            self.withdraw(self._made[-1])
        else:
            self.said.emit("There is nothing to take back.")

    def withdraw(self, id: str | None = None) -> None:
        """Make a case undecided again, by default that in view; the log keeps its decision."""
        id = self.session.current if id is None else id
        if id is None or (id not in self._pending and self.session.log.decision(id) is None):
            self.said.emit("There is no decision to take back.")
            return
        self._made = [made for made in self._made if made != id]
        self.keep()
        self._pending.add(id)
        self._ahead.pop(id, None)
        self._writer.ask(
            self.session.withdraw,
            id,
            done=lambda record: self._withdrawn(id, record),
            failed=lambda error: self._failed(id, error),
        )
        self.go(id)

    def start_over(self) -> None:
        """Make the mask the annotator's again; undo brings the painting back."""
        if self.case is not None and self.case.labels is not None:
            self.layers.put(self.case.labels)

    def write_comment(self, text: str) -> None:
        """Note the comment of the case."""
        if text != self.comment:
            self.comment = text
            self._keep_soon()

    def suggest(self, layer: Labels) -> None:
        """Take what another plugin drew as the suggestion, until the case is left."""
        case, mask = self.case, self.layers.labels
        if case is None or mask is None:
            return
        classes = [one.label for one in self.layers.classes]
        labels = as_suggestion(np.asarray(layer.data), mask, classes, self.layers.label)
        other, name = replace(case, suggestion=labels), layer.name

        def show(found: tuple[NDArray[np.uint8] | None, tuple[Any, ...]]) -> None:
            if self.case is not case:
                return
            self.case = other
            self.layers.suggest(labels, found[0])
            self.places.renew(found[1])
            self.shown.emit(other)
            self.said.emit(
                f"“{name}” is the suggestion now. {KEYS['take whole']} takes it as a whole, "
                f"{KEYS['take in brush']} where the brush goes."
            )

        self._reader.ask(read_suggestion, self.session, other, done=show, failed=self._tell)

    # Keeping

    def keep(self) -> None:
        """Write what is painted and not decided on to a draft, in the background."""
        case = self.case
        self._timer.stop()
        if case is None or self._kept is None:
            return
        before, comment = self._kept
        if comment == self.comment and not self._touched:
            return
        labels, self._touched = self.layers.labels, False
        if labels is None or (comment == self.comment and np.array_equal(before, labels)):
            return
        state = (labels, self.comment)
        self._kept = self.unsaved[case.id] = state
        self._ahead.pop(case.id, None)
        self._writer.ask(
            self._keeping.write,
            self.session.save_draft,
            case.id,
            *state,
            *state,
            done=lambda _: self._drop(case.id, state),
            failed=lambda error: self._failed(case.id, error),
        )

    def settle(self) -> tuple[str, ...]:
        """Wait until all is written; the ids of which something could not be."""
        self.keep()
        self._writer.settle()
        return tuple(self.unsaved)

    def close(self) -> None:
        """Keep what is painted, wait until all is written, and give viewer and lock back.

        What could not be written is said.
        """
        self.keep()
        for waiting in (self._timer, self._seen, self._drawn):
            waiting.stop()
        self._closing = True
        self._reader.end()
        self._writer.end(answer=True)
        try:
            for told in self._keeping.rescue():
                self.said.emit(told)
        finally:
            self.tools.stop()
            self.places.stop()
            self.third.stop()
            self.layers.remove()
            self.session.close()

    # Inside

    def _step(self, move: Any, otherwise: str) -> bool:
        before = self.session.current
        found = move()
        if found is None or found == before:
            self.session.current = before
            self.said.emit(otherwise)
            return False
        self.session.current = before
        self.go(found)
        return True

    def _undecided(self) -> str | None:
        for _ in range(len(self._pending) + 1):
            found = self.session.next_undecided()
            if found is None or found not in self._pending:
                return found
        return None

    def _read(self, id: str) -> None:
        pending = id in self._pending
        if pending or id not in self._asked:
            self._asked.add(id)
            # What is being decided on is read when that is done, as it then is.
            (self._writer if pending else self._reader).ask(
                read_ready,
                self.session,
                id,
                done=self._loaded,
                failed=lambda error: self._unread(id, error),
            )

    def _unread(self, id: str, error: Exception) -> None:
        self._asked.discard(id)
        self._tell(error)

    def _checked(self, ids: tuple[str, ...]) -> None:
        for id in ids:
            self.changed.emit(id)

    def _loaded(self, ready: Ready) -> None:
        case = ready.case
        self._asked.discard(case.id)
        if self._closing or case.id in self._pending:
            return
        if case.id == self.session.current and self.case is None:
            self._display(ready)
        elif case.id != self.session.current and case.id not in self.unsaved:
            while len(self._ahead) > 1:
                self._ahead.pop(next(iter(self._ahead)))
            self._ahead[case.id] = ready

    def _display(self, ready: Ready) -> None:
        case = ready.case
        self.layers.show(case, ready.notes, ready.prepared)
        self.tools.show(case)
        self.places.show(case, ready.places)
        self._found[case.id] = self.places.found
        self.third.show(case)
        self.case, self.comment = case, case.comment
        now = case.unchanged
        if case.id in self.unsaved:
            labels, self.comment = self.unsaved[case.id]
            self.layers.put(labels)
            now = None
        now = self.layers.labels if now is None else now
        self._kept = None if now is None else (now, self.comment)
        self._touched = False
        self._timer.stop()
        self._drawn.start()
        self._since = monotonic()
        self.shown.emit(case)
        following = self.session.upcoming()
        if following is not None and following != case.id and following not in self._ahead:
            self._read(following)

    def _decided(self, record: Decision) -> None:
        self._pending.discard(record.id)
        self.unsaved.pop(record.id, None)
        self._ahead.pop(record.id, None)
        self.changed.emit(record.id)

    def _withdrawn(self, id: str, record: Decision | None) -> None:
        self._pending.discard(id)
        self.changed.emit(id)
        if record is not None:
            self.said.emit(f"The decision on {id} is taken back; decide again.")

    def _note_seen(self) -> None:
        self.seen = True

    def _failed(self, id: str, error: Exception, back: bool = False) -> None:
        self._pending.discard(id)
        self._made = [made for made in self._made if made != id]
        self.changed.emit(id)
        if back and self.session.current != id and not self._closing:
            self.go(id)
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        self.said.emit(in_words(error))

    def _drop(self, id: str, state: State) -> None:
        if self._keeping.written(id, state):
            self.changed.emit(id)

    def _on_paint(self) -> None:
        self._touched = True
        self._keep_soon()

    def _keep_soon(self) -> None:
        if self.case is not None and not self._timer.isActive():
            self._timer.start()
