"""Measures of predictions against the masks of a dataset, on the grid of the stored images or on
that of training."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from keras_robust.annotators import clean_annotator
from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.common.tables import write_csv
from keras_robust.data import (
    Case,
    Dataset,
    image_shape,
    mask_suffix,
    read_header,
    read_mask,
)
from keras_robust.data.files.grid import check_prediction, listed_size
from keras_robust.data.files.names import picture_path
from keras_robust.data.files.volume_header import is_volume
from keras_robust.data.layouts.labels import class_name
from keras_robust.inference.ensemble import Predicts
from keras_robust.inference.given import is_masks
from keras_robust.inference.label_scores import LabelScores, label_scores, reliabilities
from keras_robust.inference.masks import MaskRule
from keras_robust.metrics import Reliability, dice, pooled_dice

GRIDS = ("stored", "trained")
# Its labels, and the probabilities where a model predicts.
Prediction = tuple[Case, NDArray[np.uint8], NDArray[np.float32] | None]


@dataclass(frozen=True)
class Evaluation:
    """Dice of a set of predictions.

    Args:
        per_image: Dice by id, the mean over foreground classes where there are several.
        pooled: Dice of all images taken as one.
        rows: All measures by image and class or region, where they were asked for.
        reliabilities: Confidence and correctness by class or region over all images, where they
            were asked for and the predictions are those of a model.
        groups: Of the images that the dataset gives one, such as a patient, by id.
        unit: Of the distances in `rows`: "mm", or "px" where the dataset does not tell the spacing
            of every image.
        class_names: Of the dataset, as `Dataset.class_names`.
        size: To which images and masks were resized; `None` for none, the grid of the stored ones.
        largest: Groups of labels of which only the largest part was kept; see `choose_best`.
    """

    per_image: dict[str, float]
    pooled: float
    rows: tuple[LabelScores, ...] = field(default=(), repr=False, compare=False)
    reliabilities: Mapping[str, Reliability] = field(
        default_factory=dict, repr=False, compare=False
    )
    groups: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    unit: str = "px"
    class_names: tuple[str, ...] = ()
    size: tuple[int, ...] | None = None
    largest: tuple[tuple[int, ...], ...] = ()

    @property
    def mean(self) -> float:
        """Mean over images: what `dice_test` of a run is, on its grid."""
        return float(np.mean(list(self.per_image.values())))

    @property
    def std(self) -> float:
        """Standard deviation over images."""
        return float(np.std(list(self.per_image.values())))

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """Means over images of the measures of `LabelScores`, by class or region; distances with
        their unit, as `asd_mm`.

        Infinite distances, of what is in one of the two masks only, are left out: read a mean
        beside `missed`. So is a measure without any finite value.
        """
        measures = _columns(self.unit)[3:]
        found: dict[str, dict[str, float]] = {}
        for label, rows in self._by_label().items():
            measured = [astuple(row)[3:] for row in rows]
            values = dict(zip(measures, zip(*measured, strict=True), strict=True))
            finite = {name: [v for v in of if math.isfinite(v)] for name, of in values.items()}
            found[label] = {name: float(np.mean(of)) for name, of in finite.items() if of}
        return found

    @property
    def missed(self) -> dict[str, int]:
        """Number of images in which a class or region is in one of the two masks only."""
        return {
            label: sum(math.isinf(row.asd) for row in rows)
            for label, rows in self._by_label().items()
        }

    def name(self, label: str) -> str:
        """Name of a class by its number; "" for one without, and for a region."""
        return class_name(label, self.class_names)

    def _by_label(self) -> dict[str, list[LabelScores]]:
        found: dict[str, list[LabelScores]] = {}
        for row in self.rows:
            found.setdefault(row.label, []).append(row)
        return found

    def write_csv(self, path: str | Path) -> Path:
        """Write `id, dice`, one row per image."""
        rows = ({"id": id, "dice": dice} for id, dice in self.per_image.items())
        return write_csv(path, ["id", "dice"], rows)

    def write_rows(self, path: str | Path) -> Path:
        """Write `id, label, name, dice, asd_mm, surface_dice, hd95_mm, ece` (`asd_px`, `hd95_px`
        where `unit` says so), one row per image and class or region; before the label, the
        `group`, where the dataset has groups."""
        columns = _columns(self.unit)
        rows = [dict(zip(columns, astuple(row), strict=True)) for row in self.rows]
        if self.groups:
            columns.insert(1, "group")
            rows = [row | {"group": self.groups.get(row["id"], "")} for row in rows]
        write_csv(Path(path), columns, rows)
        return Path(path)

    def write_reliability(self, path: str | Path) -> Path:
        """Write `label, name, bin, count, total_confidence, correct` of all images together."""
        columns = ("label", "name", "bin", "count", "total_confidence", "correct")
        rows = [
            dict(zip(columns, (label, self.name(label), number, *values), strict=True))
            for label, found in self.reliabilities.items()
            for number, values in enumerate(
                zip(found.count, found.total_confidence, found.correct, strict=True)
            )
        ]
        write_csv(Path(path), columns, rows)
        return Path(path)


def evaluate(
    predictions: str | Path | Sequence[str | Path] | Predicts,
    dataset: str | Path | Dataset,
    *,
    annotator: str | None = None,
    split: str | None = None,
    normalize: str | None = None,
    peers: str = "mean",
    mirror: bool = True,
    grid: str = "stored",
    detailed: bool = False,
    tolerance: float = 1.0,
    postprocess: bool = True,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run, or masks on disk, against the masks of one annotator.

    Masks are compared on the grid in which they are stored. There the figures of a run on whole
    images differ from its `dice_test`, which is taken at the size it was trained at: `grid` gives
    the figures of that. Runs by a plan are scored on the stored grid from the beginning.

    Args:
        predictions: Run folder, `.keras` file, several of these, see `Ensemble`, a folder in which
            `choose_best` left its choice, or a predictor; or a folder of masks `<id>.png` (of
            volumes `<id>.nii.gz`), such as nnU-Net's, also `<id>.nii`, `<id>.tif` or `<id>.bmp`.
        dataset: Folder or `keras_robust.data.Dataset`.
        annotator: Whose masks; `None` for the only one that is not simulated.
        split: Only this split; `None` for all cases.
        normalize, peers, mirror: See `load_predictor`.
        grid: `"stored"`, or `"trained"` for the size to which a run on whole images resizes images
            and masks.
        detailed: Also take the surface measures and the calibration of each class, and of each
            region that `dataset.json` names: `Evaluation.rows` and `reliabilities`.
        tolerance: Of the surface Dice, in mm; in pixels where the dataset does not tell the
            spacing of every image.
        postprocess: Keep only the largest part of labels where `predict` does; on the grid of
            training never, as `dice_test` is taken without.
        progress: Called as `progress(done, total)`.

    Raises:
        FileNotFoundError: A prediction is missing.
        ValueError: There is more than one annotator to choose from, or no mask; or a prediction
            has another size than its mask, or is a volume that does not lie where its mask lies.
    """
    if grid not in GRIDS:
        raise invalid("grid", f"one of {GRIDS}", grid)
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = dataset.select(annotator=annotator or _only_drawn(dataset), split=split)
    if not len(chosen):
        raise invalid(
            "split",
            f"a split with masks of the annotator: {', '.join(dataset.splits) or 'there is none'}",
            split,
        )
    unit = "mm" if all(case.spacing for case in chosen) else "px"
    options: dict[str, Any] = {"classes": dataset.classes, "ignore_label": dataset.ignore_label}
    rule = MaskRule()
    if isinstance(predictions, str | Path) and is_masks(Path(predictions)):
        size = None if grid == "stored" else _refuse_grid("masks on disk, compared as stored")
        predicted = _read(Path(predictions), chosen, progress)
    else:
        from keras_robust.inference.predict import as_predictor

        predictor = as_predictor(predictions, normalize, peers=peers, mirror=mirror)
        size = None if grid == "stored" else _trained_size(predictor)
        rule = MaskRule.of(predictions, predictor.regions, postprocess and size is None)
        predicted = _predict(predictor, rule, chosen, size is not None, progress)
    scores: dict[str, float] = {}
    details = _Details(dataset, size, unit, tolerance)

    def pairs() -> Iterator[tuple[NDArray, NDArray]]:
        for case, labels, probabilities in predicted:
            mask = dataset.read_mask(case, size)
            scores[case.id] = float(np.mean(dice(labels, mask, **options)))
            if detailed:
                details.add(case, labels, mask, probabilities)
            yield labels, mask

    # Consumed in step, so that one pair of masks is in memory at a time.
    first, second = itertools.tee(pairs())
    ours, theirs = (pair[0] for pair in first), (pair[1] for pair in second)
    pooled = float(np.mean(pooled_dice(ours, theirs, **options)))
    groups = {case.id: case.group for case in chosen if case.group}
    return Evaluation(
        scores,
        pooled,
        tuple(details.rows),
        details.bins,
        groups,
        unit,
        dataset.class_names,
        size,
        rule.largest,
    )


