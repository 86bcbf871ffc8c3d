"""What an audit judges: the masks, their files, and whether these are still the same."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json
from keras_robust.common.hashes import sha256
from keras_robust.common.opening import read_json
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset, verify
from keras_robust.data.contents import contents
from keras_robust.training.records.identity import differences, identity

INPUTS = "inputs.json"
# Other errors, such as one image in two splits, do not keep a mask from being judged.
_FATAL = ("missing-file", "unreadable", "truncated", "size", "values", "name")


@dataclass(frozen=True)
class AuditInputs:
    """The masks to be judged, and those to train on.

    Args:
        dataset: All that an audit reads; the dataset without other annotators and splits.
        judged: Annotators whose masks are judged.
        trained_on: Annotator whose masks are trained on; judged too or not.
    """

    dataset: Dataset
    judged: tuple[str, ...]
    trained_on: str

    @property
    def cases(self) -> tuple[Case, ...]:
        """The masks to be judged, by id, then annotator."""
        return tuple(case for case in self.dataset if case.annotator in self.judged)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the images to be judged, each once."""
        return tuple(dict.fromkeys(case.id for case in self.cases))

    @property
    def channels(self) -> int:
        """Of a prediction: one for two classes, else one for each."""
        return 1 if self.dataset.classes == 2 else self.dataset.classes


def choose_inputs(
    dataset: Dataset,
    judged: Sequence[str],
    trained_on: str | None = None,
    split: str | None = None,
) -> AuditInputs:
    """Choose whose masks are judged and trained on.

    Args:
        dataset: The dataset.
        judged: Annotators; none for the only one.
        trained_on: Annotator to train on; `None` for the first of `judged`.
        split: Only images of this split.

    Raises:
        ValueError: The choice is not clear, or there is no such annotator or split.
    """
    known = dataset.annotators
    if not judged and len(known) != 1:
        raise invalid(
            "annotator",
            (
                f"whose masks to judge, since the dataset has {len(known)} "
                f"annotators: {', '.join(known) or 'none'}"
            ),
            said="none",
            remedy="Name one or several (--annotator NAME).",
        )
    judged = tuple(dict.fromkeys(judged)) or known
    trained_on = trained_on or judged[0]
    for name in (*judged, trained_on):
        dataset.select(annotator=name, split=split)  # says what the dataset has
    chosen = dataset if split is None else dataset.select(split=split)
    kept = tuple(case for case in chosen if case.annotator in (*judged, trained_on))
    without = [name for name in (*judged, trained_on) if name not in {c.annotator for c in kept}]
    if without:
        raise invalid(
            "split",
            "one in which every annotator has masks",
            said=f"split={split!r}, without any by {', '.join(without)}",
        )
    return AuditInputs(replace(chosen, cases=kept), judged, trained_on)


def file_hashes(dataset: Dataset, predictions: Mapping[str, Iterable[Path]]) -> dict[str, Any]:
    """SHA-256 of every mask, image and prediction.

    Raises:
        OSError: A file is missing.
    """
    drawn = [case for case in dataset if case.mask is not None]
    given = {id: sha256(*paths) for id, paths in predictions.items()}
    return {**contents(drawn), "predictions": given}


def check_files(dataset: Dataset, progress: Progress | None = None) -> None:
    """Make sure that every image and mask can be read and that their sizes agree.

    Raises:
        ValueError: They do not; the first ten files are named.
    """
    report = verify(dataset, progress)
    errors = [p for p in report.problems if p.severity == "error" and p.kind in _FATAL]
    if errors:
        lines = "\n".join(f"- {problem}" for problem in errors[:10])
        more = f"\n- and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise ValueError(
            "Invalid value for argument `dataset`. Expected images and masks that can be read. "
            f"Received: {len(errors)} that cannot:\n{lines}{more}\n"
            "Repair or remove these; `keras-robust verify` lists all of them."
        )


def require_same(
    output: Path, settings: Mapping[str, Any], stored: Mapping[str, Any], hashes: Mapping[str, Any]
) -> None:
    """Refuse to continue an audit with other settings or other files.

    Raises:
        ValueError: They differ; what differs is named.
    """
    changed = [
        f"{name}: {_short(old)} -> {_short(new)}"
        for name, (old, new) in differences(
            _portable(stored["settings"]), _portable(settings)
        ).items()
    ]
    if changed:
        raise invalid(
            "output",
            f"the settings with which {str(output)!r} was begun",
            said="; ".join(changed),
            remedy="Give another folder (--output), or remove this one.",
        )
    try:
        before = read_json(output / INPUTS, dict)
    except (OSError, ValueError):
        before = None
    if before is None:
        atomic_write_json(output / INPUTS, hashes)
    elif before != (hashes := _as_before(before, hashes)):
        raise invalid(
            "dataset",
            f"the files with which {str(output)!r} was begun",
            said=f"other ones ({'; '.join(_changes(before, hashes))})",
            remedy=("Audit the dataset anew into another folder (--output), or remove this one."),
        )


def _portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the names of folders: what lies in them is told by hashes."""
    kept = {key: value for key, value in settings.items() if key != "dataset"}
    if "predictions" in kept:
        given = kept["predictions"]
        kept["predictions"] = f"{len(given)} folders" if isinstance(given, list) else "a folder"
    if "training" in kept:
        kept["training"] = identity(kept["training"])
    return kept


def _as_before(before: Any, hashes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Audits of before held the sizes of images, which say nothing of their hashes."""
    images = before.get("images") if isinstance(before, dict) else None
    sizes = isinstance(images, dict) and any(isinstance(size, int) for size in images.values())
    return {**hashes, "images": images} if sizes else hashes


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = list(differences(before, after))
    shown = [name.replace(".", " ") for name in names[:5]]
    return shown + ([f"and {len(names) - 5} more"] if len(names) > 5 else [])


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
