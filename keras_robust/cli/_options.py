"""Options and arguments that several subcommands take."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from keras_robust.common.registry import VARIABLE

DatasetFolder = Annotated[Path, typer.Argument(help="Dataset folder.")]
Normalize = Annotated[
    str | None,
    typer.Option(
        help="Input of a .keras model: range (-1 to 1), zscore, or none (as stored).",
        show_default="range, or as the run was trained",
    ),
]
Peers = Annotated[str, typer.Option(help="Of two peers: the mean of both, or a, the first alone.")]
Mirror = Annotated[
    bool, typer.Option(help="Of planned runs: average over mirrored images; slower by far.")
]
NewFolder = Annotated[
    Path | None,
    typer.Option(help="New dataset folder, where DATASET has another layout or is read-only."),
]
Processes = Annotated[int, typer.Option(min=1, help="Processes.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="all CPUs")]


def _losses() -> str:
    from keras_robust.methods import loss_menu

    names = list(loss_menu())
    if os.environ.get(VARIABLE):  # else nothing but Keras would be imported
        from keras_robust.losses import names as registered

        names = list(dict.fromkeys([*names, *registered()]))
    return f"Known: {', '.join(names)}, sums of these, svls- before one."


def _scores() -> str:
    from keras_robust.suspicion import SCORES

    return f"Known: {', '.join(SCORES)}."


def _layouts() -> str:
    from keras_robust.data.layouts import layout_titles

    return f"Layouts: {', '.join(layout_titles())}."


NAMES: dict[str, Callable[[], str]] = {"loss": _losses, "score": _scores, "dataset": _layouts}


class ListsNames(TyperCommand):
    """A command whose help tells the names that there are, those of one's own among them."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.list_names()
        super().format_help(ctx, formatter)

    def list_names(self) -> None:
        """Complete the help of the options; not before it is asked for, as it costs imports."""
        for parameter in self.params:
            if parameter.name in NAMES and isinstance(parameter, TyperOption | TyperArgument):
                parameter.help = f"{parameter.help} {NAMES[parameter.name]()}"
