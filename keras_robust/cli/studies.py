"""Many runs side by side, and what they show."""

from collections.abc import Mapping, Sequence
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_robust.cli.chatter import without_chatter
from keras_robust.cli.command import done_on, look_for, numbers_of_size
from keras_robust.cli.console import (
    friendly_errors,
    hint,
    is_quiet,
    next_step,
    progress_bar,
    progress_bars,
    rows_of,
    tell,
    unless_quiet,
)
from keras_robust.cli.options import (
    Cluster,
    DatasetFolder,
    Devices,
    Json,
    Mirror,
    Moved,
    PartOf,
    Postprocess,
    Quiet,
    Size,
)
from keras_robust.common.errors import invalid

if TYPE_CHECKING:
    from keras_robust.scheduling.state import StudyState


def compare(
    dataset: DatasetFolder,
    losses: Annotated[
        list[str] | None,
        typer.Option(
            help="Losses or methods, as ce+dice t+dice t+dice-stocot; the others are tested "
            "against the first."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Of the training images.")] = 3,
    tune: Annotated[
        int, typer.Option(min=0, help="Trials to search the options of each method; 0 for none.")
    ] = 0,
    per_fold: Annotated[
        bool, typer.Option("--per-fold", help="Search in every fold, not in the first alone.")
    ] = False,
    tune_epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 50,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of a run.", show_default="100")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method in each fold.")] = 1,
    annotator: Annotated[str | None, typer.Option(help="Whose masks to train on.")] = None,
    clean_annotator: Annotated[
        str | None, typer.Option(help="Whose masks to measure against.")
    ] = None,
    size: Size = None,
    config: Annotated[
        Path | None,
        typer.Option(help="What all runs share, as YAML; its loss gives way to --losses."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="runs/DATASET-compare"),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other field of all runs: batch_size=4.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trials or runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each.", show_default="CPUs / jobs")
    ] = None,
    retry: Annotated[bool, typer.Option(help="Also try again what failed.")] = False,
    cluster: Cluster = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tune, train and cross-validate methods, and report which is better; the same continues."""
    look_for(dataset, config)
    from keras_robust.cli.run_config import check_fields, run_config
    from keras_robust.data import Dataset
    from keras_robust.methods import check_names, method_fields
    from keras_robust.training.choosing import choose_annotators

    options: dict[str, Any] = {
        "data.path": dataset,
        "data.annotator": annotator,
        "data.clean_annotator": clean_annotator,
        "epochs": epochs,
    }
    with friendly_errors(continues=True), without_chatter():
        if not losses:
            raise ValueError(
                "Invalid value for argument `losses`. Expected what to compare, as in "
                "--losses ce+dice t+dice t+dice-stocot. Received: none."
            )
        for method in losses:
            check_names(method_fields(method, {})["loss"])
        options["data.size"] = numbers_of_size(size)
        shared, _ = run_config(config, None, options, set_ or [])
        check_fields(shared)
        choose_annotators(Dataset.open(shared.data.path), shared.data)
        from keras_robust.cli.tuning import say
        from keras_robust.scheduling.cluster import joined
        from keras_robust.scheduling.live import StudyView
        from keras_robust.studies.protocol import Protocol, ProtocolProgress, run_protocol

        protocol = Protocol(tuple(losses), folds, tuple(range(seeds)), tune, tune_epochs, per_fold)
        folder = output or Path("runs") / f"{dataset.resolve().name}-compare"
        with progress_bar("Scoring") as scoring, unless_quiet(StudyView()) as view:
            progress = ProtocolProgress(
                lambda method, state: None if is_quiet() else say(state, f"{method}: "),
                view or (lambda state: None),
                scoring,
            )
            with joined(cluster, folder, [dataset], jobs=jobs, threads=threads) as crew:
                done = run_protocol(
                    shared,
                    folder,
                    protocol,
                    jobs=jobs,
                    threads=threads,
                    retry=retry,
                    progress=progress,
                    crew=crew,
                )
    report = folder / "report"
    facts = {"report": done.report, "runs": folder / "runs", "dice": done.dice, "tuned": done.tuned}
    tables = {name: rows_of(report / f"{name}.csv") for name in ("table1", "paired")}
    lines = [*_in_columns(tables["table1"]), f"Report: {done.report}"] if done.report else []
    tell({**facts, "table": tables["table1"], "paired": tables["paired"]}, *lines)
    _end_unless_finished(done.state)
    best = max(done.dice, key=lambda method: done.dice[method])
    found = done.tuned.get(best, {}).get(0, {})
    named = {"loss_options": found.get("loss_options") or {}}
    named["selection.options"] = (found.get("selection") or {}).get("options") or {}
    sets = [f"{of}.{key}={value}" for of, given in named.items() for key, value in given.items()]
    chosen: dict[str, object] = {
        "--config": config,
        "--annotator": annotator,
        "--clean-annotator": clean_annotator,
        "--size": size,
        "--epochs": epochs,
    }
    words = [word for name, value in chosen.items() if value is not None for word in (name, value)]
    words += [word for one in [*(set_ or []), *sets] for word in ("--set", one)]
    next_step("train", dataset, "--loss", best, *words)


def _in_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table as lines of text.

    >>> _in_columns([{"Method": "CE", "Dice": "0.8(1)"}])
    ['Method  Dice', 'CE      0.8(1)']
    """
    columns = [[name, *(str(row[name]) for row in rows)] for name in (rows[0] if rows else ())]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]


