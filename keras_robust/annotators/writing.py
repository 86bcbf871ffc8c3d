"""Writing the masks of an annotator that a program makes: journalled, restartable, never over
what somebody drew."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.files import (
    atomic_write_bytes,
    atomic_write_text,
    locked,
    remove_leftovers,
)
from keras_robust.common.opening import parse_json, read_bytes, real_path
from keras_robust.common.progress import Progress
from keras_robust.common.workers import run_jobs
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.images import encode_mask_for
from keras_robust.data.files.names import name_problem
from keras_robust.data.layouts.manifest import MANIFEST
from keras_robust.data.layouts.manifest_writing import append_rows
from keras_robust.data.parts import WHOLE, Part

__all__ = [
    "MaskJob",
    "annotator_folder",
    "check_annotator",
    "check_ids",
    "write_annotator",
    "write_hashed",
    "write_mask",
]

Record = dict[str, Any]


class MaskJob(Protocol):
    """One mask to write; picklable, so that a process of its own can do it."""

    @property
    def id(self) -> str: ...

    def __call__(self) -> Record:
        """Write the mask; return its line in the journal, which holds its `id`."""
        ...

    def is_done(self, record: Mapping[str, Any]) -> bool:
        """Whether the mask on disk is what the record says, from what it is made of now; may
        raise OSError, KeyError or TypeError where it is not."""
        ...


def check_annotator(annotator: str) -> str:
    """`annotator`, if it can be the name of a folder.

    Raises:
        ValueError: It cannot.
    """
    message = name_problem("annotator", annotator)
    if message:
        raise invalid("annotator", "a name that can be a folder", said=f"{message}")
    return annotator


def annotator_folder(home: Path, annotator: str, journal: str) -> Path:
    """The folder of a new annotator's masks, made sure to be nobody else's.

    Args:
        home: Manifest folder.
        annotator: Name of the annotator, from `check_annotator`.
        journal: File name that marks what the caller wrote.

    Raises:
        FileExistsError: The folder leads out of the dataset, or holds masks without the journal.
    """
    folder = home / "masks" / annotator
    if not real_path(folder).is_relative_to(real_path(home)):
        raise invalid(
            "annotator",
            "a folder inside the dataset",
            said=f"{str(folder)!r}, a link to {str(real_path(folder))!r}",
            remedy="Remove the link.",
            kind=FileExistsError,
        )
    if (folder / journal).is_file() or any(folder.glob(f"{Path(journal).stem}-*-of-*.jsonl")):
        return folder
    others = [p for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
    if others or annotator in Dataset.open(home).annotators:
        raise invalid(
            "annotator",
            "a new name",
            said=f"annotator={annotator!r}, which has masks from elsewhere",
            remedy="Choose another name (--annotator NAME).",
            kind=FileExistsError,
        )
    return folder


def write_annotator(
    home: Path,
    folder: Path,
    cases: Sequence[Case],
    jobs: Sequence[MaskJob],
    parameters: Mapping[str, Any],
    journal: str,
    *,
    masks: Mapping[str, Path] | None = None,
    finish: Callable[[Mapping[str, Record]], None] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    part: Part = WHOLE,
) -> bool:
    """Run the jobs that are not done, then add the rows of the annotator to the manifest.

    Several machines may each do a part, into one folder; whichever ends last adds the rows.

    Args:
        home: Manifest folder.
        folder: Of the masks, from `annotator_folder`.
        cases: One per job, in the same order: whose row the new one copies.
        jobs: The masks to write.
        parameters: What all masks are made with, as JSON; a run with others, or for other ids,
            does not continue.
        journal: File name of the journal.
        masks: Files of the masks by id, where they are not folder/ID.png or .nii.gz.
        finish: Called with all records by id before the rows are added.
        progress: Called with the number of masks done and of masks in total.
        workers: Processes; 1 works in this one.
        part: Which of the masks are written here.

    Returns:
        Whether all masks are there.

    Raises:
        ValueError: `workers` is less than one.
        FileExistsError: The annotator was written with other parameters.
        BlockingIOError: Another process is writing it.
    """
    if workers < 1:
        raise invalid("workers", "a whole number from 1", said=f"workers={workers}")
    ids = "\n".join(job.id for job in jobs)
    which = {"masks": len(jobs), "ids_sha256": hashlib.sha256(ids.encode()).hexdigest()}
    parameters = json.loads(json.dumps({**parameters, **which}))
    own = folder / part.name(journal)
    try:
        with locked(folder / part.name(".lock"), wait=False):
            remove_leftovers(folder)
            records = _run(own, part.of(jobs), parameters, progress, workers)
            with locked(folder / ".join.lock"):
                parts = [*folder.glob(f"{Path(journal).stem}-*-of-*.jsonl")]
                if part != WHOLE:
                    records = _joined([folder / journal, *parts], jobs, parameters)
                    if len(records) < len(jobs):
                        return False
                    _write_journal(folder / journal, parameters, records)
                if finish is not None:
                    finish(dict(sorted(records.items())))
                with locked(home / ".manifest.lock"):
                    remove_leftovers(home, MANIFEST)
                    append_rows(home, cases, folder.name, masks)
                for path in parts:
                    path.unlink(missing_ok=True)
                return True
    except BlockingIOError:
        raise BlockingIOError(
            f"Another process is writing annotator {folder.name!r} in {str(home)!r}. "
            "Wait until it ends, or choose another name as `annotator`."
        ) from None


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids that cannot name files side by side.

    Raises:
        ValueError: Such an id.
    """
    seen: dict[str, str] = {}
    for id in ids:
        message = name_problem("id", id)
        other = seen.setdefault(id.casefold(), id)
        if message or other != id:
            raise invalid(
                "path",
                "ids that can be file names",
                said=f"{message or f'{other!r} and {id!r}, which differ by case alone'}",
            )


