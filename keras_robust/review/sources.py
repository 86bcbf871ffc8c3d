"""What a review starts from: whose masks, which audit, which suggestions."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from keras_robust.annotators.roles import match_annotators, reviewers
from keras_robust.common.errors import invalid
from keras_robust.common.hashes import sha256_if_there
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.review.files import ReviewFiles

__all__ = ["open_audit", "refuse_foreign", "refuse_other_audit", "reviewed_cases", "suggestions"]

CONSENSUS = "consensus-"
CHECKED_MASKS = 100


def open_audit(audit: Any) -> Any:
    """An audit as it is, or read from its folder; `None` stays."""
    if audit is None or not isinstance(audit, (str, os.PathLike)):
        return audit
    from keras_robust.audit.folder import read_audit

    return read_audit(Path(audit))


def refuse_other_audit(dataset: Dataset, audit: Any) -> None:
    """Never suggest what a model made of images of another dataset with the same ids.

    The audit of a folder goes with it, whatever was corrected since. Where it was made of another
    folder, which may be this one before it was moved, half of the masks, of up to 200 spread over
    the audit, have to be the files that were judged.

    Raises:
        ValueError: They are not.
    """
    made_of = getattr(audit, "info", {}).get("dataset", "")
    judged = [case for case in getattr(audit, "cases", ()) if getattr(case, "mask_sha256", "")]
    if not judged or (made_of and Path(made_of).resolve() == dataset.root.resolve()):
        return
    masks = {(case.id, case.annotator): case.mask for case in dataset}
    known = [case for case in judged if (case.id, case.annotator) in masks]
    some = known[:: max(1, len(known) // CHECKED_MASKS)]
    same = sum(sha256_if_there(masks[case.id, case.annotator]) == case.mask_sha256 for case in some)
    if same < max(1, len(some) / 2):
        raise invalid(
            "audit",
            "an audit of this dataset",
            said=(
                f"audit={str(audit.folder)!r}, made of {str(made_of)!r}; of "
                f"{len(some)} masks that were compared, {same} are those that it "
                "judged"
            ),
            remedy="Choose the audit of this dataset, or none.",
        )


def refuse_foreign(dataset: Dataset, files: ReviewFiles) -> None:
    """Never write among masks that no review wrote.

    Raises:
        FileExistsError: An annotator, or another reviewer, has the name or one that some file
            systems cannot tell from it.
    """
    name = files.reviewer
    logged = set(reviewers(files.home))
    there = Dataset.open(files.home).annotators if files.home != dataset.root else ()
    taken = {*dataset.annotators, *there, *logged}
    if files.masks.is_dir() and any(path.name[0] != "." for path in files.masks.iterdir()):
        taken.add(name)
    alike = [other for other in sorted(taken) if other.casefold() == name.casefold()]
    if alike and name not in logged or any(other != name for other in alike):
        raise FileExistsError(
            "Invalid value for argument `reviewer`. Expected a name that no annotator has. "
            f"Received: reviewer={name!r}, but {', '.join(map(repr, alike))} is there. Choose "
            "another name, such as one with your initials."
        )


def reviewed_cases(
    dataset: Dataset, home: Path, annotator: str | None, audit: Any
) -> tuple[Case, ...]:
    """The cases to review, one for each id, and those without any mask.

    Raises:
        ValueError: The annotator is unknown, or it is not clear which is meant.
    """
    audited = None if audit is None else {(case.id, case.annotator) for case in audit.cases}
    if annotator is not None:
        chosen = dataset.select(annotator=annotator).cases
    else:
        names = {name for _, name in audited or ()} or _originals(dataset, home)
        chosen = tuple(case for case in dataset if case.annotator in names)
        if audited and len({case.id for case in chosen}) < len(chosen):
            chosen = tuple(case for case in chosen if (case.id, case.annotator) in audited)
        if len({case.id for case in chosen}) < len(chosen) or not chosen:
            raise invalid(
                "annotator",
                (
                    "one of the dataset's, whose masks are to be reviewed: "
                    f"{', '.join(dataset.annotators) or 'it has none'}"
                ),
                said="annotator=None",
                remedy="Name one.",
            )
    known = {case.id for case in chosen}
    without = {case.id: case for case in dataset if not case.annotator and case.id not in known}
    return (*chosen, *without.values())


def suggestions(
    dataset: Dataset, suggest: str | None, audit: Any
) -> Callable[[str], NDArray | None] | None:
    """Labels that are suggested for an id; `None` where nothing suggests any.

    Raises:
        ValueError: The dataset does not know the annotator.
    """
    if suggest is None and audit is not None:
        images = {case.id: case.image for case in dataset}
        return lambda id: audit.labels(id, images.get(id))
    if suggest is None:
        found = [name for name in dataset.annotators if name.startswith(CONSENSUS)]
        suggest = found[0] if len(found) == 1 else None
    if suggest is None:
        return None
    cases = {case.id: case for case in dataset.select(annotator=suggest)}
    return lambda id: dataset.read_mask(cases[id], order="K") if id in cases else None


def _originals(dataset: Dataset, home: Path) -> set[str]:
    """Annotators whose masks somebody drew."""
    drew = match_annotators(dataset)["all"]
    corrected = reviewers(home)
    return {name for name in drew if name not in corrected and not name.startswith(CONSENSUS)}
