"""Many runs side by side, and what they show."""

from pathlib import Path
from typing import Annotated

import typer

from keras_robust.cli.chatter import without_chatter
from keras_robust.cli.console import friendly_errors, hint, progress_bar, unless_quiet
from keras_robust.cli.options import Moved, PartOf, Quiet


def benchmark(
    config: Annotated[Path, typer.Argument(help="Study as YAML: base, losses, noise, seeds.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the runs.", show_default="runs/CONFIG"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per run.", show_default="CPUs / jobs")
    ] = None,
    retry: Annotated[bool, typer.Option(help="Also try failed runs again.")] = False,
    part: PartOf = None,
    data: Moved = None,
    quiet: Quiet = False,
) -> None:
    """Train every loss at every noise setting with every seed; the same command continues."""
    from keras_robust.data import Part
    from keras_robust.scheduling.grid import BenchmarkConfig
    from keras_robust.scheduling.live import StudyView
    from keras_robust.scheduling.scheduler import run_benchmark

    output = output or Path("runs") / config.stem
    with friendly_errors(continues=True), unless_quiet(StudyView()) as view:
        mine = Part.parse(part)
        study = BenchmarkConfig.load(config)
        if data is not None:
            study = study.with_data(data)
        state = run_benchmark(
            study,
            output,
            jobs=jobs,
            threads=threads,
            retry=retry,
            part=mine,
            progress=view,
        )
    for run in state.runs:
        if run.state == "failed":
            typer.secho(f"{run.plan.name} failed: {run.error}", fg="red", err=True)
    typer.echo(f"Runs: {output}")
    if state.count("failed"):
        typer.echo("Try the failed runs again with --retry.", err=True)
    left = {"elsewhere": "are trained by another process", "interrupted": "were stopped"}
    for name, what in left.items():
        if number := state.count(name):
            again = "The same command again continues, or says that all are finished."
            typer.echo(f"{number} of {len(state.runs)} runs {what}. {again}", err=True)
    if state.count("finished") < len(state.runs):
        raise typer.Exit(1)
    command = "report" if study.folds is None else "crossval"
    if mine.count > 1:
        typer.echo(f"Part {mine} is finished; a report needs the others as well.", err=True)
    hint(f"Next: keras-robust {command} {output}")


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report.", show_default="RUNS/report"),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Losses under label noise",
    data: Moved = None,
    quiet: Quiet = False,
) -> None:
    """Tables, tests, figures and masks of runs: HTML, CSV and PNG."""
    with friendly_errors():
        from keras_robust.scheduling.records import damaged, find_runs
        from keras_robust.studies.report import write_report

        _move(runs, data)
        path = write_report(runs, output or runs[0] / "report", title)
        told = damaged(find_runs(runs))
    typer.echo(f"Report: {path}")
    _tell(told)


def crossval(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report.", show_default="RUNS/crossval"),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Cross-validation",
    baseline: Annotated[
        str | None, typer.Option(help="Method to compare with.", show_default="Baseline or CE+Dice")
    ] = None,
    data: Moved = None,
    quiet: Quiet = False,
) -> None:
    """Dice, surfaces and calibration of runs on what each held out, per class, with tests."""
    with friendly_errors(continues=True), without_chatter():
        from keras_robust.scheduling.records import damaged, find_runs
        from keras_robust.studies.crossval.report import write_cross_validation_report
        from keras_robust.studies.crossval.scores import unscored

        _move(runs, data)
        folders = unscored(find_runs(runs))
        with progress_bar("Scoring") as progress:
            for number, folder in enumerate(folders):
                from keras_robust.inference import evaluate_run

                evaluate_run(folder)
                progress(number + 1, len(folders))
        path = write_cross_validation_report(runs, output or runs[0] / "crossval", title, baseline)
        told = damaged(find_runs(runs))
    typer.echo(f"Report: {path}")
    _tell(told)


def _move(runs: list[Path], data: Path | None) -> None:
    from keras_robust.scheduling.records import find_runs
    from keras_robust.training.records.inputs import move_data

    if data is not None:
        for run in find_runs(runs):
            move_data(run.folder, data)


def _tell(damages: list[str]) -> None:
    """End the command with what is damaged, where anything is."""
    for line in damages:
        typer.secho(line, err=True, fg="red")
    if damages:
        typer.echo("What is damaged was left out of the report.", err=True)
        raise typer.Exit(1)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the runs and the report.")
    ] = Path("demo"),
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 96,
    features: Annotated[int, typer.Option(min=1, help="Of the U-Net's first level.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Train CE + Dice and T-Loss on noisy masks of packaged images, and write a report."""
    from keras_robust.scheduling.bars import RunBars
    from keras_robust.studies.demo import demo_study, describe_demo, run_demo

    hint("Two losses, 80 dermoscopy images, 70 % of the training masks made wrong.")
    hint("A few minutes; after Ctrl-C the same command continues.")
    with friendly_errors(continues=True):
        try:
            with unless_quiet(RunBars()) as bars:
                run_demo(output, demo_study(size, features, epochs), jobs, bars)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        typer.echo(describe_demo(output))
