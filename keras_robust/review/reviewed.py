"""The result of a review: one annotator with the masks that a reviewer holds for right."""

from keras_robust.annotators.roles import REVIEWED
from keras_robust.common.files import locked, remove_leftovers
from keras_robust.data.layouts.manifest import MANIFEST
from keras_robust.data.layouts.manifest_writing import append_rows, remove_rows
from keras_robust.review.session import ReviewSession

__all__ = ["write_reviewed"]


def write_reviewed(session: ReviewSession, *, undecided: bool = True) -> tuple[str, int]:
    """Add the annotator REVIEWER-reviewed to the manifest: a corrected dataset to train on.

    It has the annotator's mask where that was accepted, the corrected one where it was repaired,
    and none where the case was rejected or an expert was asked. No mask is copied. Rows by an
    earlier call are replaced.

    Args:
        session: The review.
        undecided: Whether masks that were not decided on are in it as they are.

    Returns:
        Name of the annotator and number of masks.

    Raises:
        OSError: The manifest could not be written; it is then as it was, or without the rows.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from keras_robust.data import sample_path
    >>> output = Path(tempfile.mkdtemp()) / "reviewed"
    >>> with ReviewSession(sample_path(), "anna", output=output) as session:
    ...     _ = session.decide(session.items[0].id, "reject")
    ...     write_reviewed(session)
    ('anna-reviewed', 114)
    """
    files, name = session.log.files, session.reviewer + REVIEWED
    masks = {}
    for item in session.items:
        status, mask = session.status(item.id), item.case.mask
        if status == "repair":
            masks[item.id] = files.mask(item.case)
        elif mask is not None and (
            status == "accept" or (undecided and status in ("undecided", "changed"))
        ):
            masks[item.id] = mask
    cases = [item.case for item in session.items if item.id in masks]
    with locked(files.home / ".manifest.lock"):
        remove_leftovers(files.home, MANIFEST)
        remove_rows(files.home, session.dataset.ids, name)
        append_rows(files.home, cases, name, masks)
    return name, len(cases)
