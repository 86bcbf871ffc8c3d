"""Which masks are wrong: agreement, audit, review."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_robust.cli.command import look_for, numbers_of_size
from keras_robust.cli.console import (
    friendly_errors,
    hint,
    next_step,
    progress_bar,
    progress_bars,
    tell,
)
from keras_robust.cli.options import (
    Cluster,
    DatasetFolder,
    Devices,
    Json,
    PartOf,
    Processes,
    Quiet,
    Size,
)
from keras_robust.common.errors import invalid


def agree(
    dataset: DatasetFolder,
    annotator: Annotated[
        list[str] | None,
        typer.Option(
            help='Name or pattern such as "expert_*"; repeat it to compare groups.',
            show_default="all who drew masks",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    consensus: Annotated[
        str | None,
        typer.Option(help="Write a consensus instead: majority, staple, or soft, to train on."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Annotator of the consensus.", show_default="consensus-...")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the report; of a consensus a new dataset folder, where DATASET has "
            "another layout or is read-only.",
            show_default="DATASET-agreement",
        ),
    ] = None,
    workers: Processes = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare annotators with each other, or write their consensus as a new annotator."""
    with friendly_errors():
        if consensus is None and name is not None:
            raise invalid(
                "name", "none without --consensus", name, "Add --consensus, or leave it out."
            )
    if consensus is not None:
        from keras_robust.annotators import write_consensus

        with friendly_errors(continues=True), progress_bar("Consensus") as progress:
            folder = write_consensus(
                dataset,
                consensus,
                annotator or (),
                name,
                split=split,
                output=output,
                progress=progress,
                workers=workers,
            )
        found = {"annotator": folder.name, "folder": folder}
        tell(found, f"Annotator {folder.name}: masks in {folder}")
        return
    look_for(dataset)
    from keras_robust.annotators.agreement.measure import measure_agreement
    from keras_robust.annotators.agreement.report import write_agreement_report

    folder = output or Path(f"{dataset.resolve().name}-agreement")
    with friendly_errors(), progress_bar("Comparing") as progress:
        agreement = measure_agreement(
            dataset, annotator or (), split=split, progress=progress, workers=workers
        )
        page = write_agreement_report(agreement, folder)
    overall = agreement.overall
    pairs = folder / "agreement.csv"
    tell(
        {**overall, "pairs": pairs, "report": page},
        f"Mean Dice between annotators, {overall['images']} images: {overall['dice']:.4f}",
        f"Fleiss' kappa: {overall['fleiss_kappa']:.4f}",
        f"Pairs: {pairs}\nReport: {page}",
    )


