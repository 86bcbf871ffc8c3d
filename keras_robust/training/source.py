"""Where the images and masks of a run come from."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from keras_robust.data import Dataset, clean_annotator, folds
from keras_robust.training.config import DataConfig


class Source(Protocol):
    """Images and masks by position: `(H, W, C)`, uint8 or float32, and `(H, W)`, uint8 labels or
    float32 probabilities of the foreground, or `(H, W, K)`, those of more classes; of volumes three
    axes."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    def image(self, index: int) -> np.ndarray: ...

    def mask(self, index: int) -> np.ndarray: ...


class DiskSource:
    """Reads and resizes at every access; holds paths only.

    Args:
        dataset: With one case per image.
        size: (height, width) in pixels, or the three sizes of volumes.
        soft: Whether soft masks are read as probabilities, to train on, or as labels.
    """

    def __init__(self, dataset: Dataset, size: tuple[int, ...], soft: bool = False):
        self.dataset = dataset
        self.size = size
        self._read = dataset.read_target if soft else dataset.read_mask
        self.ids = tuple(case.id for case in dataset)

    def image(self, index: int) -> np.ndarray:
        return self.dataset.read_image(self.dataset.cases[index], self.size)

    def mask(self, index: int) -> np.ndarray:
        return self._read(self.dataset.cases[index], self.size)


def require_alike(
    source: Source, index: int, image: np.ndarray, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Refuse an image unlike the first: 8-bit images are scaled otherwise than deeper ones."""
    if image.shape != shape or image.dtype != dtype:
        raise ValueError(
            f"Invalid value for image {source.ids[index]!r}. Expected shape {shape} and "
            f"{dtype} as {source.ids[0]!r} has. Received: shape={image.shape}, "
            f"dtype={image.dtype}. Convert all images to one kind first."
        )


class MemorySource:
    """All images `(n, H, W, C)` and masks `(n, H, W)` in memory."""

    def __init__(self, ids: tuple[str, ...], images: np.ndarray, masks: np.ndarray):
        self.ids, self.images, self.masks = ids, images, masks

    @classmethod
    def of(cls, source: Source) -> "MemorySource":
        """Read all of another source."""
        count = range(len(source.ids))
        images = [source.image(index) for index in count]
        for index, image in enumerate(images):
            require_alike(source, index, image, images[0].shape, images[0].dtype)
        masks = np.stack([source.mask(index) for index in count])
        return cls(source.ids, np.stack(images), masks)

    def image(self, index: int) -> np.ndarray:
        return self.images[index]

    def mask(self, index: int) -> np.ndarray:
        return self.masks[index]


class Relabelled:
    """The images of one source with masks from elsewhere."""

    def __init__(self, source: Source, mask: Callable[[int], np.ndarray]):
        self.source, self.mask = source, mask
        self.ids = source.ids

    def image(self, index: int) -> np.ndarray:
        return self.source.image(index)


def choose_annotators(dataset: Dataset, config: DataConfig) -> tuple[str, str]:
    """The annotator to train on and the one to evaluate against; see `DataConfig`."""
    known = dataset.annotators
    clean = config.clean_annotator
    if clean is None:
        clean = clean_annotator(dataset, config.annotator)
    annotator = clean if config.annotator is None else config.annotator
    if annotator is not None and annotator not in known:
        raise _annotator_error("annotator", known, annotator)
    if clean is None or clean not in known:
        raise _annotator_error("clean_annotator", known, clean)
    return annotator or clean, clean


def choose_cases(
    dataset: Dataset, annotator: str, split: str | None, limit: int | None, seed: int
) -> Dataset:
    """Cases of one annotator and split (`None`: of all); at most `limit`, drawn by `seed`.

    Raises:
        ValueError: The annotator has no masks in the split; the message says what to do.
    """
    chosen = dataset.select(annotator=annotator)
    if split is not None and split not in {case.split for case in chosen}:
        others = sorted({case.annotator for case in dataset if case.split == split} - {""})
        there = (
            f"Take the masks of {' or '.join(others)} (--annotator NAME to train on, "
            "--clean-annotator NAME to test on), name"
        )
        raise ValueError(
            "Invalid value for a split. Expected one in which the annotator "
            f"{annotator!r} has masks: {', '.join(chosen.splits) or 'the dataset has none'}. "
            f"Received: split={split!r}. {there if others else 'Name'} another (--set "
            "data.train_split=NAME, --set data.test_split=NAME), train without test images (--set "
            "data.test_split=null), or divide the ids with `keras_robust.data.split` and write the "
            "column `split` of manifest.csv."
        )
    chosen = chosen if split is None else chosen.select(split=split)
    return _drawn(chosen, limit, seed)


def choose_fold(dataset: Dataset, annotator: str, config: DataConfig) -> tuple[Dataset, Dataset]:
    """Cases of one annotator outside and within the fold of a configuration.

    Raises:
        ValueError: See `choose_cases` and `keras_robust.data.folds`.
    """
    number, count = config.fold or (0, 1)
    chosen = choose_cases(dataset, annotator, config.train_split, None, 0)
    fold_of = fold_numbers(chosen, count, _strata(dataset, chosen, config.stratify))
    outside = chosen.select(ids=[id for id, fold in fold_of.items() if fold != number])
    within = chosen.select(ids=[id for id, fold in fold_of.items() if fold == number])
    return (
        _drawn(outside, config.train_limit, config.limit_seed),
        _drawn(within, config.test_limit, config.limit_seed),
    )


def fold_numbers(
    chosen: Dataset, count: int, stratify: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Fold of every image; the images of one group are in one fold."""
    group = {case.id: ("group", case.group) if case.group else ("id", case.id) for case in chosen}
    return folds(chosen.ids, count, group=group, stratify=stratify)


def _strata(dataset: Dataset, chosen: Dataset, column: str | None) -> dict[str, str] | None:
    """Value of a column for every image chosen, from whichever of its rows has one."""
    if column is None:
        return None
    values = {case.id: case.extra[column] for case in dataset if case.extra.get(column)}
    missing = [id for id in chosen.ids if id not in values]
    if missing:
        raise ValueError(
            "Invalid value for argument `stratify`. Expected a column of manifest.csv with a value "
            f"for every image. Received: stratify={column!r}, without one for {missing[:3]} (of "
            f"{len(missing)}). Name another (--set data.stratify=COLUMN), or leave it out."
        )
    return values


def _drawn(chosen: Dataset, limit: int | None, seed: int) -> Dataset:
    if limit is None or limit >= len(chosen):
        return chosen
    # A prefix of one permutation: a smaller limit draws a subset of a larger one's images.
    drawn = np.random.default_rng(seed).permutation(len(chosen))[:limit]
    return chosen.select(ids={chosen.cases[index].id for index in drawn})


def _annotator_error(argument: str, known: tuple[str, ...], received: str | None) -> ValueError:
    return ValueError(
        f"Invalid value for argument `{argument}`. Expected one of the dataset's annotators {known}"
        f". Received: {argument}={received!r}. Name one (`{argument}`, on the command line "
        f"--{argument.replace('_', '-')} NAME)."
    )
