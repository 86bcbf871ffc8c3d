"""What is painted and on its way to the disk, and where it is kept if that is full."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.review import ReviewSession
from napari_plugin.work.child import in_words

__all__ = ["Keeping", "State"]

State = tuple[NDArray[np.uint8], str]


class Keeping:
    """Keeps painting until the data set has it.

    Args:
        session: Writes drafts and decisions.

    Attributes:
        unsaved: Masks and comments that are not on the disk yet, by id.
    """

    def __init__(self, session: ReviewSession):
        self._session = session
        self.unsaved: dict[str, State] = {}

    def write(
        self,
        write: Callable[..., Any],
        id: str,
        labels: NDArray[np.uint8] | None,
        comment: str,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Write; what the data set cannot take is kept elsewhere, should the window die too."""
        try:
            return write(id, *args, **kwargs)
        except OSError:
            if labels is not None:
                with suppress(OSError):
                    self._session.rescue_draft(id, labels, comment)
            raise

    def written(self, id: str, state: State) -> bool:
        """Hold no more what is on the disk; false where there is newer painting."""
        newest = self.unsaved.get(id) is state
        if newest:
            del self.unsaved[id]
        return newest

    def rescue(self) -> Iterator[str]:
        """Keep what could not be written where the next session finds it, and say so."""
        for id, (labels, comment) in self.unsaved.items():
            try:
                self._session.save_draft(id, labels, comment)
            except OSError as reason:
                yield self._rescued(id, labels, comment, reason)

    def _rescued(self, id: str, labels: NDArray, comment: str, reason: OSError) -> str:
        try:
            self._session.rescue_draft(id, labels, comment)
        except OSError as second:
            return f"What you painted on {id} is lost. {in_words(second)}"
        return (
            f"What you painted on {id} could not be saved in the data set. {in_words(reason)} It "
            "is kept on this computer: when you open the data set again here, it is shown."
        )