def _columns(unit: str) -> list[str]:
    """Those of `LabelScores`, with the unit of distances."""
    names = (column.name for column in fields(LabelScores))
    return [f"{name}_{unit}" if name in ("asd", "hd95") else name for name in names]


@dataclass
class _Details:
    """Further measures of masks, as they come."""

    dataset: Dataset
    size: tuple[int, ...] | None
    unit: str
    tolerance: float
    rows: list[LabelScores] = field(default_factory=list)
    bins: dict[str, Reliability] = field(default_factory=dict)

    def add(self, case: Case, labels: NDArray, mask: NDArray, probabilities: NDArray | None):
        ignored: dict[str, Any] = {"ignore_label": self.dataset.ignore_label}
        regions, found = self.dataset.regions, None
        if probabilities is not None:
            found = reliabilities(probabilities, mask, regions=regions, **ignored)
            for label, one in found.items():
                self.bins[label] = self.bins[label] + one if label in self.bins else one
        self.rows += label_scores(
            case.id,
            labels,
            mask,
            _spacing(case, self.size) if self.unit == "mm" else None,
            classes=self.dataset.classes,
            regions=regions,
            tolerance=self.tolerance,
            class_names=self.dataset.class_names,
            reliabilities=found,
            **ignored,
        )


def _trained_size(predictor: Predicts) -> tuple[int, ...]:
    from keras_robust.inference.predict import Predictor

    if isinstance(predictor, Predictor):
        return predictor.size
    _refuse_grid("a run by a plan or several runs, scored as stored")