def _end_unless_finished(state: "StudyState") -> None:
    """Say what is not finished, and end the command where anything is."""
    for run in state.runs:
        if run.state == "failed":
            typer.secho(f"{run.plan.name} failed: {run.error}", fg="red", err=True)
    if state.count("failed"):
        typer.echo("Try the failed runs again with --retry.", err=True)
    left = {"elsewhere": "are trained by another process", "interrupted": "were stopped"}
    for name, what in left.items():
        if number := state.count(name):
            again = "The same command again continues, or says that all are finished."
            typer.echo(f"{number} of {len(state.runs)} runs {what}. {again}", err=True)
    if state.count("finished") < len(state.runs):
        raise typer.Exit(1)


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
    cluster: Cluster = None,
    data: Moved = None,
    devices: Devices = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train every loss at every noise setting with every seed; the same command continues."""
    from keras_robust.data import Part
    from keras_robust.scheduling.cluster import joined
    from keras_robust.scheduling.grid import BenchmarkConfig
    from keras_robust.scheduling.live import StudyView
    from keras_robust.scheduling.scheduler import run_benchmark

    output = output or Path("runs") / config.stem
    with friendly_errors(continues=True), unless_quiet(StudyView()) as view:
        mine = Part.parse(part)
        study = BenchmarkConfig.load(config)
        if data is not None:
            study = study.with_data(data)
        study = study.with_budget()
        read = [(study.base.get("data") or {}).get("path") or ""]
        with joined(cluster, output, read, jobs=jobs, threads=threads) as crew:
            state = run_benchmark(
                study,
                output,
                jobs=jobs,
                threads=threads,
                retry=retry,
                part=mine,
                crew=crew,
                progress=view,
            )
    runs = [
        {"run": run.plan.name, "state": run.state, "dice_test": run.dice, "error": run.error}
        for run in state.runs
    ]
    tell({"folder": output, "runs": runs}, f"Runs: {output}")
    _end_unless_finished(state)
    if mine.count > 1:
        typer.echo(f"Part {mine} is finished; a report needs the others as well.", err=True)
    next_step("report" if study.folds is None else "crossval", output)


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report.", show_default="RUNS/report"),
    ] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Losses under label noise",
    data: Moved = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tables, tests, figures and masks of runs: HTML, CSV and PNG."""
    with friendly_errors():
        from keras_robust.scheduling.records import damaged, find_runs

        _move(runs, data)
        from keras_robust.studies.report import write_report

        path = write_report(runs, output or runs[0] / "report", title)
        told = damaged(find_runs(runs))
    facts = {"report": path, "values": rows_of(path.with_name("values.csv")), "damaged": told}
    tell(facts, f"Report: {path}")
    _end_if_damaged(told)


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
    postprocess: Postprocess = True,
    data: Moved = None,
    part: PartOf = None,
    cluster: Cluster = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Dice, surfaces and calibration of runs on what each held out, per class, with tests."""
    with friendly_errors(continues=True), without_chatter():
        from keras_robust.data import Part
        from keras_robust.scheduling.records import damaged, find_runs

        mine, home = Part.parse(part), output or runs[0] / "crossval"
        _move(runs, data)
        from keras_robust.studies.crossval.report import (
            require_method,
            write_cross_validation_report,
        )
        from keras_robust.studies.crossval.scores import score_runs

        require_method(find_runs(runs), baseline)
        with progress_bar("Scoring") as progress:
            done_on(cluster, part, home, runs, progress, gpu=True)
            score_runs(mine.of(find_runs(runs)), progress, postprocess=postprocess)
        if part is not None:
            tell({"runs": runs}, f"Scored part {part} of the runs.")
            hint("Once all parts are scored, the same command without --part reports.")
            return
        path = write_cross_validation_report(runs, home, title, baseline)
        told = damaged(find_runs(runs))
    tables = {name: rows_of(path.with_name(f"{name}.csv")) for name in ("table1", "paired")}
    facts = {"report": path, "table": tables["table1"], "paired": tables["paired"]}
    tell({**facts, "damaged": told}, f"Report: {path}")
    _end_if_damaged(told)


def choose(
    runs: Annotated[list[Path], typer.Argument(help="Runs of folds, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the choice.",
            show_default="the one that holds all runs",
        ),
    ] = None,
    ensembles: Annotated[bool, typer.Option(help="Also try pairs of configurations.")] = True,
    mirror: Mirror = True,
    data: Moved = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose the best configuration, or pair, and the parts to keep, by cross-validation."""
    with friendly_errors(continues=True), without_chatter():
        from keras_robust.scheduling.records import RunRecord, find_runs

        _move(runs, data)
        from keras_robust.inference.best import choose_best
        from keras_robust.inference.chosen import kept_parts

        found = [run.folder for run in find_runs(runs)]
        folder = output or Path(commonpath([run.resolve().parent for run in found]))
        with progress_bar("Predicting") as progress:
            chosen = choose_best(
                found, folder, ensembles=ensembles, mirror=mirror, progress=progress
            )
    kept = [list(group) for group in chosen.components.largest]
    facts = {"best": chosen.best, "dice": dict(chosen.dice), "keep_largest": kept}
    lines = [f"{name}: {value:.4f}" for name, value in chosen.dice.items()]
    lines.append(f"Best: {' and '.join(chosen.best)}. {kept_parts(kept)}")
    tell({**facts, "folder": folder}, *lines)
    dataset = RunRecord.read(chosen.runs[0]).dataset
    next_step("predict", dataset, folder, "--output", f"{folder}-masks")


