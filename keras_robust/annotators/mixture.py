"""A mixed annotator: each image with the mask of one annotator, drawn among several."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_robust.annotators.roles import MIXTURE_JOURNAL, source_annotators
from keras_robust.annotators.writing import (
    annotator_folder,
    check_annotator,
    check_ids,
    write_annotator,
    write_mask,
)
from keras_robust.common.errors import invalid
from keras_robust.common.hashes import sha256
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.grid import check_grid
from keras_robust.data.files.images import mask_suffix, read_mask
from keras_robust.data.layouts.manifest_writing import writable_home

__all__ = ["mix_annotators"]


def mix_annotators(
    path: str | os.PathLike[str],
    annotators: Sequence[str],
    name: str = "mixed",
    *,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Path:
    """Write a new annotator who has, for every image, the mask of one of several annotators.

    So a dataset in which many drew every image becomes one as there are most: each image drawn
    once, different images by different people. Whose mask an image gets is drawn uniformly among
    those of the annotators who drew it, and depends on the seed, the image's id and these alone.
    The journal mixture.jsonl beside the masks says whose each is. No existing mask or row is
    changed; a run that was killed continues where it stopped when called again.

    Args:
        path: Dataset folder.
        annotators: Names or patterns such as `"crowd_*"`.
        name: Of the new annotator.
        seed: Of the draw, from 0.
        output: Folder for a new manifest dataset that refers to `path`; see `simulate_dataset`.
        progress: Called with the number of masks done and of masks in total.
        workers: Processes; 1 works in this one.

    Returns:
        The folder of the new masks.

    Raises:
        FileNotFoundError, ValueError: `path` is no dataset, a name is unknown, or masks of
            probabilities are among those to mix.
        FileExistsError: The annotator exists, mixed otherwise or not by this function.
        PermissionError: The dataset folder is read-only and `output` is not given.
        BlockingIOError: Another process is writing this annotator.

    >>> import tempfile
    >>> from keras_robust.data import Dataset, sample_path
    >>> output = Path(tempfile.mkdtemp()) / "mixed"
    >>> folder = mix_annotators(sample_path(), ["isic_gt"], output=output)
    >>> len(Dataset.open(output).select(annotator="mixed"))
    115
    """
    if seed < 0:
        raise invalid("seed", "0 or more", said=f"{seed}")
    dataset = Dataset.open(path)
    annotator = check_annotator(name)
    chosen = source_annotators(dataset, annotators, annotator)
    of_image: dict[str, list[Case]] = {}
    for case in dataset:
        if case.annotator in chosen:
            of_image.setdefault(case.id, []).append(case)
    check_ids(list(of_image))
    cases = [_drawn(seed, id, candidates) for id, candidates in of_image.items()]
    home = writable_home(dataset, output)
    folder = annotator_folder(home, annotator, MIXTURE_JOURNAL)
    jobs = [
        _Job(
            case.id,
            case.annotator,
            case.mask,
            case.image,
            folder / f"{case.id}{mask_suffix(case.image)}",
            dataset.classes,
            dataset.ignore_label,
        )
        for case in cases
        if case.mask is not None
    ]
    parameters = {
        "annotators": sorted(chosen),
        "seed": seed,
    }
    write_annotator(
        home,
        folder,
        cases,
        jobs,
        parameters,
        MIXTURE_JOURNAL,
        progress=progress,
        workers=workers,
    )
    return folder


@dataclass(frozen=True)
class _Job:
    """The mask of one image."""

    id: str
    annotator: str
    source: Path
    image: Path
    target: Path
    classes: int
    ignore_label: int | None

    def __call__(self) -> dict[str, Any]:
        check_grid(self.id, self.image, self.source)
        labels = read_mask(self.source, None, self.classes, self.ignore_label)
        return {
            "id": self.id,
            "annotator": self.annotator,
            "source_sha256": sha256(self.source),
            "mask_sha256": write_mask(self.target, labels, self.image, self.classes),
        }

    def is_done(self, record: Mapping[str, Any]) -> bool:
        return (
            record["annotator"] == self.annotator
            and record["mask_sha256"] == sha256(self.target)
            and record["source_sha256"] == sha256(self.source)
        )


def _drawn(seed: int, id: str, candidates: Sequence[Case]) -> Case:
    # Salted, so that other draws by hash (of splits, of noisy masks) are independent of this one.
    draw = hashlib.sha256(f"mixture:{seed}:{id}".encode()).digest()
    ordered = sorted(candidates, key=lambda case: case.annotator)
    return ordered[int.from_bytes(draw[:8], "big") % len(ordered)]
