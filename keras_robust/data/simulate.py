"""Simulated annotators: noisy masks written beside the clean ones, restartable."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_robust.data.annotators import JOURNAL, simulated_annotators
from keras_robust.data.dataset import Case, Dataset
from keras_robust.data.ignored import set_aside_ignored
from keras_robust.data.images import encode_mask, read_mask
from keras_robust.data.manifest import MANIFEST
from keras_robust.data.manifest_writing import append_rows, writable_home
from keras_robust.data.names import name_problem
from keras_robust.data.workers import run_jobs
from keras_robust.files import atomic_write_bytes, atomic_write_text, locked, remove_leftovers
from keras_robust.noise import Corruption, LabelNoise, write_log

__all__ = ["annotator_name", "simulate_dataset"]

LOG = "noise.jsonl"


def simulate_dataset(
    path: str | os.PathLike[str],
    noise: LabelNoise,
    annotator: str | None = None,
    source: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
    *,
    output: str | os.PathLike[str] | None = None,
    split: str = "train",
) -> Path:
    """Write the masks of a simulated annotator beside the clean ones.

    The masks of one split are corrupted, at the size they are stored in; `noise.alpha` counts
    over them. All of that split are written, those left clean as well, as
    masks/ANNOTATOR/ID.png, with their rows in manifest.csv and the log noise.jsonl, from which
    `Corruption.apply` replays each mask. No existing mask or row is changed.

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

    Returns:
        The folder of the new masks.

    Raises:
        FileNotFoundError, ValueError: `path` is no dataset or a mask cannot be read.
        ValueError: A name or split that is unknown, or a choice that is not clear.
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
    if workers < 1:
        raise ValueError(
            "Invalid value for argument `workers`. Expected a whole number from 1. "
            f"Received: workers={workers}"
        )
    dataset = Dataset.open(path)
    annotator = annotator_name(noise) if annotator is None else annotator
    message = name_problem("annotator", annotator)
    if message:
        raise ValueError(
            "Invalid value for argument `annotator`. Expected a name that can be a folder. "
            f"Received: {message}."
        )
    cases = _chosen(dataset, source, annotator, split)
    home = writable_home(dataset, output)
    folder = home / "masks" / annotator
    if not folder.resolve().is_relative_to(home.resolve()):
        raise FileExistsError(
            "Invalid value for argument `annotator`. Expected a folder inside the dataset. "
            f"Received: {str(folder)!r}, a link to {str(folder.resolve())!r}. Remove the link."
        )
    _refuse_foreign(home, folder, annotator)
    try:
        with locked(folder / ".lock", wait=False):
            remove_leftovers(folder)
            _write_masks(dataset, cases, noise, split, folder, progress, workers)
            with locked(home / ".manifest.lock"):
                remove_leftovers(home, MANIFEST)
                append_rows(home, cases, annotator)
    except BlockingIOError:
        raise BlockingIOError(
            f"Another process is writing annotator {annotator!r} in {str(home)!r}. "
            "Wait until it ends, or choose another name as `annotator`."
        ) from None
    return folder


def annotator_name(noise: LabelNoise) -> str:
    """Name of the annotator that `noise` simulates; what is not default is part of it.

    >>> annotator_name(LabelNoise(alpha=0.7, beta=0.7, seed=0))
    'noisy-a0.7-b0.7-s0'
    >>> annotator_name(LabelNoise(alpha=1, beta=0.5, kinds=("erode",), mode="reference"))
    'noisy-a1-b0.5-s0-erode-reference'
    """
    default = LabelNoise(alpha=noise.alpha, beta=noise.beta, seed=noise.seed)
    name = f"noisy-a{noise.alpha:g}-b{noise.beta:g}-s{noise.seed}"
    if noise.kinds != default.kinds:
        name += "".join(f"-{kind}" for kind in noise.kinds)
    if noise.mode != default.mode:
        name += f"-{noise.mode}"
    if noise.max_angle != default.max_angle:
        name += f"-angle{noise.max_angle:g}"
    return name


@dataclass(frozen=True)
class _Job:
    """One mask to write; a process of its own can do it."""

    id: str
    kind: str
    source: Path
    target: Path
    noise: LabelNoise
    classes: int
    ignore_label: int | None

    def __call__(self) -> dict[str, Any]:
        """Write the mask; return its line in the journal."""
        clean = read_mask(self.source, None, self.classes, self.ignore_label)
        known, put_back = set_aside_ignored(clean, self.ignore_label)
        noisy, corruption = self.noise.corrupt(known, self.id, self.kind)
        content = encode_mask(put_back(noisy), self.classes)
        atomic_write_bytes(self.target, content)
        return {
            "id": self.id,
            "source_sha256": _sha256(self.source),
            "mask_sha256": hashlib.sha256(content).hexdigest(),
            "corruption": json.loads(corruption.to_json()),
        }


