"""What networks of the previous stage of a cascade predict, as input of the next one's."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json
from keras_robust.common.hashes import sha256
from keras_robust.common.opening import UnreadableFileError, read_json
from keras_robust.data import Case, Dataset
from keras_robust.data.cases import image_of
from keras_robust.models.decoding import activation_of, labels_of
from keras_robust.models.probabilities import with_logits_beside
from keras_robust.planning.plan import Plan
from keras_robust.planning.restoring import planned_probabilities
from keras_robust.training.choosing import choose_annotators, choose_fold
from keras_robust.training.records.inputs import dataset_of
from keras_robust.training.run import Run

__all__ = ["PREVIOUS", "PreviousStage", "changed", "one_hot"]

PREVIOUS = "previous.json"
# nnU-Net's augmentation of what the previous stage predicted.
REDRAWN, OF_LABEL, RADII = 0.4, 0.5, (1.0, 8.0)
REMOVED, MOST_REMOVED = 0.2, 0.15  # of the voxels of a patch


class PreviousStage:
    """Networks of the folds of `"3d_lowres"`: an image that one of them did not see is predicted by
    this one, any other by all.

    Args:
        runs: Their folders.
        held_out: Of each image that a run held out, by its hash, the number of the run.
        mirror: Average over the axes that they were mirrored along, or none.
    """

    def __init__(self, runs: Sequence[Path], held_out: Mapping[str, int], mirror: bool = True):
        self.runs, self.held_out, self.mirror = tuple(runs), dict(held_out), mirror

    @classmethod
    def of(cls, runs: Sequence[Path], plan: Plan) -> Self:
        """Those of runs that have been trained.

        Raises:
            ValueError: There are none, or one is not of a fold or of the configuration that comes
                before that of the plan.
            FileNotFoundError: There is no run.
        """
        held_out: dict[str, int] = {}
        if not runs:
            raise invalid(
                "plan.previous",
                f"the runs of {plan.previous}, one of each fold, for {plan.configuration}",
                said="none",
                remedy="Train them first, and name them (--previous RUNS).",
            )
        for number, folder in enumerate(runs):
            run = Run(folder)
            planned, options = run.plan, run.config.data
            if planned is None or planned[0].configuration != plan.previous or not options.fold:
                raise invalid(
                    "plan.previous",
                    f"runs of {plan.previous}, each of a fold (data.fold)",
                    said=f"{str(folder)!r}",
                )
            dataset = dataset_of(run.folder, options.path)
            annotator, _ = choose_annotators(dataset, options)
            for case in choose_fold(dataset, annotator, options)[1]:
                held_out[sha256(*case.channels)] = number
        return cls(runs, held_out)

    @classmethod
    def read(cls, folder: Path, mirror: bool = True) -> Self:
        """Those that a run of the next stage was trained with."""
        path = folder / PREVIOUS
        stored = read_json(path, dict)
        runs, held_out = stored.get("runs"), stored.get("held_out")
        if not isinstance(runs, list) or not isinstance(held_out, dict):
            raise UnreadableFileError(path, "lacks the runs of the previous stage")
        return cls([folder / str(run) for run in runs], held_out, mirror)

    def write(self, folder: Path) -> None:
        """Note them in the folder of a run of the next stage."""
        runs = [Path(os.path.relpath(run, folder)).as_posix() for run in self.runs]
        atomic_write_json(folder / PREVIOUS, {"runs": runs, "held_out": self.held_out})

    @cached_property
    def key(self) -> str:
        """What their weights are known by."""
        return sha256(
            *(path for run in self.runs for path in sorted(run.glob("checkpoints/*/manifest.json")))
        )

    def require_all(self, cases: Dataset) -> None:
        """Make sure that none of the cases was seen by the run that predicts it.

        Raises:
            ValueError: One was seen by all.
        """
        for case in cases:
            if sha256(*case.channels) not in self.held_out:
                raise invalid(
                    "plan.previous",
                    "runs that together held out every image to train on",
                    said=f"{len(self.runs)} runs, none of which held out case {case.id!r}",
                    remedy="Train the folds that are missing.",
                )

    def of_case(self, case: Case) -> NDArray[np.uint8]:
        """Labels of a case, in the grid of its image."""
        number = self.held_out.get(sha256(*case.channels))
        return self.of_image(image_of(case), case.spacing, number)

    def of_image(
        self, image: NDArray, spacing_mm: tuple[float, ...] | None, number: int | None = None
    ) -> NDArray[np.uint8]:
        """Labels of an image by one of the runs, or, with `None`, by all."""
        chosen = range(len(self.runs)) if number is None else (number,)
        functions = [_network(str(self.runs[one]), self.key) for one in chosen]
        run = Run(self.runs[chosen[0]])
        planned = run.plan
        if planned is None:
            raise ValueError(f"Expected a run by a plan. Received: {str(run.folder)!r}.")
        config = run.config
        mirrored = config.plan.mirror_axes if self.mirror and config.plan and config.augment else ()

        def mean(patches: NDArray[np.float32]) -> NDArray[np.float32]:
            total = sum(function(patches) for function in functions)
            return total / np.float32(len(functions))

        axes = tuple(range(len(planned[0].patch_size))) if mirrored is None else mirrored
        found = planned_probabilities(mean, image, spacing_mm, *planned, mirror_axes=axes)
        return labels_of(found, planned[0].regions)


@lru_cache(maxsize=16)
def _network(folder: str, key: str) -> Callable[[NDArray[np.float32]], Any]:
    """From patches to logits; kept, since every image asks for it again."""
    run = Run(folder)
    planned = run.plan
    model: keras.Model = run.load_model()
    regions = planned[0].regions if planned else ()
    network = with_logits_beside(model, activation_of(model.output_shape[-1], regions))
    return lambda patches: np.asarray(network.predict_on_batch(patches)[1])


def one_hot(labels: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """`(*spatial, classes - 1)`: where each foreground label is.

    >>> one_hot(np.array([0, 2], np.uint8), 3).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    return (labels[..., np.newaxis] == np.arange(1, classes)).astype(np.float32)


def changed(shares: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """What a previous stage might have predicted instead, as nnU-Net draws it: labels dilated,
    eroded, opened or closed, and parts of them missing.

    Args:
        shares: Of `one_hot`; overwritten.
        generator: Of random numbers.
    """
    if generator.random() < REDRAWN:
        for label in generator.permutation(shares.shape[-1]):
            if generator.random() < OF_LABEL:
                before = shares[..., label] > 0
                after = _redrawn(before, int(generator.integers(4)), generator.uniform(*RADII))
                shares[after & ~before] = 0  # of the other labels
                shares[..., label] = after
    if generator.random() < REMOVED:
        for label in generator.permutation(shares.shape[-1]):
            if generator.random() < OF_LABEL:
                found, _ = ndimage.label(shares[..., label] > 0, np.ones((3,) * (shares.ndim - 1)))
                sizes = np.bincount(found.ravel())[1:]
                small = np.flatnonzero(sizes < MOST_REMOVED * found.size)
                if len(small):
                    shares[found == small[generator.integers(len(small))] + 1, label] = 0
    return shares


def _redrawn(there: NDArray[np.bool_], way: int, radius: float) -> NDArray[np.bool_]:
    def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask

    def eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return ~dilated(~mask)

    ways = (dilated, eroded, lambda m: eroded(dilated(m)), lambda m: dilated(eroded(m)))
    return ways[way](there)