def _move(runs: list[Path], data: Path | None) -> None:
    """Find the runs, or say that there are none, and note where their dataset lies now."""
    from keras_robust.scheduling.records import find_runs

    found = find_runs(runs)
    if data is not None:
        from keras_robust.training.records.inputs import move_data

        for run in found:
            move_data(run.folder, data)


def _end_if_damaged(damages: list[str]) -> None:
    """End the command with what is damaged, where anything is."""
    for line in damages:
        typer.secho(line, err=True, fg="red")
    if damages:
        typer.echo("What is damaged was left out of the report.", err=True)
        raise typer.Exit(1)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the data, the runs and the report.")
    ] = Path("demo"),
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 96,
    features: Annotated[int, typer.Option(min=1, help="Of the U-Net's first level.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    jobs: Annotated[int, typer.Option(min=1, help="Networks at a time.")] = 2,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make masks of packaged images wrong, find them by an audit, repair or bear them, report."""
    with friendly_errors():
        if output.is_file():
            raise invalid("output", "a folder, or none yet", str(output))
    from keras_robust.demo.run import DemoSettings, run_demo
    from keras_robust.scheduling.bars import RunBars

    hint("Three in ten of the masks of 80 dermoscopy images are made wrong, found, and repaired.")
    hint("About five minutes on two processor cores; after Ctrl-C the same command continues.")
    judges = max(1, round(1.5 * epochs))
    with friendly_errors(continues=True), without_chatter():
        settings = DemoSettings(size=size, features=features, epochs=epochs, judge_epochs=judges)
        try:
            with progress_bars() as progress, unless_quiet(RunBars()) as bars:
                done = run_demo(output, settings, jobs, progress, bars)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        facts = {
            "wrong": len(done.wrong),
            "masks": len(done.found.cases),
            "first": len(done.looked_at),
            "wrong_among_first": done.hits,
            "dice": {name: done.dice(name) for name in done.runs},
            "report": output / "report.html",
        }
        tell(facts, *done.lines())
    hint("Review exactly these in napari (pip install 'keras-robust[napari]'):")
    next_step("view", output / "data", "--audit", output / "audit")
