"""How far the annotators of a dataset agree: every pair of masks of every image."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_robust.annotators import match_annotators
from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.common.workers import run_jobs
from keras_robust.data import Case, Dataset
from keras_robust.data.layouts.labels import class_name
from keras_robust.metrics.agreement import (
    PairAgreement,
    bootstrap_interval,
    cohen_kappa,
    fleiss_kappa,
    pair_agreement,
    rating_counts,
)

__all__ = ["Agreement", "measure_agreement"]

MEASURES = ("dice", "surface", "volume_difference", "absolute_volume_difference")
MARKS = ("id", "annotator_a", "annotator_b", "group_a", "group_b")


@dataclass(frozen=True)
class Agreement:
    """Agreement of the annotators of a dataset.

    Attributes:
        dataset: The dataset.
        groups: Annotators by the pattern that selected them.
        rows: One row per image, pair of its annotators and label: `id`, `annotator_a`,
            `annotator_b`, their groups, `label`, its `name`, `dice`, `surface`,
            `volume_a`, `volume_b`, `volume_difference`; `nan` as in `PairAgreement`.
        scores: One row per image and pair: means over labels.
        confusions: Confusion counts of each row of `scores`, (rows, classes, classes).
        drawn: Ids of all images with a mask of the chosen annotators, and how many they have.
        unit: "mm", or "pixels" where an image has no spacing.
        seed: Of the bootstrap.
    """

    dataset: Dataset
    groups: Mapping[str, tuple[str, ...]]
    rows: pd.DataFrame
    scores: pd.DataFrame
    confusions: NDArray[np.int64]
    drawn: Mapping[str, int]
    unit: str
    seed: int = 0

    @property
    def annotators(self) -> tuple[str, ...]:
        """All chosen ones, group by group."""
        return tuple(name for names in self.groups.values() for name in names)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair who have an image in common: see `summary`."""
        keys = self.scores.groupby(["annotator_a", "annotator_b"], sort=False).indices
        ordered = [
            pair
            for a, b in combinations(self.annotators, 2)
            if (pair := (a, b)) in keys or (pair := (b, a)) in keys
        ]
        rows = [
            {"annotator_a": a, "annotator_b": b, **self.summary(keys[a, b])} for a, b in ordered
        ]
        return pd.DataFrame(rows)

    @cached_property
    def between_groups(self) -> pd.DataFrame:
        """One row per group, or two of them, that have an image in common: see `summary`.

        With `fleiss_kappa` within a group.
        """
        names = list(self.groups)
        rows = []
        for first, second in ((a, b) for i, a in enumerate(names) for b in names[i:]):
            of_a, of_b = self.scores["group_a"], self.scores["group_b"]
            chosen = np.flatnonzero((of_a == first) & (of_b == second))
            if len(chosen):
                row = {"group_a": first, "group_b": second, **self.summary(chosen, pairs=True)}
                if first == second:
                    row |= self._fleiss(chosen)
                rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def overall(self) -> dict[str, float]:
        """`summary` of all pairs, with `fleiss_kappa`; `dice` is the label noise of the dataset."""
        every = np.arange(len(self.scores))
        return {**self.summary(every, pairs=True), **self._fleiss(every)}

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row per image with two annotators or more, least agreement first."""
        means = self.scores.groupby("id")[list(MEASURES)].mean()
        means.insert(0, "annotators", [self.drawn[str(id)] for id in means.index])
        return means.sort_values("dice", kind="stable").reset_index()

    @cached_property
    def with_others(self) -> pd.DataFrame:
        """Mean Dice of each annotator with the others, per image: `annotator`, `id`, `dice`."""
        sides = [
            self.scores[["id", side, "dice"]].rename(columns={side: "annotator"})
            for side in ("annotator_a", "annotator_b")
        ]
        return pd.concat(sides).groupby(["annotator", "id"], as_index=False)["dice"].mean()

    @cached_property
    def _units(self) -> dict[str, object]:
        """By id of an image what is drawn again with it: its group, else the image alone."""
        return {case.id: (case.group or case.id, bool(case.group)) for case in self.dataset}

    def summary(self, chosen: NDArray[np.intp], pairs: bool = False) -> dict[str, float]:
        """Means over images of some rows of `scores`, with bootstrap intervals over images.

        Images of one group, such as a patient, are drawn together. An image counts
        once, with the mean over its pairs.

        Args:
            chosen: Positions of the rows.
            pairs: Whether they are of several pairs, which have no Cohen's κ in common.

        Returns:
            `images`; per measure its mean, `_low` and `_high` (95 %), and for the surface distance
            how many images have one (`surface_images`); Cohen's κ of one pair.
        """
        rows = self.scores.iloc[chosen]
        of_image = rows.groupby("id", sort=True)[list(MEASURES)].mean()
        result: dict[str, float] = {"images": len(of_image)}
        if pairs:
            result["masks_compared"] = len(rows)
        for name in MEASURES:
            known = of_image[name].dropna()
            values, units = known.to_numpy(), [self._units[str(id)] for id in known.index]
            low, high = bootstrap_interval(values, groups=units, seed=self.seed)
            result[name] = float(values.mean()) if len(values) else float("nan")
            result |= {f"{name}_low": low, f"{name}_high": high}
        result["surface_images"] = int(of_image["surface"].notna().sum())
        if not pairs:
            tables, units = self.confusions[chosen], [self._units[id] for id in rows["id"]]
            low, high = bootstrap_interval(tables, cohen_kappa, groups=units, seed=self.seed)
            result["cohen_kappa"] = float(cohen_kappa(tables.sum(axis=0)))
            result |= {"cohen_kappa_low": low, "cohen_kappa_high": high}
        return result

    def _fleiss(self, chosen: NDArray[np.intp]) -> dict[str, float]:
        ids = self.scores["id"].to_numpy()[chosen]
        tables = np.array(
            [rating_counts(self.confusions[chosen[ids == id]]) for id in dict.fromkeys(ids)]
        )
        units = [self._units[id] for id in dict.fromkeys(ids)]
        low, high = bootstrap_interval(tables, fleiss_kappa, groups=units, seed=self.seed)
        kappa = float(fleiss_kappa(tables.sum(axis=0)))
        return {"fleiss_kappa": kappa, "fleiss_kappa_low": low, "fleiss_kappa_high": high}


def measure_agreement(
    dataset: Dataset | str | os.PathLike[str],
    annotators: Sequence[str] = (),
    *,
    split: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    workers: int = 1,
) -> Agreement:
    """Compare every pair of masks of every image.

    Annotators need not have drawn the same images: a pair is compared on those they share, an
    image counts once whatever the number of its annotators, and the tables give the counts.

    Args:
        dataset: A dataset, or its folder.
        annotators: Names or patterns such as "expert_*", each of which is a group; by default all
            who drew masks, in one group (see `keras_robust.annotators.match_annotators`).
        split: Only this split.
        seed: Of the bootstrap.
        progress: Called with the number of images done and of images in total.
        workers: Processes; 1 works in this one.

    Raises:
        FileNotFoundError, ValueError: No dataset, an unknown name, a mask that cannot be read, or
            masks of one image that differ in size.
        ValueError: No image has masks of two of the annotators.

    >>> import pathlib, tempfile
    >>> from keras_robust.data import sample
    >>> from keras_robust.annotators import simulate_dataset
    >>> from keras_robust.noise import LabelNoise
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "noisy"
    >>> noise = LabelNoise(alpha=1, beta=0.5)
    >>> _ = simulate_dataset(sample().root, noise, "noisy", output=folder)
    >>> found = measure_agreement(folder, ["isic_gt", "noisy"])
    >>> len(found.images), 0.6 < found.overall["dice"] < 0.9
    (80, True)
    """
    if not isinstance(dataset, Dataset):
        dataset = Dataset.open(dataset)
    groups = match_annotators(dataset, annotators)
    group_of = {name: group for group, names in groups.items() for name in names}
    order = {name: number for number, name in enumerate(group_of)}
    of_image: dict[str, list[Case]] = {}
    for case in dataset.select(split=split) if split is not None else dataset:
        if case.annotator in order:
            of_image.setdefault(case.id, []).append(case)
    drawn = {id: len(cases) for id, cases in of_image.items()}
    shared = {
        id: sorted(cases, key=lambda case: order[case.annotator])
        for id, cases in of_image.items()
        if len(cases) > 1
    }
    if not shared:
        raise invalid(
            "annotators",
            "two annotators or more with an image in common",
            said=f"{', '.join(order) or 'none'}, who have none",
            remedy="Choose others (--annotator NAME).",
        )
    unit = "mm" if all(cases[0].spacing for cases in shared.values()) else "pixels"
    jobs = [_Job(dataset, tuple(cases), unit == "mm") for cases in shared.values()]
    found: dict[str, list[tuple[str, str, PairAgreement]]] = {}
    if progress is not None:
        progress(0, len(jobs))
    for done, (id, pairs) in enumerate(run_jobs(jobs, workers), start=1):
        found[id] = pairs
        if progress is not None:
            progress(done, len(jobs))
    ordered = [
        ((id, a, b, group_of[a], group_of[b]), pair) for id in shared for a, b, pair in found[id]
    ]
    return Agreement(
        dataset,
        groups,
        pd.DataFrame(_rows(ordered, dataset.class_names)),
        pd.DataFrame(_scores(ordered)),
        np.stack([pair.confusion for _, pair in ordered]),
        drawn,
        unit,
        seed,
    )


@dataclass(frozen=True)
class _Job:
    """All pairs of one image."""

    dataset: Dataset
    cases: tuple[Case, ...]
    in_mm: bool

    def __call__(self) -> tuple[str, list[tuple[str, str, PairAgreement]]]:
        masks = [self.dataset.read_mask(case) for case in self.cases]
        spacing = self.cases[0].spacing if self.in_mm else None
        options = {"classes": self.dataset.classes, "ignore_label": self.dataset.ignore_label}
        found = []
        for i, j in combinations(range(len(masks)), 2):
            a, b = self.cases[i], self.cases[j]
            if masks[i].shape != masks[j].shape:
                raise ValueError(
                    f"Invalid masks of image {a.id!r}. Expected one size. Received: "
                    f"{masks[i].shape} by {a.annotator!r}, {masks[j].shape} by {b.annotator!r}. "
                    "`keras-robust verify` lists all such masks."
                )
            steps = spacing or (1.0,) * masks[i].ndim
            pair = pair_agreement(masks[i], masks[j], steps, **options)  # type: ignore[arg-type]
            found.append((a.annotator, b.annotator, pair))
        return self.cases[0].id, found


Marked = tuple[tuple[str, str, str, str, str], PairAgreement]


def _rows(ordered: Iterable[Marked], names: Sequence[str]) -> Iterable[dict[str, object]]:
    for marks, pair in ordered:
        for index, dice in enumerate(pair.dice):
            yield {
                **dict(zip(MARKS, marks, strict=True)),
                "label": index + 1,
                "name": class_name(index + 1, names),
                "dice": dice,
                "surface": pair.surface_mm[index],
                "volume_a": pair.volume_a[index],
                "volume_b": pair.volume_b[index],
                "volume_difference": pair.volume_difference[index],
            }


def _scores(ordered: Iterable[Marked]) -> Iterable[dict[str, object]]:
    for marks, pair in ordered:
        difference = pair.volume_difference
        yield {
            **dict(zip(MARKS, marks, strict=True)),
            "dice": pair.mean_dice,
            "surface": _mean(pair.surface_mm),
            "volume_difference": _mean(difference, otherwise=0.0),
            "absolute_volume_difference": _mean(np.abs(difference), otherwise=0.0),
        }


def _mean(values: NDArray[np.float64], otherwise: float = float("nan")) -> float:
    """Over the labels that have a value; `otherwise` where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else otherwise
