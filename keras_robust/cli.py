"""The command `keras-robust`: one thin subcommand per capability.

What a subcommand needs is imported inside it, so that `keras-robust --help` is quick.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_robust.console import friendly_errors, progress_bar, progress_bars

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Train segmentation models on imperfect masks.",
)


@app.callback()
def _main() -> None:
    # TensorFlow tells of the processor it was built for; its warnings and errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


DatasetFolder = Annotated[
    Path, typer.Argument(help="Dataset folder: manifest, nnU-Net raw, ISIC 2017 or Shenzhen.")
]
Normalize = Annotated[
    str | None,
    typer.Option(
        help="Input of a .keras model: range (-1 to 1), zscore, or none (as stored).",
        show_default="range, or as the run was trained",
    ),
]


@app.command()
def verify(
    dataset: DatasetFolder,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads.", show_default="all CPUs")] = None,
) -> None:
    """Report every problem of every case; the exit code is 1 where there are errors."""
    from keras_robust.data import verify as look_through
    from keras_robust.files import atomic_write_text

    with friendly_errors(), progress_bar("Verifying") as progress:
        report = look_through(dataset, progress, workers)
        if json is not None:
            atomic_write_text(json, report.to_json())
    typer.echo(report.text())
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def simulate(
    dataset: DatasetFolder,
    alpha: Annotated[float, typer.Option(help="Fraction of the masks to corrupt, 0 to 1.")],
    beta: Annotated[float, typer.Option(help="Relative change of area of each.")],
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    source: Annotated[
        str | None, typer.Option(help="Annotator to corrupt; needed where there are several.")
    ] = None,
    annotator: Annotated[
        str | None, typer.Option(help="Name of the new one.", show_default="noisy-aA-bB-sS")
    ] = None,
    kinds: Annotated[str, typer.Option(help="Kinds of error.")] = "dilate,erode,affine",
    mode: Annotated[str, typer.Option(help="unbiased, or reference: as published.")] = "unbiased",
    max_angle: Annotated[float, typer.Option(help="Largest rotation in degrees.")] = 30.0,
    split: Annotated[str, typer.Option(help="Split to corrupt; the others are left.")] = "train",
    output: Annotated[
        Path | None,
        typer.Option(help="New dataset folder, where DATASET has another layout or is read-only."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Write a simulated annotator's masks beside the clean ones; the same again continues."""
    from keras_robust.data import simulate_dataset
    from keras_robust.noise import LabelNoise, read_log

    with friendly_errors(continues=True), progress_bar("Simulating") as progress:
        chosen = tuple(kind.strip() for kind in kinds.split(","))
        noise = LabelNoise(alpha, beta, seed, chosen, mode, max_angle)
        folder = simulate_dataset(
            dataset, noise, annotator, source, progress, workers, output=output, split=split
        )
        log = read_log(folder / "noise.jsonl")
    noisy = [line for line in log if line.kind != "clean"]
    unchanged = sum(bool(line.note) for line in noisy)
    typer.echo(f"Annotator {folder.name}: {len(noisy)} of {len(log)} masks are noisy, in {folder}")
    if unchanged:
        typer.echo(f"{unchanged} of them could not be changed in full; noise.jsonl says why.")


@app.command()
def plan(
    dataset: DatasetFolder,
    output: Annotated[Path, typer.Option(help="Folder for fingerprint.json and plan.json.")] = Path(
        "plan"
    ),
    annotator: Annotated[str | None, typer.Option(help="Whose masks to look at.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Only this split; train where there is one.")
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(help="Memory of the accelerator in GiB.", show_default="8; L: 24"),
    ] = None,
    preset: Annotated[str, typer.Option(help="plain, or a residual encoder: M or L.")] = "plain",
    workers: Annotated[int | None, typer.Option(help="Threads.", show_default="all CPUs")] = None,
) -> None:
    """Plan spacing, patch, network and batch size for a dataset by nnU-Net's rules."""
    from keras_robust.data import Dataset, clean_annotator
    from keras_robust.data.fingerprint import fingerprint
    from keras_robust.files import atomic_write_text
    from keras_robust.models.planning import make_plan

    with friendly_errors(), progress_bar("Looking at images") as progress:
        whole = Dataset.open(dataset)
        chosen = whole.select(annotator=annotator or clean_annotator(whole))
        split = split or ("train" if "train" in chosen.splits else None)
        found = fingerprint(chosen.select(split=split), progress, workers)
        made = make_plan(found, memory_gib, preset)
        atomic_write_text(output / "fingerprint.json", found.model_dump_json(indent=2) + "\n")
        atomic_write_text(output / "plan.json", made.to_json())
    typer.echo(f"Spacing: {' x '.join(f'{value:.4g}' for value in made.spacing_mm)} mm")
    typer.echo(f"Patch: {' x '.join(map(str, made.patch_size))}, batches of {made.batch_size}")
    typer.echo(f"Network: {made.encoder}, features {', '.join(map(str, made.features))}")
    typer.echo(f"Plan: {output / 'plan.json'}")


