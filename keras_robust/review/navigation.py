"""Moving through a queue that may be filtered."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from keras_robust.common.errors import invalid
from keras_robust.review.queue import UNDECIDED, QueueFilter, QueueItem

__all__ = ["Navigation"]


class Navigation(ABC):
    """A queue with a current case; a subclass knows the status and comment of each.

    Args:
        items: The whole queue, in order.
    """

    def __init__(self, items: tuple[QueueItem, ...]):
        self.items = items
        self.queue = items
        self.current: str | None = None
        self._by_id = {item.id: item for item in items}

    @abstractmethod
    def status(self, id: str) -> str:
        """One of `STATUSES`."""

    @abstractmethod
    def comment(self, id: str) -> str:
        """What is written about a case."""

    def item(self, id: str) -> QueueItem:
        """The item of an id.

        Raises:
            ValueError: The queue has no such id.
        """
        if id not in self._by_id:
            raise invalid("id", "an id of the queue", id)
        return self._by_id[id]

    def filter(self, condition: QueueFilter = QueueFilter()) -> tuple[QueueItem, ...]:  # noqa: B008
        """Show those that fit, in the same order; the current case stays current."""
        self.queue = tuple(
            item
            for item in self.items
            if condition(item, self.status(item.id), self.comment(item.id))
        )
        return self.queue

    def go(self, id: str) -> str:
        """Make a case current.

        Raises:
            ValueError: The queue has no such id.
        """
        self.item(id)
        self.current = id
        return id

    def next(self) -> str | None:
        """Go to the next case shown; `None`, and stay, at the end."""
        return self._move(+1, lambda id: True)

    def previous(self) -> str | None:
        """Go to the case shown before; `None`, and stay, at the start."""
        return self._move(-1, lambda id: True)

    def next_undecided(self) -> str | None:
        """Go to the next case shown that is not decided on, round the end; `None` without one."""
        return self._move(+1, lambda id: self.status(id) in UNDECIDED, around=True)

    def upcoming(self) -> str | None:
        """The id where `next_undecided` would go, for reading it ahead."""
        before = self.current
        after = self.next_undecided()
        self.current = before
        return after

    def _move(self, step: int, wanted: Callable[[str], bool], around: bool = False) -> str | None:
        ids = [item.id for item in self.queue]
        if self.current in ids:
            at = ids.index(self.current)
            ahead = ids[at + 1 :] if step > 0 else ids[:at][::-1]
            ahead += ids[: at + 1] if around else []
        else:
            ahead = ids if step > 0 else ids[::-1]
        found = next((id for id in ahead if wanted(id)), None)
        if found is not None:
            self.current = found
        return found
