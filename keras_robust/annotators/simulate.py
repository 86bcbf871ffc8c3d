"""Simulated annotators: noisy masks written beside the clean ones, restartable."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from keras_robust.annotators.roles import JOURNAL, simulated_annotators
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
from keras_robust.common.workers import run_jobs
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.grid import check_grid
from keras_robust.data.files.ignored import set_aside_ignored
from keras_robust.data.files.images import mask_suffix, read_mask
from keras_robust.data.layouts.manifest_writing import writable_home
from keras_robust.data.parts import WHOLE, Part
from keras_robust.noise import (
    GROUPS,
    BoundaryNoise,
    Corruption,
    LabelNoise,
    check_possible,
    corrupt_planned,
    sizes_of,
    write_log,
)

__all__ = ["annotator_name", "simulate_dataset"]

LOG = "noise.jsonl"
NAMED_KINDS = 4  # that the name of an annotator spells out


def simulate_dataset(
    path: str | os.PathLike[str],
    noise: LabelNoise | BoundaryNoise,
    annotator: str | None = None,
    source: str | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    *,
    output: str | os.PathLike[str] | None = None,
    split: str = "train",
    part: Part = WHOLE,
) -> Path:
    """Write the masks of a simulated annotator beside the clean ones.

    The masks of one split are corrupted, at the size they are stored in; `noise.alpha` counts
    over them, and `BoundaryNoise` is calibrated on them, for which they are read beforehand. All
    of that split are written, those left clean as well, as masks/ANNOTATOR/ID.png (.nii.gz for
    volumes, with the header of the clean mask), with their rows in manifest.csv and the log
    noise.jsonl, from which `Corruption.apply` replays each mask. No existing mask or row is
    changed. Each class is corrupted on its own, in voxels: in a volume of thick slices the same
    number of voxels is more millimetres across slices.

    A run that was killed continues where it stopped when called again; the result is, to the
    byte, that of an uninterrupted run, whatever the number of workers.

    Args:
        path: Dataset folder.
        noise: What to simulate.
        annotator: Name of the new annotator; by default from the noise, noisy-a0.7-b0.7-s0.
        source: Annotator whose masks are corrupted; by default the only one that is not simulated.
        progress: Called with the number of masks done and of masks in total.
        workers: Processes; 1 works in this one.
        output: Folder for a new manifest dataset that refers to the images and masks of `path`
            and holds the noisy masks. Needed where `path` is no manifest folder or is read-only.
            Several simulations may share it.
        split: Split to corrupt. A dataset without any splits is corrupted as a whole.
        part: Which of the masks are written here; several machines may each write a part into one
            folder, and the annotator is in the manifest once all are there.

    Returns:
        The folder of the new masks.

    Raises:
        FileNotFoundError, ValueError: `path` is no dataset or a mask cannot be read.
        ValueError: A name or split that is unknown, a choice that is not clear, or kinds of error
            of which none can be made in any of the masks.
        FileExistsError: The annotator exists with other parameters, or was not simulated; or
            `output` holds something else.
        PermissionError: The dataset folder is read-only and `output` is not given.
        BlockingIOError: Another process is writing this annotator.

    >>> import tempfile
    >>> from keras_robust.data import Dataset, sample_path
    >>> from keras_robust.noise import LabelNoise
    >>> output = Path(tempfile.mkdtemp()) / "noisy"
    >>> noise = LabelNoise(alpha=0.05, beta=0.7)
    >>> simulate_dataset(sample_path(), noise, output=output).name
    'noisy-a0.05-b0.7-s0'
    >>> Dataset.open(output).annotators
    ('isic_gt', 'noisy-a0.05-b0.7-s0')
    """
    dataset = Dataset.open(path)
    annotator = check_annotator(annotator_name(noise) if annotator is None else annotator)
    cases = _chosen(dataset, source, annotator, split)
    for case in cases:
        check_grid(case.id, case.image, _mask(case))
    home = writable_home(dataset, output)
    folder = annotator_folder(home, annotator, JOURNAL)
    labels = (dataset.classes, dataset.ignore_label)
    if isinstance(noise, BoundaryNoise):
        sizes = run_jobs([_Sizes(case.id, _mask(case), *labels) for case in cases], workers)
        noise = noise.calibrated(dict(sizes))
    ids = [case.id for case in cases]
    parameters = {
        "noise": asdict(noise),
        "source": cases[0].annotator,
        "split": split,
        "classes": dataset.classes,
        "ignore_label": dataset.ignore_label,
    }
    plan = noise.plan(ids)
    masks = {case.id: _mask(case) for case in cases}
    check_possible(noise, plan, lambda id: _known(masks[id], *labels)[0])
    sources = {id: getattr(kind, "source", "") for id, kind in plan.items()}
    jobs = [
        _Job(
            case.id,
            plan[case.id],
            masks[case.id],
            masks.get(sources[case.id]),
            folder / f"{case.id}{mask_suffix(case.image)}",
            noise,
            *labels,
        )
        for case in cases
    ]

    def finish(records: Mapping[str, Mapping[str, Any]]) -> None:
        write_log(folder / LOG, (Corruption(**r["corruption"]) for r in records.values()))

    write_annotator(
        home,
        folder,
        cases,
        jobs,
        parameters,
        JOURNAL,
        finish=finish,
        progress=progress,
        workers=workers,
        part=part,
    )
    return folder


def annotator_name(noise: LabelNoise | BoundaryNoise) -> str:
    """Name of the annotator that `noise` simulates; what is not default is part of it.

    >>> annotator_name(BoundaryNoise(mean_dice=0.85))
    'noisy-d0.85-s0'

    >>> annotator_name(LabelNoise(alpha=0.7, beta=0.7, seed=0))
    'noisy-a0.7-b0.7-s0'
    >>> annotator_name(LabelNoise(alpha=1, beta=0.5, kinds=("erode",), mode="reference"))
    'noisy-a1-b0.5-s0-erode-reference'
    >>> annotator_name(LabelNoise(alpha=1, beta=0.5, kinds=("mistakes",)))
    'noisy-a1-b0.5-s0-mistakes'
    """
    if isinstance(noise, BoundaryNoise):
        return f"noisy-d{noise.mean_dice:g}-s{noise.seed}"
    default = LabelNoise(alpha=noise.alpha, beta=noise.beta, seed=noise.seed)
    name = f"noisy-a{noise.alpha:g}-b{noise.beta:g}-s{noise.seed}"
    if noise.kinds != default.kinds:
        name += _of_kinds(noise.kinds)
    if noise.mode != default.mode:
        name += f"-{noise.mode}"
    if noise.max_angle != default.max_angle:
        name += f"-angle{noise.max_angle:g}"
    return name


def _of_kinds(kinds: Sequence[str]) -> str:
    """The kinds in a name: by their own, that of a group, or how many where they are many."""
    for group, members in GROUPS.items():
        if tuple(kinds) == members:
            return f"-{group}"
    if len(kinds) <= NAMED_KINDS:
        return "".join(f"-{kind}" for kind in kinds)
    return f"-{len(kinds)}kinds-{hashlib.sha256(' '.join(kinds).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class _Sizes:
    """How large the structures of one mask are; a process of its own can say it."""

    id: str
    source: Path
    classes: int
    ignore_label: int | None

    def __call__(self) -> tuple[str, dict[int, tuple[int, int]]]:
        return self.id, sizes_of(_known(self.source, self.classes, self.ignore_label)[0])


@dataclass(frozen=True)
class _Job:
    """One mask to write; a process of its own can do it."""

    id: str
    kind: str
    source: Path
    other: Path | None  # mask of the case that the plan names as source
    target: Path
    noise: LabelNoise | BoundaryNoise
    classes: int
    ignore_label: int | None

    def __call__(self) -> dict[str, Any]:
        """Write the mask; return its line in the journal."""
        known, put_back = _known(self.source, self.classes, self.ignore_label)
        noisy, corruption = corrupt_planned(self.noise, known, self.id, self.kind, self._other)
        written = write_mask(self.target, put_back(noisy), self.source, self.classes)
        return {
            "id": self.id,
            "source_sha256": sha256(self.source),
            "mask_sha256": written,
            "corruption": json.loads(corruption.to_json()),
        }

    def _other(self, id: str) -> NDArray:
        if self.other is None:  # nothing names one then; this is for the type checker
            raise ValueError(f"Expected a path of the mask of {id!r}.")
        return _known(self.other, self.classes, self.ignore_label)[0]

    def is_done(self, record: Mapping[str, Any]) -> bool:
        Corruption(**record["corruption"])
        return (
            sha256(self.target) == record["mask_sha256"]
            and sha256(self.source) == record["source_sha256"]
        )


def _known(
    source: Path, classes: int, ignore_label: int | None
) -> tuple[NDArray, Callable[[NDArray], NDArray]]:
    return set_aside_ignored(read_mask(source, None, classes, ignore_label), ignore_label)


def _chosen(dataset: Dataset, source: str | None, annotator: str, split: str) -> tuple[Case, ...]:
    """The cases whose masks are to be corrupted."""
    if source is None:
        simulated = simulated_annotators(dataset)
        drawn = [name for name in dataset.annotators if name not in simulated]
        if len(drawn) != 1:
            raise invalid(
                "source",
                (
                    f"the annotator to corrupt, since the dataset has {len(drawn)}: "
                    f"{', '.join(drawn) or 'none'}"
                ),
                said="none",
                remedy="Name one (on the command line --annotator NAME).",
            )
        source = drawn[0]
    if source == annotator:
        raise invalid(
            "annotator",
            "a name other than the source's",
            annotator,
            "Originals are never written to.",
        )
    if source in dataset.soft_annotators:
        raise invalid(
            "source",
            "an annotator who drew labels",
            said=f"source={source!r}, whose masks are probabilities",
            remedy="Name another (on the command line --annotator NAME).",
        )
    chosen = dataset.select(annotator=source)
    if dataset.splits:
        chosen = chosen.select(split=split) if split in chosen.splits else _no_split(chosen, split)
    check_ids(chosen.ids)
    return chosen.cases


def _no_split(dataset: Dataset, split: str) -> Dataset:
    raise invalid(
        "split",
        (
            "a split in which the source annotator has masks: "
            f"{', '.join(dataset.splits) or 'there is none'}"
        ),
        split,
    )


def _mask(case: Case) -> Path:
    if case.mask is None:  # an annotator's cases have masks; this is for the type checker
        raise ValueError(f"Expected a case with a mask. Received: {case.id!r}")
    return case.mask
