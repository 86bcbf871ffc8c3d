"""How many steps a run takes, whatever the number of its images."""

from keras_robust.data import Dataset
from keras_robust.training.choosing import choose_annotators, chosen_cases
from keras_robust.training.config import TrainConfig

__all__ = ["EPOCH_STEPS", "FEW_STEPS", "default_budget", "with_budget"]

EPOCH_STEPS = 10  # of an epoch, at least
FEW_STEPS = 1000  # of a run; after fewer, networks are often not trained yet
BATCHES = (16, 8, 4, 2)


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
    return config.model_copy(update={"batch_size": batch_size, "steps_per_epoch": steps})
