"""Options and arguments that several subcommands take."""

from pathlib import Path
from typing import Annotated

import typer

from keras_robust.cli.console import set_devices, set_json, set_quiet

DatasetFolder = Annotated[Path, typer.Argument(help="Dataset folder.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=set_quiet, help="Show results and errors alone."),
]
Json = Annotated[
    bool,
    typer.Option("--json", callback=set_json, help="Print the results as one JSON object."),
]
Size = Annotated[
    str | None,
    typer.Option(help="Height x width in pixels to train at, as 256x256; three of volumes."),
]
Devices = Annotated[
    str | None,
    typer.Option(
        callback=set_devices,
        help="cpu, or numbers of GPUs as 0 or 0,1, which share each batch.",
        show_default="all GPUs",
    ),
]
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
Postprocess = Annotated[
    bool,
    typer.Option(help="Keep only the largest parts of labels, where `choose` found that it helps."),
]
Configuration = Annotated[
    str | None,
    typer.Option(
        help="Of a plan: 2d (slices of volumes), 3d_fullres, 3d_lowres or 3d_cascade_fullres.",
        show_default="3d_fullres, of images 2d",
    ),
]
Moved = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Where the dataset lies now; runs go on with the same images and masks."
    ),
]
NewFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="New dataset folder, where DATASET has another layout or is read-only.",
    ),
]
PartOf = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Only the I-th of N parts, as 1/4 to 4/4 on four machines with one folder.",
        show_default="all",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Workers of a cluster instead: tcp://HOST:8786 of a Dask scheduler, a YAML file for "
        "a queue (SLURM, PBS, LSF, SGE), or local.",
        show_default="this machine",
    ),
]
Processes = Annotated[int, typer.Option(min=1, help="Processes.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads.", show_default="all CPUs")]
