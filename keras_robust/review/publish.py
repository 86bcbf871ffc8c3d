"""Bringing the masks and the manifest of a dataset to what a review log says."""

from collections.abc import Mapping

from keras_robust.common.files import atomic_write_bytes, locked, remove_leftovers
from keras_robust.common.hashes import sha256_if_there
from keras_robust.data.cases import Case
from keras_robust.data.layouts.manifest import MANIFEST
from keras_robust.data.layouts.manifest_writing import append_rows, remove_rows
from keras_robust.review.decision import Decision
from keras_robust.review.files import ReviewFiles
from keras_robust.review.log import ReviewLog

__all__ = ["publish"]


def publish(
    log: ReviewLog, decisions: Mapping[str, Decision], overwrite: bool = False
) -> list[str]:
    """Make masks/REVIEWER and its rows in manifest.csv what `decisions` say; nothing else changes.

    May be repeated: what is right already is left alone. A mask that was edited by other means is
    never lost: it stays, or is kept among the versions where it is overwritten.

    Args:
        log: The log.
        decisions: The decisions concerned, by id.
        overwrite: Replace masks that were edited by other means.

    Returns:
        What the reviewer should know of.

    Raises:
        OSError: A file could not be written.
    """
    files, warnings = log.files, []
    known: dict[str, set[str | None]] = {}
    for past in log.history:
        known.setdefault(past.id, {None}).add(past.corrected_sha256)
    repaired: list[Case] = []
    withdrawn: list[str] = []
    for id, decision in decisions.items():
        case = log.case(id, decision.annotator)
        if case is None:
            continue
        target = files.mask(case)
        there = sha256_if_there(target)
        edited = there not in known[id]
        if decision.decision != "repair":
            withdrawn.append(id)
            if there is not None:
                _put_by(files, case, there, edited)
                target.unlink()
            continue
        repaired.append(case)
        if edited and not overwrite:
            warnings.append(
                f"{decision.corrected!r} was edited by other means after you saved it. Decide on "
                f"{id!r} again to log it."
            )
        elif there != decision.corrected_sha256:
            _put_by(files, case, there or "", edited)
            atomic_write_bytes(target, files.version(case, decision.version or 0).read_bytes())
    if repaired or withdrawn:
        with locked(files.home / ".manifest.lock"):
            remove_leftovers(files.home, MANIFEST)
            append_rows(files.home, repaired, files.reviewer)
            if withdrawn:
                remove_rows(files.home, set(withdrawn), files.reviewer)
    return warnings


def _put_by(files: ReviewFiles, case: Case, digest: str, edited: bool) -> None:
    """Keep a mask of unknown origin among the versions; those of the log are there already."""
    if edited:
        copy = files.version(case, f"edited-{digest[:12]}")
        atomic_write_bytes(copy, files.mask(case).read_bytes())
