"""What a dataset holds, noise on its masks, and the plan for it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_robust.cli.command import done_on
from keras_robust.cli.console import friendly_errors, hint, next_step, progress_bar, tell
from keras_robust.cli.options import (
    Cluster,
    Configuration,
    DatasetFolder,
    Json,
    NewFolder,
    PartOf,
    Processes,
    Quiet,
    Threads,
)

FormatName = Annotated[str | None, typer.Option(help="What SOURCE is.", show_default="found out")]


def verify(
    dataset: DatasetFolder,
    workers: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Report every problem of every case; the exit code is 1 where there are errors."""
    from keras_robust.data import verify as look_through

    with friendly_errors(), progress_bar("Verifying") as progress:
        report = look_through(dataset, progress, workers)
    tell(report.facts(), report.text())
    raise typer.Exit(0 if report.ok else 1)


def import_(
    source: Annotated[Path, typer.Argument(help="Folder or file of another tool.")],
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset folder to make.")],
    format: FormatName = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images, where SOURCE does not tell.")
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(help="Of plain folders: that of the masks, or how their names end (_lesion)."),
    ] = None,
    annotator: Annotated[
        str, typer.Option(help="Who drew the masks, where SOURCE does not tell.")
    ] = "annotator",
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy images and masks; else refer to them.")
    ] = False,
    unmarked: Annotated[
        str, typer.Option(help="Images on which nothing is drawn: background or unlabelled.")
    ] = "background",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset folder of what another tool wrote; says first what it understood."""
    from keras_robust.data import import_dataset, understand

    with friendly_errors():
        found = understand(source, format=format, images=images, masks=masks, annotator=annotator)
        hint(found.text())
        with progress_bar("Importing") as progress:
            import_dataset(
                source,
                folder,
                copy=copy,
                unmarked=unmarked,
                dry_run=dry_run,
                found=found,
                progress=progress,
            )
    if dry_run:
        tell({"dataset": None}, "Nothing was written (--dry-run).")
        return
    tell({"dataset": folder}, f"Dataset: {folder}")
    next_step("verify", folder)


def export(
    dataset: DatasetFolder,
    format: Annotated[str, typer.Option(help="What to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to make.")],
    annotator: Annotated[
        list[str] | None,
        typer.Option(help="Whose masks; of several (repeated), the first who drew one."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    refer: Annotated[
        bool, typer.Option("--refer", help="Refer to the images where they are; else copy them.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a dataset as another tool reads it, with the masks of one annotator."""
    from keras_robust.data import export_dataset

    with friendly_errors(), progress_bar("Exporting") as progress:
        export_dataset(
            dataset,
            output,
            format,
            annotator=annotator or None,
            split=split,
            copy=not refer,
            progress=progress,
        )
    tell({"format": format, "folder": output}, f"{format}: {output}")


