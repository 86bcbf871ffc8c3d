"""What all subcommands share: options of several words, and words for old options."""

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from keras_robust.cli.console import friendly_errors, hint
from keras_robust.cli.names import ListsNames
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json
from keras_robust.common.opening import read_json
from keras_robust.common.progress import Progress

# What took the place of options of earlier versions, in commands that have them no more.
_REPLACED = {
    "--annotators": "--annotator, as in the other commands",
    "--report": "--output, as in the other commands",
    "--source": "--annotator for whose masks to take, and --name for the new annotator",
}
_given: list[str] = []  # the command line of the subcommand that runs
COMMAND = "command.json"
PARTS_OF_EACH = 2  # of a worker: one that comes later, or is faster, has something to do


class Command(ListsNames):
    """A subcommand that takes `--size 64 64` for `--size 64x64` and several words after `--losses`,
    and names what took the place of an option that it had."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {name for parameter in self.params for name in parameter.opts}
        _given[:] = [str(self.name), *args]
        with friendly_errors():
            for name in (argument.partition("=")[0] for argument in args):
                if name in _REPLACED.keys() - known:
                    raise ValueError(
                        f"Invalid option `{name}`. Expected {_REPLACED[name]}. Received: {name}. "
                        f"`keras-robust {self.name} --help` shows all options."
                    )
            for option, value in zip(args, args[1:], strict=False):
                if option == "--json" and value.endswith(".json"):
                    raise invalid(
                        "json",
                        "no file: results go to standard output",
                        value,
                        f"Write --json alone, and > {Path(value).name} at the end.",
                    )
        if "--size" in known:
            args = _joined_sizes(args)
        if "--losses" in known:
            args = _repeated(args, "--losses")
        return super().parse_args(ctx, args)


def done_on(
    cluster: str | None,
    part: str | None,
    output: Path,
    data: Sequence[Path],
    progress: Progress,
    gpu: bool = False,
) -> None:
    """Have this command, which takes `--part`, done in parts by the workers of a cluster.

    What is left to the command is then to pass over what is done, and to say what was found.

    Args:
        cluster: Of the option; None for none, and nothing is done.
        part: Of the option, which says the same in another way.
        output: Folder that the command writes into.
        data: What it reads.
        progress: Told of the parts.
        gpu: Whether a part needs a GPU, where there are workers that have one.

    Raises:
        ImportError, ValueError: See `keras_robust.scheduling.cluster.joined`; or a part failed.
    """
    if cluster is None:
        return
    if part is not None:
        raise invalid("part", "none beside --cluster, which makes parts of its own", part)
    from keras_robust.scheduling.cluster import joined
    from keras_robust.scheduling.pieces import run_pieces

    words = _without_cluster(_given)
    with joined(cluster, output, data, jobs=os.cpu_count() or 1, gpu=gpu) as crew:
        if crew is None:  # it is not; this is for the type checker
            return
        count = PARTS_OF_EACH * crew.size
        folders = [output / ".cluster" / f"part-{n}-of-{count}" for n in range(1, count + 1)]
        for number, folder in enumerate(folders, start=1):
            piece = [*words, "--part", f"{number}/{count}", "--quiet"]
            atomic_write_json(folder / COMMAND, {"words": piece})
        command = [sys.executable, "-P", "-m", "keras_robust.cli", "--piece"]
        run_pieces(folders, command, crew, progress=progress, say=lambda text: hint(text, err=True))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # what the jobs of a queue said stays there
            (output / ".cluster").rmdir()


def words_of_piece(folder: Path) -> list[str]:
    """The command line of a part, which `done_on` wrote into its folder."""
    return [str(word) for word in read_json(folder / COMMAND, dict)["words"]]


def _without_cluster(words: Sequence[str]) -> list[str]:
    """A command line without `--cluster` and what follows it.

    >>> _without_cluster(["predict", "lesions", "--cluster", "local", "--quiet"])
    ['predict', 'lesions', '--quiet']
    >>> _without_cluster(["predict", "--cluster=local", "lesions"])
    ['predict', 'lesions']
    """
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if "--cluster" not in (before, word) and not word.startswith("--cluster="):
            kept.append(word)
    return kept


def _repeated(args: list[str], option: str) -> list[str]:
    """The arguments, an option before each of the words that follow it, up to the next option.

    >>> _repeated(["lesions", "--losses", "ce+dice", "t+dice", "--folds", "3"], "--losses")
    ['lesions', '--losses', 'ce+dice', '--losses', 't+dice', '--folds', '3']
    """
    repeated: list[str] = []
    last = ""
    for argument in args:
        if argument.startswith("-"):
            last = argument
        elif last == option and repeated[-1] != option:
            repeated.append(option)
        repeated.append(argument)
    return repeated


def _joined_sizes(args: list[str]) -> list[str]:
    """The arguments, the whole numbers that follow `--size` joined by x.

    >>> _joined_sizes(["lesions", "--size", "64", "48", "--loss", "t"])
    ['lesions', '--size', '64x48', '--loss', 't']
    """
    joined: list[str] = []
    for argument in args:
        follows = len(joined) > 1 and joined[-2] == "--size" and argument.isdecimal()
        if follows and joined[-1].replace("x", "").isdecimal():
            joined[-1] += f"x{argument}"
        else:
            joined.append(argument)
    return joined


def look_for(dataset: Path | None, *others: Path | None) -> None:
    """End the command where there is no such dataset, or nothing at another path, None aside; to be
    said before what takes its time to be imported."""
    with friendly_errors():
        if dataset is not None:
            from keras_robust.data import Dataset

            Dataset.open(dataset)
        for path in others:
            if path is not None and not path.exists():
                raise invalid(
                    "path",
                    "a file or a folder that is there",
                    said=f"path={str(path)!r}, which does not exist",
                    remedy="Correct the path.",
                    kind=FileNotFoundError,
                )


def one_dataset(dataset: Path | None, data: Path | None) -> Path | None:
    """The dataset of a command that takes DATASET, or --data where one has moved.

    Raises:
        ValueError: Both are given, and differ.
    """
    if dataset is not None and data is not None and dataset.absolute() != data.absolute():
        raise invalid(
            "data",
            "none beside DATASET, which says the same",
            said=f"data={str(data)!r} beside {str(dataset)!r}",
            remedy="Leave one out.",
        )
    return data if dataset is None else dataset


def numbers_of_size(text: str | None) -> tuple[int, ...] | None:
    """The whole numbers of a size such as 256x256.

    Raises:
        ValueError: It is none.

    >>> numbers_of_size("64x128x128")
    (64, 128, 128)
    """
    if text is None:
        return None
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise invalid("size", "whole numbers, as in 256x256 or 64x128x128", text)
    return tuple(int(part) for part in parts)


def show_version(wanted: bool) -> None:
    """Print the versions that a report of a fault needs, and end the command."""
    if not wanted:
        return
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from keras_robust import __version__

    typer.echo(f"keras-robust {__version__}")
    found = [f"Python {platform.python_version()}"]
    for package in ("keras", "tensorflow", "tensorflow-cpu", "numpy", "napari"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    typer.echo(", ".join(found))
    raise typer.Exit
