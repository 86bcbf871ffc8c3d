"""What a cross-validation left for predictions to follow: which runs, and what of them is kept."""

from collections.abc import Iterable, Sequence
from os.path import abspath
from pathlib import Path

from keras_robust.common.opening import UnreadableFileError, read_json

__all__ = ["CHOICE", "POSTPROCESSING", "chosen_runs", "is_choice", "kept_components", "kept_parts"]

CHOICE, POSTPROCESSING = "choice.json", "postprocessing.json"


def is_choice(path: Path) -> bool:
    """Whether a folder holds what `keras_robust.inference.choose_best` chose."""
    return (path / CHOICE).is_file()


def chosen_runs(path: Path) -> list[Path]:
    """The runs of a folder's choice, or the path of a model as it is.

    Raises:
        UnreadableFileError: The choice is damaged.
    """
    return _runs(path / CHOICE) if is_choice(path) else [path]


def kept_components(models: Sequence[Path]) -> tuple[tuple[int, ...], ...]:
    """Of which labels only the largest part is kept in the predictions of models: what
    `postprocessing.json` beside the runs, or one folder above, says of runs among which all of them
    are; else of none.

    Raises:
        UnreadableFileError: The file is damaged.
    """
    runs = [run for model in models for run in chosen_runs(model)]
    around = (folder for run in runs for folder in run.absolute().parents[:2])
    folders = [*(model for model in models if is_choice(model)), *around]
    for folder in dict.fromkeys(folders):
        file = folder / POSTPROCESSING
        stored = read_json(file, dict) if file.is_file() else {}
        # nnU-Net's file of this name has no runs.
        if "runs" in stored and {*map(abspath, runs)} <= {*map(abspath, _runs(file))}:
            groups = stored.get("keep_largest")
            if not isinstance(groups, list) or not all(isinstance(g, list) for g in groups):
                raise UnreadableFileError(file, "has no lists of labels under 'keep_largest'")
            return tuple(tuple(int(label) for label in group) for group in groups)
    return ()


def kept_parts(groups: Iterable[Sequence[int]]) -> str:
    """Of which labels only the largest part is kept, in words.

    >>> kept_parts([(1, 2), (2,)])
    'Only the largest part of labels: 1+2, 2.'
    """
    named = ", ".join("+".join(map(str, group)) for group in groups)
    return f"Only the largest part of labels: {named or 'none'}."


def _runs(file: Path) -> list[Path]:
    names = read_json(file, dict).get("runs")
    if not isinstance(names, list) or not names:
        raise UnreadableFileError(file, "names no runs")
    return [file.parent / str(name) for name in names]
