"""The best of several configurations, or pair of them, and what of its predictions is kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from os.path import relpath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json
from keras_robust.common.progress import Progress
from keras_robust.data import Dataset
from keras_robust.data.regions import Regions
from keras_robust.inference.chosen import CHOICE, POSTPROCESSING
from keras_robust.inference.evaluate import read_prediction
from keras_robust.planning.components import Components, choose_components, dice_of_groups
from keras_robust.planning.plan import CONFIGURATIONS
from keras_robust.training.choosing import choose_annotators, choose_fold
from keras_robust.training.records.identity import identity
from keras_robust.training.records.inputs import dataset_of
from keras_robust.training.run import Run

__all__ = ["Choice", "choose_best"]


@dataclass(frozen=True)
class Choice:
    """What a cross-validation chose.

    Args:
        best: Names of the configuration, or of the two whose probabilities are averaged.
        runs: Their runs, of all folds.
        dice: Mean Dice on what was held out, over classes or regions, by name, of a pair joined by
            "+".
        components: Of which labels only the largest part is kept.
    """

    best: tuple[str, ...]
    runs: tuple[Path, ...]
    dice: Mapping[str, float]
    components: Components


@dataclass(frozen=True)
class _Candidate:
    """The runs of one configuration, by fold."""

    name: str
    runs: Mapping[tuple[int, int], Run]

    @property
    def regions(self) -> Regions:
        planned = next(iter(self.runs.values())).plan
        return planned[0].regions if planned else ()


def choose_best(
    runs: Sequence[str | Path],
    folder: str | Path,
    *,
    ensembles: bool = True,
    mirror: bool = True,
    progress: Progress | None = None,
) -> Choice:
    """Choose by cross-validation among configurations and pairs of them, as nnU-Net does, and
    decide which parts of the predictions of the chosen are kept.

    What each run held out is predicted, and compared with the masks of the annotator whom it was
    trained on. Of equal ones a single configuration is chosen before a pair.

    Args:
        runs: Run folders, each of a fold; those that differ in nothing but the fold are one
            configuration.
        folder: Gets `choice.json`, which `predict` follows in place of runs, `postprocessing.json`,
            which it applies to these runs, and the predictions, `held-out/NAME/fold-K/`. The same
            again continues.
        ensembles: Also try pairs.
        mirror: See `load_predictor`.
        progress: Called with (predictions done, total).

    Raises:
        ValueError: A run has no fold, two have the same, or configurations held out other images.

    References:
        `find_best_configuration` of nnU-Net 2.8.
    """
    folder = Path(folder)
    if Run(folder).status != "absent":
        raise invalid("folder", "a folder that is no run", str(folder))
    candidates = _candidates([Run(run) for run in runs])
    tried: list[tuple[_Candidate, ...]] = [(one,) for one in candidates]
    tried += list(combinations(candidates, 2)) if ensembles else []
    held = _held_out(candidates)
    total = len(tried) * sum(map(len, held.values()))
    done, dice, predicted = 0, {}, {}
    for group in tried:
        name = "+".join(one.name for one in group)
        folders = {fold: folder / "held-out" / name / f"fold-{fold[0]}" for fold in held}
        for fold, cases in held.items():
            models = [one.runs[fold].folder for one in group]
            _predict(models, cases, folders[fold], mirror)
            done += len(cases)
            if progress:
                progress(done, total)
        predicted[name] = _Pairs(held, folders)
        dice[name] = _mean(predicted[name], candidates[0].regions)
    name = max(dice, key=lambda name: dice[name])  # of equal ones the first
    chosen = next(group for group in tried if "+".join(one.name for one in group) == name)
    regions = [members for _, members in chosen[0].regions]
    first = next(iter(held.values()))
    components = choose_components(predicted[name], first.classes, regions, first.ignore_label)
    paths = tuple(run.folder for one in chosen for run in one.runs.values())
    choice = Choice(tuple(one.name for one in chosen), paths, dice, components)
    _write(choice, folder)
    return choice


def _predict(models: Sequence[Path], cases: Dataset, folder: Path, mirror: bool) -> None:
    """What is not there yet, and all anew where it was made by other weights or options."""
    from keras_robust.inference.predict import predict  # not before the runs were looked at

    try:
        predict(models, cases, folder, mirror=mirror, postprocess=False)
    except FileExistsError:
        predict(models, cases, folder, mirror=mirror, postprocess=False, overwrite=True)


@dataclass(frozen=True)
class _Pairs:
    """Labels as predicted and masks, read anew whenever they are passed through."""

    held: Mapping[tuple[int, int], Dataset]
    folders: Mapping[tuple[int, int], Path]

    def __iter__(self) -> Iterator[tuple[NDArray, NDArray]]:
        for fold, dataset in self.held.items():
            for case in dataset:
                predicted = read_prediction(self.folders[fold], case, dataset.classes)
                yield predicted, dataset.read_mask(case)


def _mean(pairs: _Pairs, regions: Regions) -> float:
    """Of the Dice of all classes or regions that there are."""
    first = next(iter(pairs.held.values()))
    labels = [(label,) for label in range(1, first.classes)]
    groups = [members for _, members in regions] or labels
    found = dice_of_groups(pairs, groups, first.ignore_label)
    known = found[~np.isnan(found)]
    return float(known.mean()) if known.size else 0.0


def _candidates(runs: Iterable[Run]) -> list[_Candidate]:
    groups: dict[str, dict[tuple[int, int], Run]] = {}
    for run in runs:
        fold = run.config.data.fold
        if run.status != "finished" or fold is None:
            raise invalid(
                "runs",
                "finished runs of a fold each (data.fold)",
                said=f"{str(run.folder)!r}, {run.status}, data.fold={fold}",
            )
        others = groups.setdefault(_without_fold(run), {})
        if fold in others:
            raise invalid(
                "runs",
                "one run of each fold of a configuration",
                said=f"{str(others[fold].folder)!r} and {str(run.folder)!r}, both of fold {fold}",
            )
        others[fold] = run
    if not groups:
        raise invalid("runs", "at least one run", said="none")
    names = [_name(next(iter(found.values()))) for found in groups.values()]
    named = [
        _Candidate(name if names.count(name) == 1 else _longer(name, found), found)
        for name, found in zip(names, groups.values(), strict=True)
    ]
    order = (*CONFIGURATIONS, "whole_images")
    return sorted(named, key=lambda one: order.index(one.name.split(",")[0]))


def _without_fold(run: Run) -> str:
    """What two runs of one configuration share."""
    config = identity(run.config.model_dump(mode="json"))
    config["data"].pop("fold")
    config.pop("seed")
    return repr(config)


def _name(run: Run) -> str:
    return run.plan[0].configuration if run.plan else "whole_images"


def _longer(name: str, runs: Mapping[tuple[int, int], Run]) -> str:
    """With the folder of the first run, since a loss or any option may be what differs."""
    return f"{name},{next(iter(runs.values())).folder.name}"


def _held_out(candidates: Sequence[_Candidate]) -> dict[tuple[int, int], Dataset]:
    """The images of each fold, with the masks of the annotator whom runs were trained on."""
    found: dict[tuple[int, int], Dataset] = {}
    for candidate in candidates:
        of_this: dict[tuple[int, int], Dataset] = {}
        for fold, run in sorted(candidate.runs.items()):
            dataset = dataset_of(run.folder, run.config.data.path)
            annotator, _ = choose_annotators(dataset, run.config.data)
            of_this[fold] = choose_fold(dataset, annotator, run.config.data)[1]
        ids = {fold: set(cases.ids) for fold, cases in of_this.items()}
        if found and ids != {fold: set(cases.ids) for fold, cases in found.items()}:
            raise invalid(
                "runs",
                "configurations that held out the same images, in the same folds",
                said=f"others by {candidate.name} than by {candidates[0].name}",
                remedy="Train the folds that are missing.",
            )
        found = found or of_this
    return found


def _write(choice: Choice, folder: Path) -> None:
    runs = sorted(Path(relpath(run, folder)).as_posix() for run in choice.runs)
    components = choice.components
    atomic_write_json(
        folder / POSTPROCESSING,
        {
            "runs": runs,
            "keep_largest": [list(group) for group in components.largest],
            "dice_before": [_or_none(value) for value in components.before],
            "dice_after": [_or_none(value) for value in components.after],
        },
    )
    atomic_write_json(
        folder / CHOICE, {"best": list(choice.best), "runs": runs, "dice": dict(choice.dice)}
    )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