@app.command()
def train(
    config: Annotated[
        Path | None, typer.Argument(help="Configuration as YAML; options override it.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Run folder.", show_default="runs/ and the name of CONFIG or the loss"),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset folder.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Whose masks to train on.")] = None,
    clean_annotator: Annotated[
        str | None, typer.Option(help="Whose masks to measure Dice against.")
    ] = None,
    size: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width in pixels.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help='Such as t, ce+dice, "ngce+rce".')] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field, as noise.alpha=0.7 or loss_options.q=0.5."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUTPUT.")] = False,
) -> None:
    """Train a U-Net on a dataset and leave a run folder; --resume continues after any stop."""
    from keras_robust.training.command import run_config

    options = {
        "data.path": data,
        "data.annotator": annotator,
        "data.clean_annotator": clean_annotator,
        "data.size": size,
        "loss": loss,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
    }
    with friendly_errors():
        chosen, folder = run_config(config, output, options, set_ or [], resume)
        from keras_robust.training import DivergenceError, train
        from keras_robust.training.live import training_view

        try:
            with training_view(chosen) as view:
                run = train(chosen, folder, resume=resume, progress=view)
        except DivergenceError as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt:
            again = f"keras-robust train --output {folder} --resume"
            typer.secho(f"Interrupted. Continue with: {again}", err=True, fg="yellow")
            raise typer.Exit(130) from None
    for name, value in run.results.items():
        typer.echo(f"{name}: {value:.4f}")
    typer.echo(f"Run: {folder}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Run folder, or a model saved as .keras.")],
    dataset: DatasetFolder,
    output: Annotated[Path, typer.Option(help="Folder for the masks.")],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities (0..255) as well.")
    ] = False,
    normalize: Normalize = None,
) -> None:
    """Write a mask for every image of a dataset, in the image's own size."""
    with friendly_errors(), progress_bar("Predicting") as progress:
        from keras_robust.inference.predict import predict as write_masks

        write_masks(
            model,
            dataset,
            output,
            split=split,
            probabilities=probabilities,
            normalize=normalize,
            progress=progress,
        )
    typer.echo(f"Masks: {output}")


