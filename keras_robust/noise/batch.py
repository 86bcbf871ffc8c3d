"""What every noise does alike: corrupt a dataset in memory, and say what was left unchanged."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress

from .catalogue import KINDS
from .corruption import Corruption

Other = Callable[[], np.ndarray]


class Noise(Protocol):
    """A noise that knows what is to happen to every mask, and does it."""

    def plan(self, ids: Sequence[str]) -> Mapping[str, str]: ...

    def corrupt(
        self, mask: np.ndarray, id: str, kind: str, other: Other | None = None
    ) -> tuple[np.ndarray, Corruption]: ...


def corrupt_planned(
    noise: Noise, mask: np.ndarray, id: str, kind: str, read: Callable[[str], np.ndarray]
) -> tuple[np.ndarray, Corruption]:
    """One mask of a dataset, corrupted as planned.

    Args:
        noise: what to simulate.
        mask: the clean mask.
        id: of the image.
        kind: from the plan of the dataset.
        read: the clean mask of another id of the dataset.
    """
    source = getattr(kind, "source", "")
    return noise.corrupt(mask, id, kind, partial(read, source) if source else None)


def check_possible(
    noise: Noise, plan: Mapping[str, str], read: Callable[[str], np.ndarray]
) -> None:
    """Refuse kinds of error that can be made in none of the masks of a plan.

    Args:
        noise: what to simulate.
        plan: kinds by id.
        read: the clean mask of an id; those up to the first that can be changed are read.

    Raises:
        ValueError: none of the masks that are not empty can be changed.
    """
    kinds = getattr(noise, "kinds", KINDS)
    if set(kinds) & set(KINDS):
        return
    why = ""
    for id, kind in plan.items():
        if kind != "clean":
            done = corrupt_planned(noise, read(id), id, kind, read)[1]
            if done.whole is not None or any(p is not None for p in done.parameters.values()):
                return
            if done.parameters:
                why = why or f"{done.id}: {done.note}"
    if why:
        raise invalid(
            "kinds",
            "kinds of error of which one can be made in one of the masks at least",
            said=f"kinds={tuple(kinds)}; {why}",
            remedy="Add others.",
        )


def each_once(ids: Iterable[str]) -> list[str]:
    """The ids as texts.

    Raises:
        ValueError: an id occurs twice.
    """
    counts = Counter(str(id) for id in ids)
    twice = sorted(id for id, count in counts.items() if count > 1)
    if twice:
        raise invalid(
            "ids",
            "every id once",
            said=f"{twice[:5]} more than once",
            remedy="Plan each annotator's masks on their own.",
        )
    return list(counts)


def check_length(masks: Sequence[np.ndarray] | np.ndarray, ids: Sequence[str]) -> None:
    """Refuse ids that are not one per mask.

    Raises:
        ValueError: they are not.
    """
    if len(masks) != len(ids):
        raise invalid("ids", "one id per mask", said=f"{len(ids)} ids for {len(masks)} masks")


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
    read = dict(zip(plan, masks, strict=True)).__getitem__
    check_possible(noise, plan, read)
    noisy, log = [], []
    for id, kind in plan.items():
        corrupted, corruption = corrupt_planned(noise, read(id), id, kind, read)
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
