"""Dice of predictions against the masks of a dataset, in the size of the original images."""

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.data import (
    Case,
    Dataset,
    clean_annotator,
    mask_suffix,
    read_header,
    read_mask,
)
from keras_robust.data.geometry import geometry_problem
from keras_robust.data.volume_header import is_volume
from keras_robust.files import atomic_write_text
from keras_robust.metrics import dice, pooled_dice
from keras_robust.training.names import picture_path

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """Dice of a set of predictions.

    Args:
        per_image: Dice by id, the mean over foreground classes where there are several.
        pooled: Dice of all images taken as one.
    """

    per_image: dict[str, float]
    pooled: float

    @property
    def mean(self) -> float:
        """Mean over images: what `dice_test` of a run is."""
        return float(np.mean(list(self.per_image.values())))

    @property
    def std(self) -> float:
        """Standard deviation over images."""
        return float(np.std(list(self.per_image.values())))

    def write_csv(self, path: str | Path) -> Path:
        """Write `id, dice`, one row per image."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["id", "dice"])
        writer.writerows(self.per_image.items())
        return atomic_write_text(path, buffer.getvalue())


def evaluate(
    predictions: str | Path,
    dataset: str | Path | Dataset,
    *,
    annotator: str | None = None,
    split: str | None = None,
    normalize: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run, or masks on disk, against the masks of one annotator.

    Masks are compared in their own size, so that the figures of a run differ a little from its
    `dice_test`, which is taken at the size it was trained at.

    Args:
        predictions: Run folder, `.keras` file, or folder of masks `<id>.png` (of volumes
            `<id>.nii.gz`).
        dataset: Folder or `keras_robust.data.Dataset`.
        annotator: Whose masks; `None` for the only one that is not simulated.
        split: Only this split; `None` for all cases.
        normalize: What the model in a `.keras` file expects; see `Predictor.load`.
        progress: Called as `progress(done, total)`.

    Raises:
        FileNotFoundError: A prediction is missing.
        ValueError: There is more than one annotator to choose from, or no mask; or a predicted
            volume does not lie where its mask lies.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = dataset.select(annotator=annotator or _only_drawn(dataset), split=split)
    if not len(chosen):
        raise ValueError(
            "Invalid value for argument `split`. Expected a split with masks of the annotator. "
            f"Received: split={split!r}"
        )
    scores: dict[str, float] = {}
    options = {"classes": dataset.classes, "ignore_label": dataset.ignore_label}

    def pairs() -> Iterator[tuple[NDArray, NDArray]]:
        for case, labels in _predicted(Path(predictions), chosen, normalize, progress):
            mask = dataset.read_mask(case)
            scores[case.id] = float(np.mean(dice(labels, mask, **options)))  # type: ignore[arg-type]
            yield labels, mask

    # Consumed in step, so that one pair of masks is in memory at a time.
    first, second = itertools.tee(pairs())
    predicted, true = (pair[0] for pair in first), (pair[1] for pair in second)
    pooled = float(np.mean(pooled_dice(predicted, true, **options)))  # type: ignore[arg-type]
    return Evaluation(scores, pooled)


def _predicted(
    path: Path, dataset: Dataset, normalize: str | None, progress: Progress | None
) -> Iterator[tuple[Case, NDArray]]:
    if (path / "run.json").is_file() or path.suffix == ".keras":
        from keras_robust.inference.predict import Predictor, labels_of

        for case, probabilities in Predictor.load(path, normalize).cases(dataset, progress):
            yield case, labels_of(probabilities)
        return
    files = {case.id: picture_path(path, case.id, mask_suffix(case.image)) for case in dataset}
    missing = [id for id, file in files.items() if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Invalid value for argument `predictions`. Expected a run folder, or a mask <id>.png "
            f"(<id>.nii.gz of volumes) for each of the {len(dataset)} cases. Received: "
            f"predictions={str(path)!r} without {len(missing)} of them, such as {missing[0]!r}. "
            "Choose `split` if only one was predicted."
        )
    for number, case in enumerate(dataset, start=1):
        yield case, _read_prediction(files[case.id], case, dataset.classes)
        if progress:
            progress(number, len(dataset))


def _read_prediction(file: Path, case: Case, classes: int) -> NDArray:
    labels = read_mask(file, classes=classes)
    if case.mask is not None and is_volume(case.mask):
        mask, found = read_header(case.mask), read_header(file)
        problem = geometry_problem(mask, found) if mask.shape == found.shape else None
        if problem:
            raise ValueError(
                "Invalid value for argument `predictions`. Expected volumes that lie where the "
                f"masks lie. Received: {str(file)!r}, which differs in {problem[0]}. {problem[1]}"
            )
    return labels


def _only_drawn(dataset: Dataset) -> str:
    name = clean_annotator(dataset)
    if name is None:
        raise ValueError(
            "Invalid value for argument `annotator`. Expected one of the dataset's annotators "
            f"{dataset.annotators}. Received: annotator=None. Name one (on the command line "
            "--annotator NAME)."
        )
    return name