@app.command()
def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Run folder, .keras file, or folder of masks ID.png.")
    ],
    dataset: DatasetFolder,
    annotator: Annotated[
        str | None, typer.Option(help="Whose masks are right; needed where there are several.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = "test",
    output: Annotated[Path | None, typer.Option(help="Write the Dice of each image, CSV.")] = None,
    normalize: Normalize = None,
) -> None:
    """Dice of a run or of masks on disk against the masks of a dataset."""
    with friendly_errors(), progress_bar("Evaluating") as progress:
        from keras_robust import inference

        result = inference.evaluate(
            predictions,
            dataset,
            annotator=annotator,
            split=split or None,
            normalize=normalize,
            progress=progress,
        )
        if output is not None:
            result.write_csv(output)
    typer.echo(f"Dice, mean over {len(result.per_image)} images: {result.mean:.4f}")
    typer.echo(f"Standard deviation over images: {result.std:.4f}")
    typer.echo(f"Dice, pooled: {result.pooled:.4f}")


@app.command()
def agree(
    dataset: DatasetFolder,
    annotators: Annotated[
        list[str] | None,
        typer.Option(
            help='Name or pattern such as "expert_*"; repeat it to compare groups.',
            show_default="all who drew masks",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder of the report. [default: NAME OF DATASET-agreement]")
    ] = None,
    consensus: Annotated[
        str | None,
        typer.Option(help="Write a consensus instead: majority, staple, or soft, to train on."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Annotator of the consensus.", show_default="consensus-...")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="New dataset folder for the consensus, where DATASET is read-only."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
) -> None:
    """Compare annotators with each other, or write their consensus as a new annotator."""
    if consensus is not None:
        from keras_robust.quality import write_consensus

        with friendly_errors(continues=True), progress_bar("Consensus") as progress:
            folder = write_consensus(
                dataset,
                consensus,
                annotators or (),
                name,
                split=split,
                output=output,
                progress=progress,
                workers=workers,
            )
        typer.echo(f"Annotator {folder.name}: masks in {folder}")
        return
    from keras_robust.experiments.agreement import measure_agreement
    from keras_robust.experiments.agreement_report import write_agreement_report

    folder = report or Path(f"{dataset.resolve().name}-agreement")
    with friendly_errors(), progress_bar("Comparing") as progress:
        found = measure_agreement(
            dataset, annotators or (), split=split, progress=progress, workers=workers
        )
        page = write_agreement_report(found, folder)
    overall = found.overall
    typer.echo(f"Mean Dice between annotators, {overall['images']} images: {overall['dice']:.4f}")
    typer.echo(f"Fleiss' kappa: {overall['fleiss_kappa']:.4f}")
    typer.echo(f"Pairs: {folder / 'agreement.csv'}\nReport: {page}")


@app.command()
def audit(
    dataset: DatasetFolder,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the audit. [default: NAME OF DATASET-audit]")
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(help="Whose masks to judge; needed where there are several, repeatable."),
    ] = None,
    train_on: Annotated[
        str | None, typer.Option(help="Whose masks to train on. [default: the first annotator]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Folder of predictions ID.png, .npy or .nii.gz, instead of training."),
    ] = None,
    loss: Annotated[str, typer.Option(help='Such as t, gce, "ngce+rce".')] = "t",
    folds: Annotated[
        int, typer.Option(min=2, help="Models; each predicts what it has not seen.")
    ] = 5,
    size: Annotated[
        str | None, typer.Option(help="Height x width in pixels to train at, as 256x256.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images, per fold.")] = 50,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the training, as batch_size=8."),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(help="Score, repeatable; the first one ranks. [default: all, by `default`]"),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Annotator who is right: measures how well the scores find wrong masks."),
    ] = None,
    wrong_below: Annotated[
        float | None,
        typer.Option(
            help="A mask is wrong where its Dice with the truth is below this.",
            show_default="0.8, or as simulated",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Folds at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per fold. [default: CPUs / jobs]")
    ] = None,
) -> None:
    """Say which masks are probably wrong, where and how; the same command continues."""
    from keras_robust.experiments.audit import audit as run_audit
    from keras_robust.training.command import set_fields

    output = output or Path(f"{dataset.resolve().name}-audit")
    training: dict[str, Any] = {}
    with friendly_errors(continues=True), progress_bars() as progress:
        set_fields(training, {}, set_ or [])
        result = run_audit(
            dataset,
            output,
            annotator=annotator,
            train_on=train_on,
            split=split,
            loss=loss,
            folds=folds,
            size=_numbers(size) if size else None,
            epochs=epochs,
            training=training,
            predictions=predictions,
            scores=score or None,
            truth=truth,
            wrong_below=wrong_below,
            jobs=jobs,
            threads=threads,
            progress=progress,
        )
    for case in result.cases[:5]:
        typer.echo(f"{case.rank:4d}  {case.score:.3f}  {case.id}  {case.kind}")
    typer.echo(f"Masks, worst first: {output / 'audit.csv'}\nReport: {output / 'report.html'}")


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(
            "Invalid value for argument `size`. Expected whole numbers, as in 256x256 or "
            f"64x128x128. Received: size={text!r}"
        )
    return tuple(int(part) for part in parts)


@app.command()
def benchmark(
    config: Annotated[Path, typer.Argument(help="Study as YAML: base, losses, noise, seeds.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the runs. [default: runs/NAME OF CONFIG]")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per run. [default: CPUs / jobs]")
    ] = None,
    retry: Annotated[bool, typer.Option(help="Also try failed runs again.")] = False,
) -> None:
    """Train every loss at every noise setting with every seed; the same command continues."""
    from keras_robust.experiments.grid import BenchmarkConfig
    from keras_robust.experiments.live import StudyView
    from keras_robust.experiments.scheduler import run_benchmark

    output = output or Path("runs") / config.stem
    with friendly_errors(continues=True), StudyView() as view:
        study = BenchmarkConfig.load(config)
        state = run_benchmark(study, output, jobs=jobs, threads=threads, retry=retry, progress=view)
    for run in state.runs:
        if run.state == "failed":
            typer.secho(f"{run.plan.name} failed: {run.error}", fg="red", err=True)
    typer.echo(f"Runs: {output}\nNext: keras-robust report {output}")
    if state.count("failed"):
        typer.echo("Try the failed runs again with --retry.", err=True)
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder of the report. [default: RUNS/report]")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "Losses under label noise",
) -> None:
    """Tables, tests, figures and masks of runs: HTML, CSV and PNG."""
    with friendly_errors():
        from keras_robust.experiments.report import write_report

        path = write_report(runs, output or runs[0] / "report", title)
    typer.echo(f"Report: {path}")


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder of the runs and the report.")] = Path("demo"),
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 96,
    features: Annotated[int, typer.Option(min=1, help="Of the U-Net's first level.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
) -> None:
    """Train CE + Dice and T-Loss on noisy masks of packaged images, and write a report."""
    from keras_robust.experiments.bars import RunBars
    from keras_robust.experiments.demo import demo_study, describe_demo, run_demo

    typer.echo("Two losses, 80 dermoscopy images, 70 % of the training masks made wrong.")
    typer.echo("A few minutes; after Ctrl-C the same command continues.")
    with friendly_errors(continues=True):
        try:
            with RunBars() as bars:
                run_demo(output, demo_study(size, features, epochs), jobs, bars)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        typer.echo(describe_demo(output))


@app.command()
def view(
    dataset: DatasetFolder,
    audit: Annotated[
        Path | None,
        typer.Option(help="Folder of its audit.", show_default="the one beside it, if any"),
    ] = None,
) -> None:
    """Open napari with a dataset and its queue of masks to review."""
    with friendly_errors():
        from keras_robust.data import Dataset

        Dataset.open(dataset)  # what is wrong with it is said here, not in a window
        try:
            from napari_plugin.view import view as open_window
        except ImportError as error:
            raise ValueError(
                f"The viewer needs napari ({error}). Install it with: "
                "pip install 'keras-robust[napari]'"
            ) from error
        open_window(dataset, audit)


if __name__ == "__main__":
    app()
