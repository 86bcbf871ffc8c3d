"""One training run: to train, to predict with it, to score it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_robust.cli.chatter import without_chatter
from keras_robust.cli.command import done_on, numbers_of_size, one_dataset
from keras_robust.cli.console import friendly_errors, next_step, progress_bar, tell
from keras_robust.cli.options import (
    Cluster,
    Configuration,
    DatasetFolder,
    Devices,
    Json,
    Mirror,
    Moved,
    Normalize,
    PartOf,
    Peers,
    Postprocess,
    Quiet,
    Size,
)

if TYPE_CHECKING:
    from keras_robust.training import TrainConfig


def train(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="Dataset folder; may be left out where the configuration names it."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration as YAML; all else overrides it.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Run folder.",
            show_default="runs/ and the name of CONFIG or the loss",
        ),
    ] = None,
    annotator: Annotated[str | None, typer.Option(help="Whose masks to train on.")] = None,
    clean_annotator: Annotated[
        str | None, typer.Option(help="Whose masks to measure Dice against.")
    ] = None,
    size: Size = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="A loss or a method, such as ce+dice, ngce+rce or t+dice-stocot.",
            show_default="t+dice",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.", show_default="100")] = None,
    steps_per_epoch: Annotated[
        int | None,
        typer.Option(
            help="Steps of an epoch, whatever the number of images.",
            show_default="a pass over the images, 10 at least; of volumes 250",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images per step.",
            show_default="16, of fewer than 160 images 8, 4 or 2; or planned",
        ),
    ] = None,
    configuration: Configuration = None,
    previous: Annotated[
        list[Path] | None,
        typer.Option(
            help="Of 3d_cascade_fullres: runs of 3d_lowres, of all folds, or their folder."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field, as noise.alpha=0.7 or loss_options.q=0.5."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUTPUT.")] = False,
    data: Moved = None,
    devices: Devices = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a U-Net on a dataset and leave a run folder; --resume continues after any stop.

    Volumes are trained in patches by a plan, made where none is named; images whole, at --size.
    """
    from keras_robust.cli.run_config import check_run, completed, run_config, runs_in, tested

    options: dict[str, Any] = {
        "data.annotator": annotator,
        "data.clean_annotator": clean_annotator,
        "loss": loss,
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch_size": batch_size,
        "plan.configuration": configuration,
        "seed": seed,
    }
    with friendly_errors(), without_chatter():
        options["data.path"] = one_dataset(dataset, data)
        options["data.size"] = numbers_of_size(size)
        options["plan.previous"] = previous and runs_in(previous)
        chosen, folder = run_config(config, output, options, set_ or [], resume)
        chosen = tested(chosen)
        check_run(chosen, folder, resume)
        chosen = completed(chosen, folder / "plan", configuration)
        from keras_robust.cli.training_view import training_view
        from keras_robust.training import DivergenceError, train

        try:
            with training_view(chosen) as view:
                run = train(chosen, folder, resume, view, across_machines=True)
        except DivergenceError as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt:
            typer.secho("Interrupted.", err=True, fg="yellow")
            next_step("train", "--output", folder, "--resume")
            raise typer.Exit(130) from None
    lines = [f"{name}: {value:.4f}" for name, value in run.results.items()]
    if message := run.info.get("message"):
        lines.append(message)
    if "dice_test" in run.results:
        lines.append(_grid_of(chosen))
    tell({"run": folder, **run.results}, *lines, f"Run: {folder}")
    next_step("predict", chosen.data.path, folder, "--output", f"{folder}-masks")


def _grid_of(config: "TrainConfig") -> str:
    """On which grid the Dice of a run is measured, and how to measure there again.

    >>> from keras_robust.training import TrainConfig
    >>> _grid_of(TrainConfig(data={"path": "lesions", "size": (48, 64)}))[:29]
    'Dice at 48 x 64, as trained, '
    """
    from keras_robust.data.files.grid import listed_size

    if config.plan is not None:
        return "Dice of images and masks as stored, as `keras-robust evaluate` takes it."
    last = min(config.evaluate_last, config.epochs)
    return (
        f"Dice at {listed_size(config.data.size)}, as trained, mean of the last {last} epoch(s); "
        "`keras-robust evaluate --grid trained` takes it there, for the last epoch alone."
    )


