"""A third reader decides where two do not agree; nobody's log is touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.dataset import Dataset
from keras_robust.review.log import ReviewLog, read_log
from keras_robust.review.readers.agreement import agreement

__all__ = ["Opinion", "disputes", "merged"]

LEAST_DICE = 0.9  # two masks that overlap less are not the same


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one reader holds of an image.

    Attributes:
        reviewer: Name of the reader.
        decision: The reader's last one.
        comment: The reader's.
        mask: `(*spatial)`, the mask that the reader holds for right; `None` for none.
    """

    reviewer: str
    decision: str
    comment: str
    mask: NDArray[np.uint8] | None = None


class _Disputes(Mapping[str, tuple[Opinion, Opinion]]):
    """Opinions by id; masks are read as they are asked for."""

    def __init__(self, logs: tuple[ReviewLog, ReviewLog], ids: tuple[str, ...]):
        self._logs, self._ids = logs, ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self):
        return iter(self._ids)

    def __getitem__(self, id: str) -> tuple[Opinion, Opinion]:
        if id not in self._ids:
            raise KeyError(id)
        one, other = (self._opinion(log, id) for log in self._logs)
        return one, other

    def _opinion(self, log: ReviewLog, id: str) -> Opinion:
        last = log.decisions[id]
        return Opinion(log.reviewer, last.decision, last.comment, log.final_mask(id))


def disputes(
    dataset: Dataset, home: Path, one: str, other: str, least_dice: float = LEAST_DICE
) -> Mapping[str, tuple[Opinion, Opinion]]:
    """The images that two readers decided on differently, and what each holds of them.

    Args:
        dataset: The dataset.
        home: Manifest folder with the logs, which are only read.
        one: Name of a reader.
        other: Name of the other.
        least_dice: Masks that overlap less are in dispute, though both readers repaired.

    Returns:
        The opinions of `one` and `other` by id, in the order of the ids.

    Raises:
        ValueError: No such reader, or one and the same.
    """
    if one == other:
        raise invalid("other", "another reader", other)
    logs = read_log(dataset, home, one), read_log(dataset, home, other)
    found = agreement(*logs)
    apart = {id for id, dice in found.dice.items() if not dice >= least_dice}
    return _Disputes(logs, tuple(sorted({*found.disputed, *apart})))


def merged(
    one: NDArray[np.uint8], other: NDArray[np.uint8], original: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Where two masks agree, what they say; elsewhere what the annotator drew, else background.

    >>> one, other, drawn = np.array([[1, 1, 0, 2], [1, 0, 1, 2], [0, 1, 0, 0]], np.uint8)
    >>> merged(one, other, drawn).tolist()
    [1, 1, 0, 2]
    """
    between = 0 if original is None else original
    return np.where(one == other, one, between).astype(np.uint8)
