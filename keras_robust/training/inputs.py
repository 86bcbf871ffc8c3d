"""What a run needs to find, looked for before it begins."""

from keras_robust.common.errors import invalid
from keras_robust.data import Dataset
from keras_robust.planning.plan_files import load_configuration
from keras_robust.training.choosing import (
    choose_annotators,
    chosen_cases,
    refuse_noise_on_shares,
)
from keras_robust.training.config import TrainConfig

__all__ = ["check_inputs"]


def check_inputs(config: TrainConfig) -> None:
    """Open the dataset of a run and choose its cases, find their files, and read the first case;
    with a plan, read the plan as well.

    Raises:
        FileNotFoundError: A folder or file is not there; the message names it.
        ValueError: What a run would refuse, or cannot read.
    """
    dataset = Dataset.open(config.data.path)
    annotator, clean_annotator = choose_annotators(dataset, config.data)
    refuse_noise_on_shares(dataset, config, annotator)
    chosen, test = chosen_cases(dataset, config.data, annotator, clean_annotator)
    cases = [*chosen, *(test or ())]
    for case in cases:
        for file in (*case.channels, case.mask):
            if file is not None and not file.is_file():
                raise invalid(
                    "data.path",
                    "a dataset whose files are all there",
                    said=f"case {case.id!r} without its file {str(file)!r}",
                    remedy="Restore it, or see `keras-robust verify`.",
                    kind=FileNotFoundError,
                )
    dataset.read_image(cases[0])
    dataset.read_target(cases[0])
    if config.plan is not None:
        load_configuration(config.plan.folder, config.plan.configuration)
