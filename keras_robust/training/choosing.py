"""The annotators, cases and folds of a run, chosen once."""

from collections.abc import Collection, Mapping

import numpy as np

from keras_robust.annotators import clean_annotator
from keras_robust.common.errors import invalid
from keras_robust.data import Dataset, folds
from keras_robust.training.config import DataConfig, TrainConfig


def refuse_noise_on_shares(dataset: Dataset, config: TrainConfig, annotator: str) -> None:
    """Raise where a configuration would corrupt soft masks.

    Raises:
        ValueError: It has noise, and the annotator's masks are probabilities.
    """
    if config.noise is not None and annotator in dataset.soft_annotators:
        raise invalid(
            "noise",
            ("none with an annotator whose masks are probabilities, which it cannot corrupt"),
            said=f"annotator={annotator!r} with noise",
            remedy="Name another annotator, or leave `noise` out.",
        )


def chosen_cases(
    dataset: Dataset, options: DataConfig, annotator: str, clean_annotator: str
) -> tuple[Dataset, Dataset | None]:
    """Cases to train on, and cases to evaluate on.

    Raises:
        ValueError: See `choose_cases` and `choose_fold`; or there is nothing to evaluate against in
            a fold.
    """
    if options.fold is not None:
        outside, within = choose_fold(dataset, annotator, options)
        test = drawn_by(clean_annotator, dataset, within.ids)
        if not len(test):
            raise invalid(
                "clean_annotator",
                f"one who has drawn masks of images in the fold {options.fold}",
                clean_annotator,
                ("Name another (--clean-annotator NAME), or test on a split in place of a fold."),
            )
        return outside, test
    limits = (options.train_limit, options.limit_seed)
    train = choose_cases(dataset, annotator, options.train_split, *limits)
    if options.test_split is None:
        return train, None
    limits = (options.test_limit, options.limit_seed)
    return train, choose_cases(dataset, clean_annotator, options.test_split, *limits)


def drawn_by(annotator: str, dataset: Dataset, ids: Collection[str]) -> Dataset:
    """Those of the images of which an annotator has drawn masks."""
    drawn = dataset.select(annotator=annotator)
    return drawn.select(ids=set(ids) & set(drawn.ids))


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
        raise invalid(
            "stratify",
            "a column of manifest.csv with a value for every image",
            said=(f"stratify={column!r}, without one for {missing[:3]} (of {len(missing)})"),
            remedy="Name another (--set data.stratify=COLUMN), or leave it out.",
        )
    return values


def _drawn(chosen: Dataset, limit: int | None, seed: int) -> Dataset:
    if limit is None or limit >= len(chosen):
        return chosen
    # A prefix of one permutation: a smaller limit draws a subset of a larger one's images.
    drawn = np.random.default_rng(seed).permutation(len(chosen))[:limit]
    return chosen.select(ids={chosen.cases[index].id for index in drawn})


def _annotator_error(argument: str, known: tuple[str, ...], received: str | None) -> ValueError:
    return invalid(
        argument,
        f"one of the dataset's annotators {known}",
        said=f"{argument}={received!r}",
        remedy=(
            f"Name one (`{argument}`, on the command line --{argument.replace('_', '-')} NAME)."
        ),
    )