def write_mask(target: Path, labels: NDArray, like: Path, classes: int) -> str:
    """Write a mask in the form of the image or mask `like`; return the hash of its bytes."""
    return write_hashed(target, encode_mask_for(target, labels, like, classes))


def write_hashed(target: Path, content: bytes) -> str:
    """Write a file atomically; return the hash of its bytes."""
    atomic_write_bytes(target, content)
    return hashlib.sha256(content).hexdigest()


def _run(
    journal: Path,
    jobs: Sequence[MaskJob],
    parameters: Mapping[str, Any],
    progress: Progress | None,
    workers: int,
) -> dict[str, Record]:
    by_id = {job.id: job for job in jobs}
    journals = [journal, *journal.parent.glob(f"{journal.stem}-*-of-*.jsonl")]
    records = _joined(journals, jobs, parameters)
    _write_journal(journal, parameters, records)
    todo = [job for id, job in by_id.items() if id not in records]
    if progress is not None:
        progress(len(records), len(jobs))
    with open(journal, "a", encoding="utf-8", newline="\n") as file:
        for record in run_jobs(todo, workers):
            records[record["id"]] = record
            file.write(json.dumps(record) + "\n")
            file.flush()
            if progress is not None:
                progress(len(records), len(jobs))
    _write_journal(journal, parameters, records)
    return records


def _joined(
    journals: Sequence[Path], jobs: Sequence[MaskJob], parameters: Mapping[str, Any]
) -> dict[str, Record]:
    """The records of the jobs that are done, of this and of other parts."""
    found: dict[str, Record] = {}
    for journal in journals:
        found |= _read_journal(journal, parameters)
    return {
        job.id: found[job.id] for job in jobs if job.id in found and _is_done(job, found[job.id])
    }


def _is_done(job: MaskJob, record: Mapping[str, Any]) -> bool:
    try:
        return job.is_done(record)
    except (OSError, KeyError, TypeError):
        return False


def _read_journal(journal: Path, parameters: Mapping[str, Any]) -> dict[str, Record]:
    """Records of an earlier run by id; a torn last line is one record less."""
    if not journal.is_file():
        return {}
    values = list(_json_lines(read_bytes(journal).decode("utf-8", "replace")))
    known = values[0] if values else {}
    if known != parameters:
        differing = {
            key: (known.get(key), parameters.get(key))
            for key in sorted({*known, *parameters})
            if known.get(key) != parameters.get(key)
        }
        listed = "; ".join(
            f"{key}: {old!r} there, {new!r} now" for key, (old, new) in differing.items()
        )
        raise invalid(
            "annotator",
            "a new name, or the parameters that this annotator has",
            said=f"annotator={journal.parent.name!r} with {listed}",
            remedy="Choose another name (--annotator NAME), or remove the annotator's folder and "
            "rows.",
            kind=FileExistsError,
        )
    return {record["id"]: record for record in values[1:] if "id" in record}


def _json_lines(text: str) -> Iterator[Record]:
    for line in text.splitlines():
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _write_journal(
    journal: Path, parameters: Mapping[str, Any], records: Mapping[str, Record]
) -> None:
    lines = [parameters, *(record for _, record in sorted(records.items()))]
    atomic_write_text(journal, "".join(json.dumps(line) + "\n" for line in lines))