def predict(
    dataset: DatasetFolder,
    models: Annotated[
        list[Path],
        typer.Argument(
            help="Run folder or .keras file; of several the mean, such as all folds; or the folder "
            "of a choice."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the masks.")],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write probabilities (0..255) as well.")
    ] = False,
    normalize: Normalize = None,
    peers: Peers = "mean",
    mirror: Mirror = True,
    part: PartOf = None,
    cluster: Cluster = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also write masks that are there.")
    ] = False,
    devices: Devices = None,
    postprocess: Postprocess = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a mask for every image of a dataset, in the image's own grid; the same continues."""
    from keras_robust.data import Dataset, Part
    from keras_robust.inference.given import dataset_first, require_model, require_options

    with friendly_errors(), without_chatter(), progress_bar("Predicting") as progress:
        dataset, models = dataset_first(dataset, models)
        mine, opened = Part.parse(part), Dataset.open(dataset)
        opened.select(split=split)  # what is wrong is said before Keras is imported
        require_options(normalize, peers)
        for model in models:
            require_model(model)
        done_on(cluster, part, output, [opened.root, *models], progress, gpu=True)
        from keras_robust.inference.predict import predict as write_masks

        write_masks(
            models,
            opened,
            output,
            split=split,
            probabilities=probabilities,
            normalize=normalize,
            peers=peers,
            mirror=mirror,
            part=mine,
            overwrite=overwrite and cluster is None,
            postprocess=postprocess,
            progress=progress,
        )
    tell({"masks": output}, f"Masks: {output}")
    if opened.annotators and mine.count == 1:
        next_step("evaluate", dataset, *models)


def evaluate(
    dataset: DatasetFolder,
    predictions: Annotated[
        list[Path],
        typer.Argument(
            help="Run folder or .keras file, of several the mean; or a folder of masks ID.png."
        ),
    ],
    annotator: Annotated[
        str | None, typer.Option(help="Whose masks are right; needed where there are several.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Only this split; '' for all cases.",
            show_default="test, or without one what the run held out",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the Dice of each image, CSV.")
    ] = None,
    details: Annotated[
        Path | None,
        typer.Option(
            help="Write Dice, surface distances and calibration of each class and region, CSV."
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Of the surface Dice, in mm (in pixels where there is no spacing)."
        ),
    ] = 1.0,
    grid: Annotated[
        str,
        typer.Option(
            help="Where to compare: stored, on the grid of the stored masks; or trained, at the "
            "size of the run, where its own dice_test is taken."
        ),
    ] = "stored",
    normalize: Normalize = None,
    peers: Peers = "mean",
    mirror: Mirror = True,
    postprocess: Postprocess = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Dice and more of runs, or of masks on disk, against the masks of a dataset."""
    from keras_robust.data import Dataset
    from keras_robust.inference.given import (
        cases_to_score,
        dataset_first,
        is_masks,
        require_model,
        require_options,
    )

    with friendly_errors(), without_chatter(), progress_bar("Evaluating") as progress:
        dataset, predictions = dataset_first(dataset, predictions)
        opened = Dataset.open(dataset)
        require_options(normalize, peers)
        for path in predictions:
            if len(predictions) > 1 or not is_masks(path):
                require_model(path)
        on = ""
        if split is None:
            opened, on = cases_to_score(opened, predictions)
        from keras_robust import inference
        from keras_robust.data.layouts.labels import class_title
        from keras_robust.inference.chosen import kept_parts

        result = inference.evaluate(
            predictions[0] if len(predictions) == 1 else predictions,
            opened,
            annotator=annotator,
            split=split or None,
            normalize=normalize,
            peers=peers,
            mirror=mirror,
            grid=grid,
            detailed=details is not None,
            tolerance=tolerance,
            postprocess=postprocess,
            progress=progress,
        )
        if output is not None:
            result.write_csv(output)
        if details is not None:
            result.write_rows(details)
    from keras_robust.data.files.grid import listed_size

    where = "as stored" if result.size is None else f"at {listed_size(result.size)}, as trained"
    lines = [
        f"Images and masks {where}. {on}".rstrip(),
        *([kept_parts(result.largest)] if result.largest else []),
        f"Dice, mean over {len(result.per_image)} images: {result.mean:.4f}",
        f"Standard deviation over images: {result.std:.4f}",
        f"Dice, pooled: {result.pooled:.4f}",
    ]
    for label, means in result.means.items():
        parts = [f"{name} {value:.4f}" for name, value in means.items()]
        if missed := result.missed[label]:
            parts.append(f"missed {missed} (in one mask only; distances leave them out)")
        lines.append(f"{class_title(label, result.class_names)}: {', '.join(parts)}")
    if result.rows and result.unit == "px":
        lines.append("Distances are in pixels (px): the dataset does not tell the spacing.")
    facts: dict[str, Any] = {"images": len(result.per_image), "size": result.size}
    facts["keep_largest"] = result.largest
    facts |= {"dice": result.mean, "dice_std": result.std, "dice_pooled": result.pooled}
    if result.rows:
        facts["unit"] = result.unit
        facts["classes"] = {
            class_title(label, result.class_names): {**means, "missed": result.missed[label]}
            for label, means in result.means.items()
        }
    tell({**facts, "dice_of_image": dict(result.per_image)}, *lines)
