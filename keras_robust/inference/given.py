"""Which of the paths of a command line are models, and whether they can be, before Keras is
imported."""

from collections.abc import Sequence
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.data import Dataset
from keras_robust.data.layouts.registry import has_layout
from keras_robust.inference.chosen import chosen_runs, is_choice
from keras_robust.training.choosing import choose_annotators, choose_fold
from keras_robust.training.run import Run

__all__ = [
    "NORMALIZE",
    "PEERS",
    "cases_to_score",
    "dataset_first",
    "is_masks",
    "require_model",
    "require_options",
]

TEST = "test"
NORMALIZE = ("range", "zscore", "none")
PEERS = ("mean", "a")


def dataset_first(first: Path, others: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The dataset folder and the others, where it was given first, or last.

    Args:
        first: A path.
        others: One at least.
    """
    if not has_layout(first) and has_layout(others[-1]):
        return others[-1], [first, *others[:-1]]
    return first, list(others)


def is_masks(path: Path) -> bool:
    """Whether a path is taken for a folder of masks, being neither a run nor a model's file."""
    return not ((path / "run.json").is_file() or is_choice(path) or path.suffix == ".keras")


def require_model(path: Path) -> None:
    """See to it that there is a run folder, a choice among some, or a `.keras` file.

    Raises:
        FileNotFoundError: There is neither.
        ValueError: A file of another kind; these can hold code.
    """
    if not path.is_dir() and path.suffix != ".keras":
        raise invalid(
            "path", "a run folder or a .keras file (other files of models can hold code)", str(path)
        )
    if is_choice(path):
        for run in chosen_runs(path):
            require_model(run)
        return
    if not path.exists() or (path.is_dir() and Run(path).status == "absent"):
        raise invalid(
            "path",
            "a run folder (with run.json) or a .keras file",
            str(path),
            kind=FileNotFoundError,
        )


def require_options(normalize: str | None, peers: str) -> None:
    """See to it that the options of `load_predictor` are among those that there are.

    Raises:
        ValueError: One is not.
    """
    if normalize is not None and normalize not in NORMALIZE:
        raise invalid("normalize", f"one of {NORMALIZE}", normalize)
    if peers not in PEERS:
        raise invalid("peers", f"one of {PEERS}", peers)


def cases_to_score(dataset: Dataset, predictions: Sequence[Path]) -> tuple[Dataset, str]:
    """The cases to score predictions on where nobody names a split, and in words which.

    They are those of the split `test`; of a dataset without one what a run on it held out, and for
    several runs and for masks of any origin all.
    """
    if any(case.split == TEST and case.mask is not None for case in dataset):
        return dataset.select(split=TEST), ""
    (only, *others) = predictions
    if not others and (only / "run.json").is_file():
        options = Run(only).config.data
        if options.fold is not None and options.path.absolute() == dataset.root.absolute():
            annotator, _ = choose_annotators(dataset, options)
            held_out = choose_fold(dataset, annotator, options)[1].ids
            return dataset.select(ids=held_out), "On what the run held out."
    return dataset, "On all images, those that were trained on among them."
