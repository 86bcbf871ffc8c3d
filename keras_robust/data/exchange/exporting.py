"""Exporting: a dataset as another tool reads it."""

import os
from collections.abc import Sequence
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.files import new_folder
from keras_robust.data.exchange.registry import FORMATS

__all__ = ["export_dataset", "export_formats"]

PathLike = str | os.PathLike[str]


def export_formats() -> list[str]:
    """Names of the formats that datasets can be written in."""
    return [name for name, known in FORMATS.each() if known.write is not None]


def export_dataset(
    dataset: PathLike | Dataset,
    output: PathLike,
    format: str,
    *,
    annotator: str | Sequence[str] | None = None,
    split: str | None = None,
    copy: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a dataset as another tool reads it.

    Args:
        dataset: Folder of the dataset.
        output: Folder to make.
        format: One of `export_formats()`.
        annotator: Whose masks. Of several, each image has the mask of the first who drew one, such
            as a reviewer who corrected some of another's. Not needed where there is one alone.
        split: Only this split.
        copy: Copy the images; else the annotations refer to them where they are.
        progress: Called as `progress(done, total)`.

    Returns:
        `output`.

    Raises:
        ValueError: An unknown format, annotator or split, or a dataset that the format cannot hold.
        FileExistsError: `output` holds something.
    """
    known = FORMATS[format] if format in FORMATS else None
    if known is None or known.write is None:
        raise invalid("format", f"one of {export_formats()}", format)
    opened = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = _chosen(opened.select(split=split), annotator)
    final = Path(output)
    with new_folder(final, "output") as folder:
        known.write(opened, Export(opened, chosen, folder, final, copy, progress))
    return final


def _chosen(dataset: Dataset, annotator: str | Sequence[str] | None) -> list[Case]:
    """One case for each image that has a mask of one of the annotators."""
    wanted = [annotator] if isinstance(annotator, str) else list(annotator or dataset.annotators)
    if annotator is None and len(wanted) > 1:
        raise invalid(
            "annotator",
            f"one or several of {', '.join(wanted)}, the first before the others",
            said="none",
        )
    found: dict[str, Case] = {}
    for name in wanted:
        for case in dataset.select(annotator=name):
            found.setdefault(case.id, case)
    if not found:
        raise invalid("dataset", "one with masks", said=f"{dataset.name!r} without any")
    return [found[id] for id in sorted(found)]
