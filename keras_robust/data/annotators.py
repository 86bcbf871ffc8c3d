"""Which annotators of a dataset drew masks, and which were simulated."""

from keras_robust.data.dataset import Dataset

__all__ = ["JOURNAL", "clean_annotator", "simulated_annotators"]

JOURNAL = "simulation.jsonl"  # beside the masks of every simulated annotator
PREFIX = "noisy"


def simulated_annotators(dataset: Dataset) -> tuple[str, ...]:
    """The annotators whose masks `simulate_dataset` wrote, or whose name starts with `noisy`.

    >>> from keras_robust.data import sample
    >>> simulated_annotators(sample())
    ()
    """
    homes = {(case.annotator, case.mask.parent) for case in dataset if case.mask}
    journals = {name for name, folder in homes if (folder / JOURNAL).is_file()}
    return tuple(n for n in dataset.annotators if n in journals or n.startswith(PREFIX))


def clean_annotator(dataset: Dataset, annotator: str | None = None) -> str | None:
    """The annotator to measure against: `annotator`, unless it is simulated; else the only one
    that is not simulated. `None` where there is no such one, or more than one.

    >>> from keras_robust.data import sample
    >>> clean_annotator(sample())
    'isic_gt'
    """
    simulated = simulated_annotators(dataset)
    drawn = [name for name in dataset.annotators if name not in simulated]
    if annotator in drawn:
        return annotator
    return drawn[0] if len(drawn) == 1 else None
