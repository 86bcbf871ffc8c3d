"""Which of the paths of a command line are models, and whether they can be, before Keras is
imported."""

from collections.abc import Sequence
from pathlib import Path

from keras_robust.data.layouts.registry import has_layout
from keras_robust.training.run import Run

__all__ = ["is_masks", "require_model", "split_dataset"]


def split_dataset(paths: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The dataset folder among paths, which is the first or the last, and the others.

    Raises:
        ValueError: There is no other.
    """
    if len(paths) < 2:
        raise ValueError(
            "Invalid value for argument `models`. Expected a dataset folder, and what is to be "
            f"applied to it. Received: {', '.join(map(str, paths))} alone. Add a run folder or a "
            ".keras file."
        )
    first, *others = paths
    if not has_layout(first) and has_layout(others[-1]):
        return others[-1], [first, *others[:-1]]
    return first, others


def is_masks(path: Path) -> bool:
    """Whether a path is taken for a folder of masks, being neither a run nor a model's file."""
    return not (path / "run.json").is_file() and path.suffix != ".keras"


def require_model(path: Path) -> None:
    """See to it that there is a run folder or a `.keras` file.

    Raises:
        FileNotFoundError: There is neither.
        ValueError: A file of another kind; these can hold code.
    """
    if not path.is_dir() and path.suffix != ".keras":
        raise ValueError(
            "Invalid value for argument `path`. Expected a run folder or a .keras file (other "
            f"files of models can hold code). Received: path={str(path)!r}"
        )
    if not path.exists() or (path.is_dir() and Run(path).status == "absent"):
        raise FileNotFoundError(
            "Invalid value for argument `path`. Expected a run folder (with run.json) or a "
            f".keras file. Received: path={str(path)!r}"
        )