def simulate(
    dataset: DatasetFolder,
    alpha: Annotated[
        float | None, typer.Option(help="Fraction of the masks to corrupt, 0 to 1.")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Relative change of area of each.")] = None,
    mean_dice: Annotated[
        float | None,
        typer.Option(help="In place of both: dilate or erode all, to this mean Dice per class."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    annotator: Annotated[
        str | None, typer.Option(help="Whose masks to corrupt; needed where there are several.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the new one.", show_default="noisy-aA-bB-sS or -dD-sS"),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Kinds of error, by name, with commas.",
            show_default="dilate,erode,affine",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="unbiased, or reference: as published.", show_default="unbiased"),
    ] = None,
    max_angle: Annotated[
        float | None, typer.Option(help="Largest rotation in degrees.", show_default="30")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to corrupt; the others are left.")] = "train",
    output: NewFolder = None,
    part: PartOf = None,
    cluster: Cluster = None,
    workers: Processes = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a simulated annotator's masks beside the clean ones; the same again continues."""
    from keras_robust.annotators import simulate_dataset
    from keras_robust.data import Dataset, Part
    from keras_robust.data.layouts.labels import class_title
    from keras_robust.data.layouts.manifest_writing import writable_home
    from keras_robust.noise import BoundaryNoise, LabelNoise, mean_dice_per_label, read_log
    from keras_robust.scheduling.cluster_file import ClusterFile

    with friendly_errors(continues=True), progress_bar("Simulating") as progress:
        noise: LabelNoise | BoundaryNoise
        chosen = tuple(kind.strip() for kind in kinds.split(",")) if kinds is not None else None
        options = {"kinds": chosen, "mode": mode, "max_angle": max_angle}
        given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        if mean_dice is not None and alpha is None and beta is None and not given:
            noise = BoundaryNoise(mean_dice, seed)
        elif mean_dice is None and alpha is not None and beta is not None:
            noise = LabelNoise(alpha, beta, seed, **given)
        else:
            others = "".join(f", {key}={value}" for key, value in given.items())
            raise ValueError(
                "Expected either --alpha and --beta, which --kinds, --mode and --max-angle go "
                f"with, or --mean-dice alone. Received: alpha={alpha}, beta={beta}, "
                f"mean_dice={mean_dice}{others}."
            )
        mine = Part.parse(part)
        if cluster is not None:
            ClusterFile.named(cluster)
            home = writable_home(Dataset.open(dataset), output)  # before many would make it
            done_on(cluster, part, home, [dataset], progress)
        folder = simulate_dataset(
            dataset,
            noise,
            name,
            annotator,
            progress,
            workers,
            output=output,
            split=split,
            part=mine,
        )
        if not (folder / "noise.jsonl").is_file():
            tell({"part": str(mine), "folder": folder}, f"Part {mine} is in {folder}")
            hint("The annotator is in the dataset once all parts are there.")
            return
        log = read_log(folder / "noise.jsonl")
        names = Dataset.open(dataset).class_names
    noisy = [line for line in log if line.kind != "clean"]
    unchanged = sum(bool(line.note) for line in noisy)
    reached = {class_title(label, names): dice for label, dice in mean_dice_per_label(log).items()}
    facts = {"annotator": folder.name, "masks": len(log), "noisy": len(noisy), "folder": folder}
    lines = [f"Annotator {folder.name}: {len(noisy)} of {len(log)} masks are noisy, in {folder}"]
    lines += [
        f"Mean Dice against the clean masks, class {title}: {dice:.4f}"
        for title, dice in reached.items()
    ]
    if unchanged:
        lines.append(f"{unchanged} of them could not be changed in full; noise.jsonl says why.")
    tell({**facts, "mean_dice": reached, "changed_in_part": unchanged}, *lines)


def mix(
    dataset: DatasetFolder,
    annotator: Annotated[
        list[str], typer.Option(help="Name or pattern, such as 'crowd_*'; may be repeated.")
    ],
    name: Annotated[str, typer.Option(help="Name of the new one.")] = "mixed",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    output: NewFolder = None,
    workers: Processes = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a new annotator who has, for every image, the mask of one of several, drawn."""
    from keras_robust.annotators import mix_annotators

    with friendly_errors(continues=True), progress_bar("Mixing") as progress:
        folder = mix_annotators(
            dataset,
            annotator,
            name,
            seed=seed,
            output=output,
            progress=progress,
            workers=workers,
        )
    tell({"annotator": folder.name, "folder": folder}, f"Annotator {folder.name}: {folder}")


def plan(
    dataset: DatasetFolder,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for fingerprint.json and plan.json.")
    ] = Path("plan"),
    annotator: Annotated[str | None, typer.Option(help="Whose masks to look at.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Only this split; train where there is one.")
    ] = None,
    memory_gib: Annotated[
        float | None,
        typer.Option(help="Memory of the accelerator in GiB.", show_default="8; L: 24"),
    ] = None,
    preset: Annotated[str, typer.Option(help="plain, or a residual encoder: M or L.")] = "plain",
    workers: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan spacing, patch, network and batch size for a dataset by nnU-Net's rules."""
    from keras_robust.annotators import clean_annotator
    from keras_robust.data import Dataset
    from keras_robust.planning.plan_files import planned_beside, write_plan_of

    with friendly_errors(), progress_bar("Looking at images") as progress:
        whole = Dataset.open(dataset)
        chosen = whole.select(annotator=annotator or clean_annotator(whole))
        split = split or ("train" if "train" in chosen.splits else None)
        made = write_plan_of(
            chosen.select(split=split),
            output,
            progress,
            workers,
            memory_gib=memory_gib,
            preset=preset,
        )
    told = all(case.spacing for case in chosen)
    unit = "mm" if told else "px (the dataset does not tell the spacing of every image)"
    facts = {"plan": output / "plan.json", "spacing": made.spacing_mm, "unit": unit[:2]}
    others = planned_beside(output)
    facts["configurations"] = [made.configuration, *others]
    names = ("patch_size", "batch_size", "encoder", "features")
    tell(
        facts | {name: getattr(made, name) for name in names},
        f"Spacing: {' x '.join(f'{value:.4g}' for value in made.spacing_mm)} {unit}",
        f"Patch: {' x '.join(map(str, made.patch_size))}, batches of {made.batch_size}",
        f"Network: {made.encoder}, features {', '.join(map(str, made.features))}",
        *([f"Also planned (--configuration): {', '.join(others)}"] if others else []),
        f"Plan: {output / 'plan.json'}",
    )
    next_step("train", dataset, "--set", f"plan.folder={output}")


def preprocess(
    dataset: DatasetFolder,
    plan: Annotated[Path, typer.Option(help="Folder with plan.json; cases/ goes there.")] = Path(
        "plan"
    ),
    annotator: Annotated[str | None, typer.Option(help="Whose masks.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Only this split.", show_default="all but test")
    ] = None,
    configuration: Configuration = None,
    part: PartOf = None,
    cluster: Cluster = None,
    workers: Processes = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Crop, normalise and resample the cases of a dataset by its plan; the same again continues."""
    from keras_robust.annotators import clean_annotator
    from keras_robust.data import Dataset, Part
    from keras_robust.planning.plan_files import cases_folder, load_configuration
    from keras_robust.planning.preprocessing import preprocess as prepare

    with friendly_errors(continues=True), progress_bar("Preprocessing") as progress:
        whole = Dataset.open(dataset)
        chosen = whole.select(annotator=annotator or clean_annotator(whole))
        if split is None:
            # Test images are preprocessed when they are predicted.
            chosen = chosen.select(ids=[case.id for case in chosen if case.split != "test"])
        else:
            chosen = chosen.select(split=split)
        done_on(cluster, part, plan, [dataset], progress)
        ids = [case.id for case in chosen]
        chosen = chosen.select(ids=Part.parse(part).of(ids))
        made, found = load_configuration(plan, configuration)
        folder = cases_folder(plan, made)
        cases = prepare(chosen, made, found, folder, progress, workers)
    tell({"cases": len(cases), "folder": folder}, f"{len(cases)} cases: {folder}")
    if part is None:
        chosen_by_name = () if configuration is None else ("--configuration", configuration)
        next_step("train", dataset, *chosen_by_name, "--set", f"plan.folder={plan}")
