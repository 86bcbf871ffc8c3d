"""The record of a finished run: which of its files are damaged, and what makes them again."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.artefacts import (
    ARTEFACTS,
    DamagedFileError,
    damages,
    describe,
    read_artefact,
    read_record,
)
from keras_robust.training.records.identity import digest

__all__ = ["damage_of_run", "evaluated_epochs", "read_info", "record_of", "remedy"]

HISTORY, INPUTS = "history.csv", "inputs.json"
EVALUATION, RELIABILITY = "evaluation.csv", "reliability.csv"
SCORED_LARGEST = "scored_largest"  # of run.json: which parts were kept, see `keep_largest`
_FILES = (HISTORY, "test.csv", "noise.jsonl", "training_plan.json", "fingerprint.json")
_CONFIG = "config_sha256"
_KINDS = {"status": str, "results": dict, "versions": dict, ARTEFACTS: dict}


def remedy(folder: Path) -> str:
    """What makes the files of a run again."""
    again = f"keras-robust train --output {folder} --resume"
    return f"Make it again with `{again}`, or copy the run folder again"


def read_info(folder: Path) -> dict[str, Any]:
    """Content of `run.json`; empty before the run has begun.

    Raises:
        DamagedFileError: It is no JSON object.
    """
    again = f"keras-robust train --output {folder} --resume"
    advice = f"Copy it again, or remove it: `{again}` writes it anew from the checkpoints."
    return read_record(folder / "run.json", advice, _KINDS)


def record_of(folder: Path, config: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """What `run.json` holds of the files of a finished run.

    Args:
        folder: Of the run.
        config: Content of its `config.yaml`.
        others: Further files, as those of an evaluation.
    """
    pictures = sorted((folder / "predictions").glob("[!.]*"))
    names = [*_FILES, *others, *(f"predictions/{picture.name}" for picture in pictures)]
    return {ARTEFACTS: describe(folder, names), _CONFIG: digest(config)}


def damage_of_run(
    folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]
) -> DamagedFileError | None:
    """The first file that a finished run was trained to that is not what it was.

    Scores, which are made from them, are left aside. Of runs of before files were recorded, the
    history must have all epochs, and the mean that is their result.

    Args:
        folder: Of the run.
        info: Content of `run.json`.
        config: Content of `config.yaml`.
    """
    if info.get("status") != "finished":
        return None
    if _CONFIG in info and info[_CONFIG] != digest(config):
        advice = "Copy it again: nothing else says what was trained."
        return DamagedFileError(folder / "config.yaml", "it is not that of the run", advice)
    described = info.get(ARTEFACTS) or {}
    trained = {name: value for name, value in described.items() if _is_trained(name)}
    present = {
        name: value
        for name, value in trained.items()
        if name == HISTORY or (folder / name).is_file()  # a copy may be of some files
    }
    for error in damages(folder, {ARTEFACTS: present}, f"{remedy(folder)}."):
        return error
    if HISTORY in described:
        return None
    reason = _doubt(folder, info, config)
    return DamagedFileError(folder / HISTORY, reason, f"{remedy(folder)}.") if reason else None


def evaluated_epochs(config: Mapping[str, Any]) -> int:
    """Number of last epochs over which the result of a run is averaged (paper: 10).

    Runs by a plan predict the test images once, after the last.
    """
    return 1 if config.get("plan") is not None else int(config.get("evaluate_last", 10))


def _is_trained(name: str) -> bool:
    return name in _FILES or name.startswith("predictions/")


def _doubt(folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Why the history of a run without a record cannot be believed."""
    try:
        text = read_artefact(folder, HISTORY, {}, "").decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        epochs = int(config.get("epochs", 0))
        if len(rows) < epochs:
            return f"it has {len(rows)} of {epochs} epochs"
        result = (info.get("results") or {}).get("dice_test")
        last = [row.get("dice_test") or "" for row in rows[-evaluated_epochs(config) :]]
        values = [float(value) for value in last if value]
    except FileNotFoundError:
        return None  # what is not there misleads nobody
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        return f"it cannot be read ({error})"
    if result is None or not values:
        return None
    mean = sum(values) / len(values)
    if math.isclose(mean, float(result), abs_tol=1e-6):
        return None
    return f"its mean test Dice is {mean:.6f}, that of run.json {float(result):.6f}"
