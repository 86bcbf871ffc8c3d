"""Options and arguments that several subcommands take."""

from pathlib import Path
from typing import Annotated

import typer

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
