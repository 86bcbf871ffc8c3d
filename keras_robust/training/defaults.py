"""What a run takes where nobody says it: test images, steps by the number of its images, a plan for
volumes."""

from pathlib import Path
from typing import Any

from keras_robust.common.progress import Progress
from keras_robust.data import Dataset
from keras_robust.data.files.volume_header import is_volume
from keras_robust.planning.plan_files import write_plan_of
from keras_robust.training.choosing import choose_annotators, chosen_cases
from keras_robust.training.config import PlanConfig, TrainConfig

__all__ = [
    "EPOCH_STEPS",
    "FEW_STEPS",
    "HELD_OUT",
    "default_budget",
    "needs_plan",
    "with_budget",
    "with_held_out",
    "with_plan",
]

EPOCH_STEPS = 10  # of an epoch, at least
FEW_STEPS = 1000  # of a run; after fewer, networks are often not trained yet
BATCHES = (16, 8, 4, 2)
HELD_OUT = (0, 5)  # the fold to test on, where a dataset names no test images


def default_budget(images: int) -> tuple[int, int]:
    """Images per step and steps per epoch for a number of training images.

    A step takes 16 images, or as many fewer, 2 at least, as leave ten steps in a pass over the
    images. An epoch is a pass, or where that has fewer steps than ten, as many passes as it takes.

    >>> [default_budget(images) for images in (4, 20, 100, 2000)]
    [(2, 10), (2, 10), (8, 12), (16, 125)]
    """
    fitting = (size for size in BATCHES if images >= EPOCH_STEPS * size)
    batch_size = min(next(fitting, BATCHES[-1]), images)
    return batch_size, max(images // batch_size, EPOCH_STEPS)


def with_budget(config: TrainConfig) -> TrainConfig:
    """The configuration with `default_budget`, unless it has a plan, a batch size or steps.

    Raises:
        FileNotFoundError, ValueError: The dataset cannot be opened, or has no such cases.
    """
    if config.plan is not None or {"batch_size", "steps_per_epoch"} & config.model_fields_set:
        return config
    dataset = Dataset.open(config.data.path)
    chosen, _ = chosen_cases(dataset, config.data, *choose_annotators(dataset, config.data))
    batch_size, steps = default_budget(len(chosen))
    if batch_size == config.batch_size and steps == len(chosen) // batch_size:
        return config  # as it would be without
    return config.model_copy(update={"batch_size": batch_size, "steps_per_epoch": steps})


def with_held_out(config: TrainConfig) -> TrainConfig:
    """The configuration with a fold to test on, `HELD_OUT`, where the dataset names no test images
    and the configuration no split; of fewer than five images, or groups of them, with none.

    A dataset without splits is trained on as a whole.

    Raises:
        FileNotFoundError, ValueError: The dataset cannot be opened, or its annotators are unclear.
    """
    given, dataset = config.data.model_fields_set, Dataset.open(config.data.path)
    annotator, _ = choose_annotators(dataset, config.data)
    changes: dict[str, Any] = {}
    if "train_split" not in given and not dataset.splits:
        changes["train_split"] = None
    tested = {case.split for case in dataset if case.mask is not None}
    if not {"test_split", "fold"} & given and config.data.test_split not in tested:
        split = changes.get("train_split", config.data.train_split)
        chosen = dataset.select(annotator=annotator, split=split)
        enough = len({case.group or case.id for case in chosen}) >= HELD_OUT[1]
        changes |= {"fold": HELD_OUT} if enough else {"test_split": None}
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def needs_plan(config: TrainConfig) -> bool:
    """Whether a run is on volumes, and nobody says how: by a plan, or resized to a size.

    Raises:
        FileNotFoundError, ValueError: The dataset cannot be opened.
    """
    if config.plan is not None or "size" in config.data.model_fields_set:
        return False
    return any(is_volume(case.image) for case in Dataset.open(config.data.path))


def with_plan(
    config: TrainConfig,
    folder: str | Path,
    progress: Progress | None = None,
    configuration: str | None = None,
) -> TrainConfig:
    """The configuration with a plan for its training images, made where the folder has none yet.

    Its batch size, steps and learning rate, where it has its own, take the place of the plan's.

    Args:
        config: Of a run for which `needs_plan` is true.
        folder: Of `plan.json` and `fingerprint.json`.
        progress: Called as `progress(done, total)` while images are looked at.
        configuration: See `PlanConfig`.

    Raises:
        FileNotFoundError, ValueError: The dataset cannot be opened, has no such cases, or the
            plan in the folder is damaged.
    """
    dataset = Dataset.open(config.data.path)
    annotator, _ = choose_annotators(dataset, config.data)
    chosen = dataset.select(annotator=annotator)
    split = config.data.train_split
    chosen = chosen if split is None else chosen.select(split=split)
    write_plan_of(chosen, folder, progress, anew=False)
    given = config.model_fields_set & {"batch_size", "steps_per_epoch", "learning_rate"}
    options = {name: value for name in given if (value := getattr(config, name)) is not None}
    plan = PlanConfig.model_validate({"folder": folder, "configuration": configuration, **options})
    return config.model_copy(update={"plan": plan})
