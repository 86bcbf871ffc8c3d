"""What the files of cases hold: by this a dataset is the same wherever it lies."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from keras_robust.common.hashes import sha256
from keras_robust.data import Case, Dataset

__all__ = ["changes", "contents", "listed"]


def contents(cases: Iterable[Case]) -> dict[str, Any]:
    """SHA-256 of every mask by annotator and id, and of every image by id.

    Raises:
        OSError: A file is missing.
    """
    masks: dict[str, dict[str, str]] = {}
    images: dict[str, str] = {}
    for case in cases:
        if case.mask is not None:
            masks.setdefault(case.annotator, {})[case.id] = _hash((case.mask,))
        if case.id not in images:
            images[case.id] = _hash(tuple(case.channels))
    return {"masks": masks, "images": images}


def changes(stored: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """What of the files in `contents` of some cases is not the same in a dataset.

    Args:
        stored: From `contents`.
        dataset: The same dataset, perhaps elsewhere; it may have more cases.

    Raises:
        OSError: A file is missing.
    """
    wanted = {(annotator, id) for annotator, ids in stored["masks"].items() for id in ids}
    chosen = [
        case
        for case in dataset
        if (case.annotator, case.id) in wanted or (not wanted and case.id in stored["images"])
    ]
    return listed(stored, contents(chosen))


def listed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two `contents`, in words.

    >>> before = {"masks": {"anna": {"a": "1", "b": "2"}}, "images": {"a": "3", "b": "4"}}
    >>> listed(before, {"masks": {"anna": {"a": "1", "b": "0"}}, "images": {"b": "4", "c": "5"}})
    ['mask b of anna is another', 'image a is missing', 'image c is new']
    """
    found = []
    for annotator in sorted({*before["masks"], *now["masks"]}):
        old, new = (held["masks"].get(annotator, {}) for held in (before, now))
        found += [f"mask {id} of {annotator} is {how}" for id, how in _compared(old, new)]
    pairs = _compared(before["images"], now["images"])
    return found + [f"image {id} is {how}" for id, how in pairs]


def _compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for id in sorted({*old, *new}):
        if id not in new:
            yield id, "missing"
        elif id not in old:
            yield id, "new"
        elif old[id] != new[id]:
            yield id, "another"


def _hash(paths: tuple[Path, ...]) -> str:
    # The runs of a study look at the same files.
    states = [path.stat() for path in paths]
    return _hash_once(paths, tuple((state.st_size, state.st_mtime_ns) for state in states))


@lru_cache(maxsize=2**17)
def _hash_once(paths: tuple[Path, ...], state: tuple[tuple[int, int], ...]) -> str:
    return sha256(*paths)
