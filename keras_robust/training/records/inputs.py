"""The images and masks that a run began with: it goes on with these, wherever they lie."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from keras_robust.common.artefacts import read_record
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, atomic_write_text
from keras_robust.common.yaml import read_yaml
from keras_robust.data import Case, Dataset
from keras_robust.data.contents import changes, contents, listed
from keras_robust.training.choosing import choose_annotators, chosen_cases
from keras_robust.training.config import DataConfig
from keras_robust.training.records.finished import INPUTS
from keras_robust.training.records.identity import PATHS

__all__ = [
    "dataset_of",
    "digest_of_inputs",
    "move_data",
    "require_data",
    "require_inputs",
    "require_same_cases",
    "set_paths",
]

_MOST = 5


def require_inputs(folder: Path, dataset: Dataset, options: DataConfig, begun: bool) -> None:
    """Record the files that a run sees when it begins; later, make sure that they are the same.

    Args:
        folder: Of the run.
        dataset: Of the run.
        options: Of the run.
        begun: Whether an epoch was finished. One of before files were recorded goes on with what
            is there.

    Raises:
        ValueError: They are others.
    """
    now = _inputs(dataset, options)
    stored = _stored(folder) if begun else None
    if stored is None:
        atomic_write_json(folder / INPUTS, now)
        return
    different = listed(stored, now)
    if stored.get("labels") != now["labels"]:
        different.insert(0, f"classes and ignored label {stored.get('labels')} -> {now['labels']}")
    _refuse(folder, different, options.path)


def require_same_cases(folder: Path, cases: Iterable[Case], data: Path) -> None:
    """Make sure that some of the cases of a run are what they were.

    Raises:
        ValueError: They are not.
    """
    stored = _stored(folder)
    if stored is None:
        return
    now = contents(cases)
    ids = now["images"].keys()
    part = {
        "masks": {
            annotator: {id: stored["masks"].get(annotator, {}).get(id) for id in masks}
            for annotator, masks in now["masks"].items()
        },
        "images": {id: stored["images"].get(id) for id in ids},
    }
    _refuse(folder, listed(part, now), data)


def move_data(folder: Path, data: Path) -> None:
    """Let a run find its dataset where it lies now; see `require_data`."""
    require_data(folder, data)
    set_paths(folder, {"data": {"path": data}})


def require_data(folder: Path, data: Path) -> None:
    """Make sure that a dataset holds what a run saw.

    Raises:
        ValueError: The files there are others.
        FileNotFoundError: There is no dataset.
    """
    stored = _stored(folder)
    if stored is not None:
        _refuse(folder, changes(stored, Dataset.open(data)), data)


def set_paths(folder: Path, config: Mapping[str, Any]) -> None:
    """Write where dataset and plan of a configuration lie into that of a run folder."""
    path = folder / "config.yaml"
    stored = read_yaml(path, "the configuration of a run")
    changed = False
    for section, name in PATHS.items():
        if config.get(section) and stored.get(section):
            where = os.path.abspath(config[section][name])
            changed |= stored[section].get(name) != where
            stored[section][name] = where
    if changed:
        atomic_write_text(path, yaml.safe_dump(stored, sort_keys=False, allow_unicode=True))


def dataset_of(folder: Path, path: str | Path) -> Dataset:
    """The dataset of a run.

    Raises:
        ValueError: It cannot be opened where the run found it.
    """
    try:
        return Dataset.open(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The dataset of the run {str(folder)!r} cannot be opened. {error} If it lies "
            "elsewhere now, name its folder (--data FOLDER)."
        ) from error


def digest_of_inputs(config: Mapping[str, Any]) -> str:
    """SHA-256 of what is seen with a training configuration: images, masks and classes."""
    options = DataConfig(**config["data"])
    dataset = Dataset.open(options.path)
    content = json.dumps(_inputs(dataset, options), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _inputs(dataset: Dataset, options: DataConfig) -> dict[str, Any]:
    annotator, clean = choose_annotators(dataset, options)
    chosen, tested = chosen_cases(dataset, options, annotator, clean)
    ids = {*chosen.ids, *(() if tested is None else tested.ids)}
    cases = [case for case in dataset.select(ids=ids) if case.annotator in (annotator, clean)]
    return {**contents(cases), "labels": [dataset.classes, dataset.ignore_label]}


def _stored(folder: Path) -> dict[str, Any] | None:
    advice = "Copy it again, or remove it to go on with the files that are there."
    kinds = {"masks": dict, "images": dict}
    found = read_record(folder / INPUTS, advice, kinds)
    return found if kinds.keys() <= found.keys() else None


def _refuse(folder: Path, different: list[str], data: Path) -> None:
    if not different:
        return
    more = [f"and {len(different) - _MOST} more"] if len(different) > _MOST else []
    raise invalid(
        "data",
        f"the images and masks with which the run in {str(folder)!r} began",
        said=f"{str(data)!r}, where {', '.join([*different[:_MOST], *more])}",
        remedy=(
            "Put the files back, name the folder that has them (--data), or train "
            "anew into another folder (--output)."
        ),
    )