def _refuse_grid(received: str) -> NoReturn:
    raise invalid(
        "grid",
        "'trained' with one run on whole images",
        said=f"grid='trained' with {received}",
        remedy="Leave it out.",
    )


def _spacing(case: Case, size: tuple[int, ...] | None) -> tuple[float, ...] | None:
    """Of a case on the grid of `size`, which covers the same space."""
    if case.spacing is None or size is None:
        return case.spacing
    old = image_shape(case.image)
    return tuple(s * n / m for s, n, m in zip(case.spacing, old, size, strict=True))


def _predict(
    predictor: Predicts,
    rule: MaskRule,
    dataset: Dataset,
    resized: bool,
    progress: Progress | None,
) -> Iterator[Prediction]:
    cases = predictor.resized_cases if resized else predictor.cases  # type: ignore[attr-defined]
    for case, probabilities in cases(dataset, progress):
        yield case, rule(probabilities), probabilities


def _read(path: Path, dataset: Dataset, progress: Progress | None) -> Iterator[Prediction]:
    files = {case.id: _file_of(path, case) for case in dataset}
    missing = [id for id, file in files.items() if not file.is_file()]
    if missing:
        raise invalid(
            "predictions",
            (
                "a run folder, or a mask <id>.png (<id>.nii.gz of volumes) for each of "
                f"the {len(dataset)} cases"
            ),
            said=(
                f"predictions={str(path)!r} without {len(missing)} of them, such as {missing[0]!r}"
            ),
            remedy="Choose `split` if only one was predicted.",
            kind=FileNotFoundError,
        )
    for number, case in enumerate(dataset, start=1):
        yield case, read_prediction(path, case, dataset.classes), None
        if progress:
            progress(number, len(dataset))


def _file_of(folder: Path, case: Case) -> Path:
    """The mask that is there for a case, as `predict` names it or, by the bare id, others do."""
    own = picture_path(folder, case.id, mask_suffix(case.image))
    endings = (".nii.gz", ".nii") if is_volume(case.image) else (".png", ".tif", ".bmp")
    named = (own, *(folder / f"{case.id}{ending}" for ending in endings))
    return next((file for file in named if file.is_file()), own)


def read_prediction(folder: Path, case: Case, classes: int) -> NDArray[np.uint8]:
    """The labels that were predicted for a case, on the grid of its mask.

    Raises:
        ValueError: They have another size, or lie elsewhere.
    """
    file = _file_of(folder, case)
    labels = read_mask(file, classes=classes)
    if case.mask is None:
        return labels
    volume = is_volume(case.mask)
    size = read_header(case.mask, channels=True).shape if volume else image_shape(case.mask)
    if labels.shape != size:
        raise invalid(
            "predictions",
            (f"masks of the size of the dataset's, {listed_size(size)} for {case.id!r}"),
            said=f"{str(file)!r} of {listed_size(labels.shape)}",
            remedy="Predict in the grid of the original images.",
        )
    check_prediction(case.mask, file)  # the image may be lost
    return labels


def _only_drawn(dataset: Dataset) -> str:
    name = clean_annotator(dataset)
    if name is None:
        raise invalid(
            "annotator",
            f"one of the dataset's annotators {dataset.annotators}",
            said="annotator=None",
            remedy="Name one (on the command line --annotator NAME).",
        )
    return name
