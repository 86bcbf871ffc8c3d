"""The images of a run with the masks to train on, and those to evaluate against."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_robust.common.progress import Progress
from keras_robust.data import Dataset, read_mask
from keras_robust.data.files.ignored import set_aside_ignored
from keras_robust.data.files.maps import save_labels
from keras_robust.noise import LabelNoise, check_possible, corrupt_planned, write_log
from keras_robust.training.choosing import (
    choose_annotators,
    chosen_cases,
    drawn_by,
    fold_numbers,
    refuse_noise_on_shares,
)
from keras_robust.training.config import TrainConfig
from keras_robust.training.source import DiskSource, MemorySource, Relabelled, Source, select

FOLDS = 5
"""Of the training images one part in so many is held out where training is to stop by them."""


@dataclass(frozen=True)
class TrainingData:
    """What a run sees.

    Args:
        train: Training images with the masks to train on.
        train_clean: The same images with the masks to evaluate against, as far as there are any.
        kinds: Kind of noise of each training mask, `"clean"` for none, `(n,)`.
        test: Test images and masks; `None` for none.
        files: The file of every image, by id.
        image_shape: (H, W, C), or with three axes.
        classes: Background included.
        ignore_label: A label that counts for nothing.
        held_out: Images that are not trained on, with masks as those to train on; None without.
    """

    train: Source
    train_clean: Source
    kinds: np.ndarray
    test: Source | None
    files: Mapping[str, Path]
    image_shape: tuple[int, ...]
    classes: int
    ignore_label: int | None
    held_out: Source | None = None


def prepare(
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    progress: Progress,
) -> TrainingData:
    """Choose the cases of a run, and corrupt its training masks where the configuration asks.

    Where the annotator's masks are soft, they are the probabilities to train on.
    Masks are resized first, then corrupted; the log goes to `folder / "noise.jsonl"`. What is
    streamed from disk leaves its noisy masks in `folder / "noisy_masks"`.
    """
    options = config.data
    annotator, clean_annotator = choose_annotators(dataset, options)
    refuse_noise_on_shares(dataset, config, annotator)
    chosen, test_cases = chosen_cases(dataset, options, annotator, clean_annotator)
    clean = chosen
    if clean_annotator != annotator:
        clean = drawn_by(clean_annotator, dataset, chosen.ids)
    train: Source = DiskSource(chosen, options.size, soft=True)
    train_clean: Source = DiskSource(clean, options.size)
    test: Source | None = None
    if test_cases is not None:
        test = DiskSource(test_cases, options.size)
    if options.cache == "memory":
        train = MemorySource.of(train)
        train_clean = _with_images_of(train, train_clean)
        test = MemorySource.of(test) if test is not None else None
    files = {case.id: case.image for case in (*chosen, *(test_cases or ()))}
    kinds = np.array(["clean"] * len(train.ids), dtype=object)
    if config.noise is not None:
        labels = (dataset.classes, dataset.ignore_label)
        train, kinds = _corrupt(train, config, *labels, folder, files, progress)
    held_out = None
    if config.stop is not None:
        fold_of = fold_numbers(chosen, FOLDS)
        watched = {id for id, fold in fold_of.items() if fold == config.seed % FOLDS}
        others = set(train.ids) - watched
        kinds = kinds[[id in others for id in train.ids]]
        held_out, train = select(train, watched), select(train, others)
        train_clean = select(train_clean, others)
    return TrainingData(
        train=train,
        train_clean=train_clean,
        kinds=kinds,
        test=test,
        files=files,
        image_shape=train.image(0).shape,
        classes=dataset.classes,
        ignore_label=dataset.ignore_label,
        held_out=held_out,
    )


def _with_images_of(train: MemorySource, clean: Source) -> MemorySource:
    """The masks of a source, with images that are in memory already."""
    images = train.images
    if clean.ids != train.ids:
        images = images[np.isin(train.ids, clean.ids)]
    masks = [clean.mask(index) for index in range(len(clean.ids))]
    return MemorySource(clean.ids, images, np.stack(masks) if masks else train.masks[:0])


def _corrupt(
    source: Source,
    config: TrainConfig,
    classes: int,
    ignore_label: int | None,
    folder: Path,
    files: Mapping[str, Path],
    progress: Progress,
) -> tuple[Source, np.ndarray]:
    noise = LabelNoise(**config.noise.model_dump())  # type: ignore[union-attr]
    plan = noise.plan(source.ids)
    index_of = {id: index for index, id in enumerate(source.ids)}

    def known(id: str) -> np.ndarray:
        return set_aside_ignored(source.mask(index_of[id]), ignore_label)[0]

    check_possible(noise, plan, known)
    in_memory = isinstance(source, MemorySource)
    masks, log, paths = [], [], []
    for index, id in enumerate(source.ids):
        mask, put_back = set_aside_ignored(source.mask(index), ignore_label)
        noisy, corruption = corrupt_planned(noise, mask, id, plan[id], known)
        noisy = put_back(noisy)
        log.append(corruption)
        if in_memory:
            masks.append(noisy)
        else:
            paths.append(save_labels(folder / "noisy_masks", id, noisy, files[id], classes))
        progress(index + 1, len(source.ids))
    write_log(folder / "noise.jsonl", log)
    kinds = np.array([corruption.kind for corruption in log], dtype=object)
    if isinstance(source, MemorySource):
        return MemorySource(source.ids, source.images, np.stack(masks)), kinds
    return (
        Relabelled(source, lambda index: read_mask(paths[index], None, classes, ignore_label)),
        kinds,
    )
