"""What simulated annotation errors do to one mask, to a stack of masks, and to a dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.progress import Progress
from keras_robust.data import Dataset
from keras_robust.data.files.ignored import set_aside_ignored
from keras_robust.noise import Corruption, Kind, LabelNoise, check_possible, corrupt_planned

__all__ = [
    "Preview",
    "corrupt_mask",
    "corrupt_slice",
    "corrupt_stack",
    "dataset_log",
    "replay",
    "slice_ids",
]


@dataclass(frozen=True)
class Preview:
    """A corrupted mask and what was done to it.

    Attributes:
        mask: Of the shape and type of the clean mask.
        log: One entry; of a stack, one per slice.
    """

    mask: NDArray
    log: tuple[Corruption, ...]


def corrupt_mask(
    mask: NDArray,
    noise: LabelNoise,
    id: str,
    ignore_label: int | None = None,
    dataset: Dataset | None = None,
) -> Preview:
    """The mask as it would be if this image were among those that are corrupted.

    The kind of error and its random numbers are those that `id` has in a dataset, whatever alpha.

    Args:
        mask: Labels of shape (H, W) or (D, H, W).
        noise: What to simulate.
        id: Of the image.
        ignore_label: Stays where it is.
        dataset: The cases that it is one of; kinds of error that take another case's mask need it.

    Raises:
        ValueError: The mask has another rank or is not integer, or another case's cannot be read.

    >>> mask = np.zeros((32, 32), np.uint8)
    >>> mask[8:24, 8:24] = 1
    >>> found = corrupt_mask(mask, LabelNoise(alpha=0, beta=0.7, kinds=("erode",)), "a")
    >>> found.log[0].kind, int(found.mask.sum())
    ('erode', 64)
    """
    known, put_back = set_aside_ignored(mask, ignore_label)
    kind = replace(noise, alpha=1.0).plan([id])[id]
    if dataset is None:
        noisy, corruption = noise.corrupt(known, id, kind)
    else:
        # Which case it would be depends on them all; the kind does not, and drawing it costs more.
        kind.source = replace(noise, alpha=0.0).plan(dataset.ids)[id].source
        noisy, corruption = corrupt_planned(noise, known, id, kind, _reader(dataset))
    return Preview(put_back(noisy), (corruption,))


def _reader(dataset: Dataset) -> Callable[[str], NDArray]:
    """The mask of an id, without its ignored region."""
    cases = {case.id: case for case in dataset}
    label = dataset.ignore_label
    return lambda id: set_aside_ignored(dataset.read_mask(cases[id]), label)[0]


def slice_ids(stack: NDArray, id: str) -> list[str]:
    """Names for the slices of a stack that has none.

    >>> slice_ids(np.zeros((2, 8, 8)), "a")
    ['a-0', 'a-1']
    """
    return [f"{id}-{index}" for index in range(len(stack))]


def corrupt_slice(
    stack: NDArray,
    index: int,
    noise: LabelNoise,
    ids: Sequence[str],
    ignore_label: int | None = None,
) -> Preview:
    """One slice of what `corrupt_stack` gives.

    Raises:
        ValueError: The stack has not three axes, or another number of slices.
    """
    _check_stack(stack, ids)
    return _corrupt_slice(stack, index, noise, noise.plan(ids), ignore_label)


def _corrupt_slice(
    stack: NDArray,
    index: int,
    noise: LabelNoise,
    plan: Mapping[str, Kind],
    ignore_label: int | None,
) -> Preview:
    numbers = {id: number for number, id in enumerate(plan)}
    id = list(plan)[index]
    known, put_back = set_aside_ignored(stack[index], ignore_label)
    noisy, corruption = corrupt_planned(
        noise,
        known,
        id,
        plan[id],
        lambda other: set_aside_ignored(stack[numbers[other]], ignore_label)[0],
    )
    return Preview(put_back(noisy), (corruption,))


def corrupt_stack(
    stack: NDArray,
    noise: LabelNoise,
    ids: Sequence[str],
    ignore_label: int | None = None,
    progress: Progress | None = None,
) -> Preview:
    """A stack of 2-D masks, each corrupted as an image of its own; alpha counts over the slices.

    Args:
        stack: Labels of shape (slices, H, W).
        noise, ignore_label: As for `corrupt_mask`.
        ids: One per slice, each once.
        progress: Called with the slices done and all of them.

    Raises:
        ValueError: The stack has not three axes, another number of slices, or is not integer.

    >>> stack = np.zeros((4, 16, 16), np.uint8)
    >>> stack[:, 4:12, 4:12] = 1
    >>> found = corrupt_stack(stack, LabelNoise(alpha=0.5, beta=0.7), slice_ids(stack, "a"))
    >>> [done.id for done in found.log], sum(done.kind != "clean" for done in found.log)
    (['a-0', 'a-1', 'a-2', 'a-3'], 2)
    """
    _check_stack(stack, ids)
    result = np.empty_like(stack)
    log: list[Corruption] = []
    plan = noise.plan(ids)
    for index in range(len(stack)):
        found = _corrupt_slice(stack, index, noise, plan, ignore_label)
        result[index] = found.mask
        log.extend(found.log)
        if progress is not None:
            progress(len(log), len(stack))
    return Preview(result, tuple(log))


def _check_stack(stack: NDArray, ids: Sequence[str]) -> None:
    if stack.ndim != 3 or len(stack) != len(ids):
        raise ValueError(
            f"Expected a stack of {len(ids)} 2-D masks. Received: a mask of shape {stack.shape}."
        )


def replay(
    mask: NDArray,
    log: Sequence[Corruption],
    ids: Sequence[str],
    ignore_label: int | None = None,
) -> Preview:
    """The entries of a log for `ids`, done again on the clean mask.

    Args:
        mask: Labels of one image, or with several ids a stack of them.
        log: From `keras_robust.noise.read_log`.
        ids: Of the mask, or of the slices.
        ignore_label: Stays where it is.

    Raises:
        ValueError: The log has no entry for an id, or the mask is not the one of the log.

    >>> mask = np.eye(8, dtype=np.uint8)
    >>> replay(mask, [Corruption("a", "clean")], ["b"])
    Traceback (most recent call last):
    ...
    ValueError: The log has no entry for 'b', among 1. Give the layer the name of its image.
    """
    entries = {done.id: done for done in log}
    missing = [id for id in ids if id not in entries]
    if missing:
        raise ValueError(
            f"The log has no entry for {missing[0]!r}, among {len(log)}. "
            "Give the layer the name of its image."
        )
    known, put_back = set_aside_ignored(mask, ignore_label)
    own = tuple(entries[id] for id in ids)
    if len(ids) == 1:
        return Preview(put_back(own[0].apply(known)), own)
    _check_stack(mask, ids)
    slices = [done.apply(one) for done, one in zip(own, known, strict=True)]
    return Preview(put_back(np.stack(slices)), own)


def dataset_log(
    dataset: Dataset, noise: LabelNoise, progress: Progress | None = None
) -> list[Corruption]:
    """What `simulate_dataset` would do to these cases; nothing is written.

    Args:
        dataset: Cases of one annotator, and of one split where the dataset has splits.
        noise: What to simulate.
        progress: Called with the masks done and all of them; what it raises ends the work.

    Raises:
        ValueError: A mask cannot be read, or no kind of error can be made in any of them.

    >>> from keras_robust.data import sample
    >>> few = sample().select(ids=["ISIC_0000013", "ISIC_0000015"])
    >>> sorted(done.kind == "clean" for done in dataset_log(few, LabelNoise(alpha=0.5, beta=0.7)))
    [False, True]
    """
    plan, read = noise.plan(dataset.ids), _reader(dataset)
    check_possible(noise, plan, read)
    log = []
    for id in dataset.ids:
        log.append(corrupt_planned(noise, read(id), id, plan[id], read)[1])
        if progress is not None:
            progress(len(log), len(dataset))
    return log
