"""All measures of a run on the cases that it did not train on."""

from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.inference.evaluate import Evaluation, evaluate
from keras_robust.training.choosing import choose_annotators, chosen_cases
from keras_robust.training.records.finished import EVALUATION, RELIABILITY, SCORED_LARGEST
from keras_robust.training.records.inputs import dataset_of, require_same_cases
from keras_robust.training.run import Run

__all__ = ["evaluate_run"]


def evaluate_run(
    folder: str | Path,
    *,
    peers: str = "mean",
    mirror: bool = True,
    tolerance: float = 1.0,
    table: str = EVALUATION,
    postprocess: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run on its own fold, or else its test split, and leave the figures in its folder.

    Predictions are made anew with the weights of the newest checkpoint, in the grid of the
    original images, and compared with the masks of the run's `clean_annotator`.

    Args:
        folder: Of the run. It gets `evaluation.csv` (`Evaluation.write_rows`) and
            `reliability.csv` (`Evaluation.write_reliability`), whose lengths and hashes are added
            to `run.json`.
        peers, mirror: See `load_predictor`.
        tolerance: Of the surface Dice; see `evaluate`.
        table: Name of another file for the rows; the reliability is not written then.
        postprocess: See `evaluate`; what was kept is noted in `run.json` as `scored_largest`.
        progress: Called with (images done, total).

    Raises:
        FileNotFoundError: No run, or one without a checkpoint.
        ValueError: The run held no cases out; its dataset cannot be opened, or the cases are others
            than when it was trained.
    """
    run = Run(folder)
    if run.status == "absent":
        raise invalid("folder", "a run folder (with run.json)", str(folder), kind=FileNotFoundError)
    options = run.config.data
    dataset = dataset_of(run.folder, options.path)
    annotator, clean_annotator = choose_annotators(dataset, options)
    _, held_out = chosen_cases(dataset, options, annotator, clean_annotator)
    if held_out is None:
        raise invalid(
            "folder",
            "a run with a test split or a fold",
            said=f"folder={str(folder)!r} without either",
            remedy="Score it on another data set with `keras_robust.inference.evaluate`.",
        )
    require_same_cases(run.folder, held_out, options.path)
    result = evaluate(
        run.folder,
        held_out,
        annotator=clean_annotator,
        peers=peers,
        mirror=mirror,
        detailed=True,
        tolerance=tolerance,
        postprocess=postprocess,
        progress=progress,
    )
    result.write_rows(run.folder / table)
    if table == EVALUATION:
        result.write_reliability(run.folder / RELIABILITY)
    run.record(table, RELIABILITY, **{SCORED_LARGEST: [list(group) for group in result.largest]})
    return result
