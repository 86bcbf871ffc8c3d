"""A consensus of annotators, written beside their masks as an annotator of its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.annotators.consensus import majority, soft_consensus, staple
from keras_robust.annotators.roles import CONSENSUS_JOURNAL, source_annotators
from keras_robust.annotators.writing import (
    annotator_folder,
    check_annotator,
    check_ids,
    write_annotator,
    write_hashed,
)
from keras_robust.common.errors import invalid
from keras_robust.common.files import locked
from keras_robust.common.hashes import sha256
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.grid import check_grid
from keras_robust.data.files.images import encode_mask_for, mask_suffix, read_mask
from keras_robust.data.files.soft_masks import encode_soft_mask, soft_mask_suffix
from keras_robust.data.layouts.manifest_writing import add_soft_annotator, writable_home

__all__ = ["METHODS", "write_consensus"]

METHODS = ("majority", "staple", "soft")


def write_consensus(
    path: str | os.PathLike[str],
    method: str,
    annotators: Sequence[str] = (),
    name: str | None = None,
    *,
    split: str | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Path:
    """Write the consensus of annotators as a new annotator; no existing mask or row is changed.

    Every image is judged by those who drew it: its consensus is that of the chosen annotators it
    has, from one on. The journal consensus.jsonl beside the masks says who they were, with hashes
    of their masks and, for STAPLE of two classes, the sensitivity and specificity of each. A run
    that was killed continues where it stopped when called again.

    Args:
        path: Dataset folder.
        method: "majority", "staple", or "soft": the shares of annotators, as masks of
            probabilities that `Dataset.read_target` reads, see `data.files.soft_masks`.
        annotators: Names or patterns such as "expert_*"; by default all who drew masks, that is
            neither simulated annotators nor a consensus.
        name: Of the new annotator; consensus-METHOD by default.
        split: Only this split.
        output: Folder for a new manifest dataset that refers to `path`; see `simulate_dataset`.
        progress: Called with the number of masks done and of masks in total.
        workers: Processes; 1 works in this one.

    Returns:
        The folder of the new masks.

    Raises:
        FileNotFoundError, ValueError: `path` is no dataset, a name is unknown, masks of one image
            differ in size, or everyone ignores a pixel that is to get shares.
        FileExistsError: The annotator exists, made of other masks or not by this function.
        PermissionError: The dataset folder is read-only and `output` is not given.
        BlockingIOError: Another process is writing this annotator.
    """
    if method not in METHODS:
        raise invalid("method", f"one of {', '.join(METHODS)}", method)
    dataset = Dataset.open(path)
    annotator = check_annotator(name or f"consensus-{method}")
    chosen = source_annotators(dataset, annotators, annotator)
    of_image: dict[str, list[Case]] = {}
    for case in dataset.select(split=split) if split is not None else dataset:
        if case.annotator in chosen:
            of_image.setdefault(case.id, []).append(case)
    check_ids(list(of_image))
    if not of_image:
        raise invalid(
            "annotators",
            "annotators who drew an image of the split",
            said=f"{', '.join(chosen)} with split={split!r}",
        )
    home = writable_home(dataset, output)
    folder = annotator_folder(home, annotator, CONSENSUS_JOURNAL)
    suffix = partial(soft_mask_suffix, classes=dataset.classes) if method == "soft" else mask_suffix
    jobs = [
        _Job(
            id,
            method,
            tuple((case.annotator, _mask(case)) for case in cases),
            cases[0].image,
            folder / f"{id}{suffix(cases[0].image)}",
            dataset.classes,
            dataset.ignore_label,
        )
        for id, cases in of_image.items()
    ]
    parameters = {
        "method": method,
        "annotators": sorted(chosen),
        "classes": dataset.classes,
        "ignore_label": dataset.ignore_label,
    }

    def finish(records: Mapping[str, Any]) -> None:
        if method == "soft":
            # Before its rows are there: nobody is to read shares as labels.
            with locked(home / ".manifest.lock"):
                add_soft_annotator(home, annotator)

    write_annotator(
        home,
        folder,
        [cases[0] for cases in of_image.values()],
        jobs,
        parameters,
        CONSENSUS_JOURNAL,
        masks={job.id: job.target for job in jobs},
        finish=finish,
        progress=progress,
        workers=workers,
    )
    return folder


@dataclass(frozen=True)
class _Job:
    """The consensus of one image."""

    id: str
    method: str
    sources: tuple[tuple[str, Path], ...]
    image: Path
    target: Path
    classes: int
    ignore_label: int | None

    def __call__(self) -> dict[str, Any]:
        for _, path in self.sources:
            check_grid(self.id, self.image, path)
        masks = [read_mask(path, None, self.classes, self.ignore_label) for _, path in self.sources]
        try:
            content, about = self._consensus(masks)
        except ValueError as error:
            raise ValueError(f"Image {self.id!r}: {error}") from error
        return {
            "id": self.id,
            "source_sha256": {name: sha256(path) for name, path in self.sources},
            "mask_sha256": write_hashed(self.target, content),
            **about,
        }

    def is_done(self, record: Mapping[str, Any]) -> bool:
        return record["mask_sha256"] == sha256(self.target) and record["source_sha256"] == {
            name: sha256(path) for name, path in self.sources
        }

    def _consensus(self, masks: list[NDArray]) -> tuple[bytes, dict[str, Any]]:
        """The file of the mask, and what else the journal shall hold."""
        options: dict[str, Any] = {"classes": self.classes, "ignore_label": self.ignore_label}
        if self.method == "soft":
            shares = soft_consensus(masks, **options)
            return encode_soft_mask(self.target, shares, self.image), {}
        if self.method == "majority":
            return self._encoded(majority(masks, **options)), {}
        found = staple(masks, **options)
        labels = found.labels
        if self.ignore_label is not None:
            labels[np.all(np.asarray(masks) == self.ignore_label, axis=0)] = self.ignore_label
        about: dict[str, Any] = {"iterations": found.iterations, "converged": found.converged}
        if self.classes == 2:
            about["annotators"] = {
                name: {"sensitivity": float(table[1, 1]), "specificity": float(table[0, 0])}
                for (name, _), table in zip(self.sources, found.confusion, strict=True)
            }
        return self._encoded(labels), about

    def _encoded(self, labels: NDArray[np.uint8]) -> bytes:
        return encode_mask_for(self.target, labels, self.image, self.classes)


def _mask(case: Case) -> Path:
    if case.mask is None:  # an annotator's cases have masks; this is for the type checker
        raise ValueError(f"Expected a case with a mask. Received: {case.id!r}")
    return case.mask