def _write_masks(
    dataset: Dataset,
    cases: tuple[Case, ...],
    noise: LabelNoise,
    split: str,
    folder: Path,
    progress: Callable[[int, int], None] | None,
    workers: int,
) -> None:
    ids = [case.id for case in cases]
    parameters = {
        "noise": json.loads(json.dumps(asdict(noise))),
        "source": cases[0].annotator,
        "split": split,
        "classes": dataset.classes,
        "ignore_label": dataset.ignore_label,
        "masks": len(ids),
        "ids_sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
    }
    plan = noise.plan(ids)
    jobs = {
        case.id: _Job(
            case.id,
            plan[case.id],
            _mask(case),
            folder / f"{case.id}.png",
            noise,
            dataset.classes,
            dataset.ignore_label,
        )
        for case in cases
    }
    records = {
        id: record
        for id, record in _read_journal(folder, parameters).items()
        if id in jobs and _is_done(jobs[id], record)
    }
    _write_journal(folder, parameters, records)
    todo = [job for id, job in jobs.items() if id not in records]
    if progress is not None:
        progress(len(records), len(jobs))
    with open(folder / JOURNAL, "a", encoding="utf-8", newline="\n") as journal:
        for record in run_jobs(todo, workers):
            records[record["id"]] = record
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            if progress is not None:
                progress(len(records), len(jobs))
    _write_journal(folder, parameters, records)
    log = (Corruption(**record["corruption"]) for _, record in sorted(records.items()))
    write_log(folder / LOG, log)


def _read_journal(folder: Path, parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Records of an earlier run by id; a torn last line is one record less."""
    if not (folder / JOURNAL).is_file():
        return {}
    values = list(_json_lines((folder / JOURNAL).read_text(encoding="utf-8", errors="replace")))
    known = values[0] if values else {}
    if known != parameters:
        differing = {
            key: (known.get(key), parameters.get(key))
            for key in sorted({*known, *parameters})
            if known.get(key) != parameters.get(key)
        }
        listed = "; ".join(
            f"{key}: {old} there, {new} now" for key, (old, new) in differing.items()
        )
        raise FileExistsError(
            "Invalid value for argument `annotator`. Expected a new name, or the parameters that "
            f"this annotator has. Received: annotator={folder.name!r} with {listed}. "
            "Choose another name (--annotator NAME), or remove the annotator's folder and rows."
        )
    return {record["id"]: record for record in values[1:] if "id" in record}


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _write_journal(
    folder: Path, parameters: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]
) -> None:
    lines = [parameters, *(record for _, record in sorted(records.items()))]
    atomic_write_text(folder / JOURNAL, "".join(json.dumps(line) + "\n" for line in lines))


def _is_done(job: _Job, record: Mapping[str, Any]) -> bool:
    """Whether the mask on disk is what the journal says, from the mask that there is now."""
    try:
        Corruption(**record["corruption"])
        return (
            _sha256(job.target) == record["mask_sha256"]
            and _sha256(job.source) == record["source_sha256"]
        )
    except (OSError, KeyError, TypeError):
        return False


def _chosen(dataset: Dataset, source: str | None, annotator: str, split: str) -> tuple[Case, ...]:
    """The cases whose masks are to be corrupted."""
    if source is None:
        simulated = simulated_annotators(dataset)
        drawn = [name for name in dataset.annotators if name not in simulated]
        if len(drawn) != 1:
            raise ValueError(
                "Invalid value for argument `source`. Expected the annotator to corrupt, since "
                f"the dataset has {len(drawn)}: {', '.join(drawn) or 'none'}. Received: none. "
                "Name one (--source ANNOTATOR)."
            )
        source = drawn[0]
    if source == annotator:
        raise ValueError(
            "Invalid value for argument `annotator`. Expected a name other than the source's. "
            f"Received: annotator={annotator!r}. Originals are never written to."
        )
    chosen = dataset.select(annotator=source)
    if dataset.splits:
        chosen = chosen.select(split=split) if split in chosen.splits else _no_split(chosen, split)
    seen: dict[str, str] = {}
    for id in chosen.ids:
        message = name_problem("id", id)
        other = seen.setdefault(id.casefold(), id)
        if message or other != id:
            raise ValueError(
                "Invalid value for argument `path`. Expected ids that can be file names. "
                f"Received: {message or f'{other!r} and {id!r}, which differ by case alone'}."
            )
    return chosen.cases


def _no_split(dataset: Dataset, split: str) -> Dataset:
    raise ValueError(
        "Invalid value for argument `split`. Expected a split in which the source annotator has "
        f"masks: {', '.join(dataset.splits) or 'there is none'}. Received: split={split!r}."
    )


def _refuse_foreign(home: Path, folder: Path, annotator: str) -> None:
    """Never write among masks that were not simulated."""
    if (folder / JOURNAL).is_file():
        return
    others = [p for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
    if others or annotator in Dataset.open(home).annotators:
        raise FileExistsError(
            "Invalid value for argument `annotator`. Expected a new name. Received: "
            f"annotator={annotator!r}, which has masks that were not simulated. "
            "Choose another name (--annotator NAME)."
        )


def _mask(case: Case) -> Path:
    if case.mask is None:  # an annotator's cases have masks; this is for the type checker
        raise ValueError(f"Expected a case with a mask. Received: {case.id!r}")
    return case.mask


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
