"""Splits as lists of names: train.txt, val.txt, test.txt."""

from collections.abc import Collection, Iterable
from pathlib import Path

from keras_robust.common.opening import read_text
from keras_robust.common.words import quote
from keras_robust.data.problems import Problem, error

__all__ = ["SPLITS", "read_split_lists"]

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MOST_BYTES = 2**26
SHOWN = 6


def read_split_lists(
    folders: Iterable[Path], names: Collection[str], problems: list[Problem]
) -> dict[str, str]:
    """The split of each name that a list has; the first folder with lists counts.

    A line is a name, with or without folders before it and a suffix, alone or before a space.

    Args:
        folders: Where lists may lie.
        names: Of the images, without suffix.
        problems: Get an error for each list that names what is not there, or another list has.
    """
    for folder in folders:
        found = sorted(folder.glob("*.txt")) if folder.is_dir() else []
        lists = [path for path in found if path.stem.lower() in SPLITS]
        if not lists:
            continue
        splits: dict[str, str] = {}
        for path in lists:
            split = SPLITS[path.stem.lower()]
            try:
                lines = [line.strip() for line in read_text(path, MOST_BYTES).splitlines()]
            except (OSError, ValueError) as reason:
                problems.append(error("list", str(reason), path=path.name))
                continue
            unknown = []
            for line in filter(None, lines):
                name = _name(line, names)
                if name is None:
                    unknown.append(line)
                elif splits.setdefault(name, split) != split:
                    message = f"is in the lists {splits[name]!r} and {split!r}; choose one"
                    problems.append(error("leak-id", message, id=name))
            if unknown:
                some = ", ".join(map(quote, unknown[:SHOWN]))
                more = ", ..." if len(unknown) > SHOWN else ""
                message = f"names {len(unknown)} image(s) that are not there: {some}{more}"
                problems.append(error("missing-file", message, path=path.name))
        return splits
    return {}


def _name(line: str, names: Collection[str]) -> str | None:
    """The name that a line means."""
    for text in (line, line.split()[0].rstrip(",;")):
        path = Path(text.replace("\\", "/"))
        parts = path.parts
        for start in range(len(parts)):
            whole = "/".join(parts[start:])
            for name in (whole, whole.removesuffix(".gz").rpartition(".")[0]):
                if name in names:
                    return name
    return None
