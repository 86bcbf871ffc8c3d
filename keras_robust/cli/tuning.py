"""Hyper-parameters: to search them, and to see how much they matter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_robust.cli.command import look_for, one_dataset
from keras_robust.cli.console import friendly_errors, is_quiet, next_step, rows_of, tell
from keras_robust.cli.options import Cluster, Json, Moved, Quiet
from keras_robust.common.errors import invalid

if TYPE_CHECKING:
    from keras_robust.tuning.loop import TuningState


def tune(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="Dataset folder; may be left out where the configuration names it."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="What to search: apl2, cot, cot+, stocot, svls or hrl, as published, or a YAML "
            "file of fields and ranges."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Training configuration as YAML; DATASET overrides it.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder.", show_default="runs/CONFIG-SPACE or DATASET-SPACE"
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials, over all processes.")] = 30,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 50,
    objective: Annotated[
        str | None,
        typer.Option(
            help="Column of history.csv, or ema:COLUMN for its moving average.",
            show_default="pseudo_dice_train_ema with a plan, else ema:dice_train",
        ),
    ] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="Lower is better.")] = False,
    pruner: Annotated[str, typer.Option(help="End bad trials early: none, median, halving.")] = (
        "none"
    ),
    storage: Annotated[
        str | None,
        typer.Option(
            help="URL of an Optuna storage that machines share, or journal:FILE.",
            show_default="OUTPUT/study.db",
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Its name in the storage.", show_default="that of OUTPUT")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What figures call it.", show_default="the method")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is tried.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads per trial.", show_default="CPUs / workers"),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="For trials whose process dies.")] = 2,
    heartbeat: Annotated[
        float,
        typer.Option(
            min=1,
            help="Seconds of silence after which the trials of a process on another machine are "
            "taken up.",
        ),
    ] = 300,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A field for all trials, over CONFIG and the space: loss=t+dice."
        ),
    ] = None,
    retry: Annotated[bool, typer.Option(help="Also try failed trials again.")] = False,
    cluster: Cluster = None,
    data: Moved = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search the best hyper-parameters; the same command continues, here or on other machines."""
    file = Path(space) if space is not None and space.endswith((".yaml", ".yml")) else None
    look_for(dataset or data, config, file)
    from keras_robust.cli.run_config import completed, parse_assignments, run_config, tested
    from keras_robust.scheduling.cluster import joined
    from keras_robust.tuning.space import load_space
    from keras_robust.tuning.tune import tune as search

    with friendly_errors(continues=True):
        if space is None:
            raise invalid(
                "space", "what to search, such as --space stocot, or a YAML file", said="none"
            )
        searched = load_space(space).with_fixed(parse_assignments(set_ or []))
        base, _ = run_config(config, None, {"data.path": one_dataset(dataset, data)}, [])
        base = tested(base)  # what is wrong with the dataset is said before the first trial
        name = config.stem if config is not None else base.data.path.resolve().name
        folder = output or Path("runs") / f"{name}-{Path(space).stem}"
        base = completed(base, folder / "plan")
        read = [base.data.path]
        with joined(cluster, folder, read, jobs=workers, threads=threads) as crew:
            record = search(
                base,
                folder,
                searched,
                trials=trials,
                epochs=epochs,
                objective=objective,
                direction="minimize" if minimize else "maximize",
                pruner=pruner,
                storage=storage,
                study=study,
                label=label,
                seed=seed,
                workers=workers,
                threads=threads,
                retries=retries,
                retry=retry,
                heartbeat_seconds=heartbeat,
                crew=crew,
                progress=None if is_quiet() else say,
            )
    best = record.best
    failed = int((record.trials["state"] == "failed").sum())
    facts = {
        "report": folder / "report.html",
        "objective": record.objective,
        "trials": len(record.trials),
        "failed": failed,
        "best": None if best is None else {k: best[k] for k in ("trial", "value")},
        "found": None if best is None else {name: best[name] for name in record.space.search},
        "config": None if best is None else folder / "best.yaml",
    }
    lines = [f"Report: {folder / 'report.html'}"]
    if best is not None:
        lines.append(f"Best: trial {best['trial']:.0f}, {record.objective} {best['value']:.4f}")
    tell(facts, *lines)
    if failed:
        many = f"{failed} of {len(record.trials)} trials"
        typer.secho(f"{many} failed; trials.csv says why.", err=True, fg="yellow")
        typer.echo("Try the failed trials again with --retry.", err=True)
    if best is None:
        typer.secho("No trial was finished.", err=True, fg="red")
        raise typer.Exit(1)
    if record.without_effect:
        from keras_robust.tuning.report import NO_EFFECT

        typer.secho(NO_EFFECT, err=True, fg="yellow")
    next_step("train", "--config", folder / "best.yaml")


def say(state: "TuningState", prefix: str = "") -> None:
    """A line on where a search stands, where something happened."""
    import time

    from keras_robust.common.words import duration

    if not state.message:
        return
    parts = [f"{state.settled} of {state.trials} done"]
    if state.best is not None:
        parts.append(f"best {state.best:.4f} (trial {state.best_trial})")
    if state.seconds_left:
        parts.append(f"about {duration(state.seconds_left)} left")
    stamp = time.strftime("%H:%M:%S")
    typer.echo(f"{stamp} {prefix}{state.message}; {', '.join(parts)}", err=True)


def stability(
    studies: Annotated[list[Path], typer.Argument(help="Folders of keras-robust tune.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the figure.")] = Path(
        "stability"
    ),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how far methods depend on their hyper-parameters, study beside study."""
    look_for(None, *studies)
    with friendly_errors():
        from keras_robust.tuning.report import write_stability

        path = write_stability(studies, output)
    facts = {"report": path, "stability": rows_of(path.with_name("stability.csv"))}
    tell(facts, f"Report: {path}")
