"""What every noise does alike: corrupt a dataset in memory, and say what was left unchanged."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .corruption import Corruption

Progress = Callable[[int, int], None]


class Noise(Protocol):
    """A noise that knows what is to happen to every mask, and does it."""

    def plan(self, ids: Sequence[str]) -> Mapping[str, str]: ...

    def corrupt(self, mask: np.ndarray, id: str, kind: str) -> tuple[np.ndarray, Corruption]: ...


def each_once(ids: Iterable[str]) -> list[str]:
    """The ids as texts.

    Raises:
        ValueError: an id occurs twice.
    """
    counts = Counter(str(id) for id in ids)
    twice = sorted(id for id, count in counts.items() if count > 1)
    if twice:
        raise ValueError(
            "Invalid value for argument `ids`. Expected every id once. "
            f"Received: {twice[:5]} more than once. Plan each annotator's masks on their own."
        )
    return list(counts)


def check_length(masks: Sequence[np.ndarray] | np.ndarray, ids: Sequence[str]) -> None:
    """Refuse ids that are not one per mask.

    Raises:
        ValueError: they are not.
    """
    if len(masks) != len(ids):
        raise ValueError(
            "Invalid value for argument `ids`. Expected one id per mask. "
            f"Received: {len(ids)} ids for {len(masks)} masks."
        )


def corrupt_all(
    noise: Noise,
    masks: Sequence[np.ndarray] | np.ndarray,
    ids: Sequence[str],
    progress: Progress | None = None,
) -> tuple[Any, list[Corruption]]:
    """The noisy masks (an array where `masks` is one, otherwise a list) and the log, in order.

    Raises:
        ValueError: `masks` and `ids` differ in length, or an id occurs twice.
    """
    check_length(masks, ids)
    plan = noise.plan(ids)
    noisy, log = [], []
    for mask, (id, kind) in zip(masks, plan.items(), strict=True):
        corrupted, corruption = noise.corrupt(mask, id, kind)
        noisy.append(corrupted)
        log.append(corruption)
        if progress is not None:
            progress(len(log), len(ids))
    stacked = isinstance(masks, np.ndarray) and len(noisy) > 0
    return (np.stack(noisy) if stacked else noisy), log


def unchanged_note(labels: Sequence[str], unchanged: Sequence[str], why: str) -> str:
    """What the log says of structures that were left as they are.

    >>> unchanged_note(["1", "2"], ["2"], "no room")
    'unchanged (labels 2): no room'
    """
    if not labels:
        return "unchanged: the mask is empty"
    if not unchanged:
        return ""
    which = "" if len(unchanged) == len(labels) else f" (labels {', '.join(unchanged)})"
    return f"unchanged{which}: {why}"
