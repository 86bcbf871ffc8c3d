"""Many runs side by side, and what they show."""

from pathlib import Path
from typing import Annotated

import typer

from keras_robust.cli._options import Quiet
from keras_robust.cli.chatter import without_chatter
from keras_robust.cli.console import friendly_errors, hint, progress_bar, shown


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
    quiet: Quiet = False,
) -> None:
    """Train every loss at every noise setting with every seed; the same command continues."""
    from keras_robust.scheduling.grid import BenchmarkConfig
    from keras_robust.scheduling.live import StudyView
    from keras_robust.scheduling.scheduler import run_benchmark

    output = output or Path("runs") / config.stem
    with friendly_errors(continues=True), shown(StudyView()) as view:
        study = BenchmarkConfig.load(config)
        state = run_benchmark(study, output, jobs=jobs, threads=threads, retry=retry, progress=view)
    for run in state.runs:
        if run.state == "failed":
            typer.secho(f"{run.plan.name} failed: {run.error}", fg="red", err=True)
    command = "report" if study.folds is None else "crossval"
    typer.echo(f"Runs: {output}")
    hint(f"Next: keras-robust {command} {output}")
    if state.count("failed"):
        typer.echo("Try the failed runs again with --retry.", err=True)
        raise typer.Exit(1)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report.", show_default="RUNS/report"),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Losses under label noise",
    quiet: Quiet = False,
) -> None:
    """Tables, tests, figures and masks of runs: HTML, CSV and PNG."""
    with friendly_errors():
        from keras_robust.studies.report import write_report

        path = write_report(runs, output or runs[0] / "report", title)
    typer.echo(f"Report: {path}")


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
    quiet: Quiet = False,
) -> None:
    """Dice, surfaces and calibration of runs on what each held out, per class, with tests."""
    with friendly_errors(continues=True), without_chatter():
        from keras_robust.scheduling.records import find_runs
        from keras_robust.studies.crossval.report import write_cross_validation_report
        from keras_robust.studies.crossval.scores import unscored

        folders = unscored(find_runs(runs))
        with progress_bar("Scoring") as progress:
            for number, folder in enumerate(folders):
                from keras_robust.inference import evaluate_run

                evaluate_run(folder)
                progress(number + 1, len(folders))
        path = write_cross_validation_report(runs, output or runs[0] / "crossval", title, baseline)
    typer.echo(f"Report: {path}")


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
            with shown(RunBars()) as bars:
                run_demo(output, demo_study(size, features, epochs), jobs, bars)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        typer.echo(describe_demo(output))