def audit(
    dataset: DatasetFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the audit.", show_default="DATASET-audit, beside it"
        ),
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(help="Whose masks to judge; needed where there are several, repeatable."),
    ] = None,
    train_on: Annotated[
        str | None,
        typer.Option(help="Whose masks to train on.", show_default="the first annotator"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            help="Predictions instead of training: a folder of files, or of a trained nnU-Net "
            "model; repeat it for several models."
        ),
    ] = None,
    loss: Annotated[str, typer.Option(help='Such as t, gce, "ngce+rce".')] = "t+dice",
    folds: Annotated[
        int, typer.Option(min=2, help="Models; each predicts what it has not seen.")
    ] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, help="Train all folds so often, with other seeds.")
    ] = 1,
    size: Size = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Minutes for training and prediction: as many steps as fit.",
            show_default="20, unless --steps or --epochs is given",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps, per fold.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the images, per fold.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the training, as batch_size=8."),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="Score, repeatable; the first one ranks.", show_default="all, by `default`"
        ),
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
        int | None, typer.Option(min=1, help="CPU threads per fold.", show_default="CPUs / jobs")
    ] = None,
    part: PartOf = None,
    cluster: Cluster = None,
    devices: Devices = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say which masks are probably wrong, where and how; the same command continues."""
    look_for(dataset, *(predictions or ()))
    from keras_robust.audit.options import AuditOptions
    from keras_robust.cli.run_config import set_fields
    from keras_robust.data import Part
    from keras_robust.scheduling.cluster import joined

    training: dict[str, Any] = {}
    with friendly_errors():
        set_fields(training, {}, set_ or [])
        options = AuditOptions(
            annotator=annotator,
            train_on=train_on,
            split=split,
            loss=loss,
            folds=folds,
            repeats=repeats,
            size=numbers_of_size(size),
            budget=budget,
            steps=steps,
            epochs=epochs,
            training=training,
            predictions=predictions or None,
            scores=score or None,
            truth=truth,
            wrong_below=wrong_below,
            jobs=jobs,
            threads=threads,
            part=Part.parse(part),
        )
    from keras_robust.audit.folder import audit_folder
    from keras_robust.audit.run import audit as run_audit
    from keras_robust.audit.run import train_part

    output = output or audit_folder(dataset)
    with (
        friendly_errors(continues=True),
        progress_bars() as progress,
        joined(cluster, output, [dataset], jobs=jobs, threads=threads) as crew,
    ):
        options = replace(options, crew=crew)
        watch: dict[str, Any] = {"progress": progress, "say": lambda text: hint(text, err=True)}
        if part is not None:
            trained = train_part(dataset, output, options, **watch)
            tell({"models": trained, "folder": output}, f"{trained} models of {part}: {output}")
            hint("Once all parts are trained, the same command without --part judges the masks.")
            return
        result = run_audit(dataset, output, options, **watch)
    from keras_robust.audit.summary import summary

    names = ("rank", "id", "annotator", "score", "kind")
    cases = [{name: getattr(case, name) for name in names} for case in result.cases]
    table, page = output / "audit.csv", output / "report.html"
    said = list(summary(result))
    tell(
        {"masks": table, "report": page, "summary": said, "cases": cases},
        *said,
        *(f"{case.rank:4d}  {case.score:.3f}  {case.id}  {case.kind}" for case in result.cases[:5]),
        f"Masks, worst first: {table}\nReport: {page}",
    )
    next_step("view", dataset, "--audit", output)


def refine(
    dataset: DatasetFolder,
    audit: Annotated[
        Path | None,
        typer.Option(
            help="Folder of its audit, by --score default.", show_default="the one beside it"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the runs.", show_default="DATASET-refined, beside it"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Annotator of the targets.", show_default="...-refined")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="New dataset folder, where DATASET has another layout or is read-only."),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Whose test masks are right.", show_default="who is not simulated"),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train on the masks as they are as well.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps.", show_default="as of the audit")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the training, as batch_size=8."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train again, where an audit is sure of wrong masks on soft targets; the same continues."""
    look_for(dataset)
    from keras_robust.audit.folder import read_audit

    with friendly_errors():
        if audit is not None:
            read_audit(audit)
    from keras_robust.cli.run_config import set_fields
    from keras_robust.refinement.refine import RUNS
    from keras_robust.refinement.refine import refine as run_refine

    root = dataset.resolve()
    output = output or root.with_name(f"{root.name}-refined")
    training: dict[str, Any] = {}
    with friendly_errors(continues=True), progress_bars() as progress:
        set_fields(training, {}, set_ or [])
        found = run_refine(
            dataset,
            output,
            audit,
            name=name,
            home=into,
            truth=truth,
            compare=compare,
            steps=steps,
            training=training,
            threads=threads,
            progress=progress,
        )
    changed, model = output / "refined.csv", output / RUNS / "refined"
    tell(
        {"changed": changed, "model": model, "summary": list(found.summary)},
        *found.summary,
        f"What was changed: {changed}\nModel: {model}",
    )
    next_step("predict", dataset, model, "--output", output / "masks")


def view(
    dataset: Annotated[
        Path | None, typer.Argument(help="Dataset folder.", show_default="--sample")
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="Folder of its audit.", show_default="the one beside it, if any"),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(help="Your name.", show_default="that of the preferences, or of the user"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder that takes decisions and corrected masks, for a dataset that cannot.",
            show_default="the dataset's own",
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Try it on six lesions that a novice drew.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Open napari with a dataset and its queue of masks to review."""
    with friendly_errors():
        from keras_robust.audit.folder import read_audit
        from keras_robust.data import Dataset

        if (dataset is None) != sample:
            raise invalid("DATASET", "a folder, or --sample for none", said=str(dataset))
        if dataset is not None:
            Dataset.open(dataset)  # what is wrong with it is said here, not in a window
        if audit is not None:
            read_audit(audit)
        try:
            from napari_plugin.view import view as open_window
        except ImportError as error:
            raise ValueError(
                f"The viewer needs napari ({error}). Install it with: "
                "pip install 'keras-robust[napari]'"
            ) from error
        if dataset is None:
            import tempfile

            from napari_plugin.samples import practice

            dataset = practice(Path(tempfile.mkdtemp(prefix="keras-robust-")) / "lesions")
            typer.echo(f"The sample, with what you decide: {dataset}")
        open_window(dataset, audit, reviewer, output)


def review_report(
    dataset: DatasetFolder,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(help="Name; repeat it for several.", show_default="all who reviewed"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the report.",
            show_default="DATASET-review",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Report a review: decided, changed, by how much, by whom, in what time, and the agreement."""
    from keras_robust.review.readers.report import write_review_report

    folder = output or Path(f"{dataset.resolve().name}-review")
    with friendly_errors(), progress_bar("Comparing") as progress:
        page = write_review_report(dataset, folder, reviewer or (), progress)
    tell({"report": page}, f"Report: {page}")
