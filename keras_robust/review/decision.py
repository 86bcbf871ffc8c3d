"""What a reviewer decided about one mask."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.images import values_of

__all__ = ["DECISIONS", "WITHDRAWN", "Decision", "checked_mask"]

DECISIONS = ("accept", "repair", "reject", "ask an expert")
WITHDRAWN = "undecided"  # in a log: the decision before holds no more


@dataclass(frozen=True)
class Decision:
    """One line of a review log.

    Args:
        time: When, in UTC, as in 2026-01-31T09:30:00.000+00:00.
        reviewer: Who decided.
        id: Name of the image.
        annotator: Who drew the mask, "" where there is none.
        decision: One of `DECISIONS`, or "undecided" where the one before was withdrawn.
        comment: What the reviewer wrote.
        mask_sha256: Hash of the annotator's file; `None` where it is missing.
        image_sha256: Hash of the image's file, of several channels one after the other.
        corrected_sha256: Hash of the corrected mask of a repair.
        corrected: Its path from the dataset folder on.
        version: Its number, from 1, among the corrections by this reviewer of this image.
        seconds: From when the case was shown to the decision; `None` where nobody measured.
    """

    time: str
    reviewer: str
    id: str
    annotator: str
    decision: str
    comment: str = ""
    mask_sha256: str | None = None
    image_sha256: str | None = None
    corrected_sha256: str | None = None
    corrected: str | None = None
    version: int | None = None
    seconds: float | None = None

    def to_record(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Decision | None":
        """The decision in a line of a log, `None` where it is not one; other keys are passed over.

        >>> line = dict(time="", reviewer="anna", id="a", annotator="", decision="accept")
        >>> Decision.from_record(line).decision
        'accept'
        >>> Decision.from_record({"id": "a"})
        """
        known = {key: record[key] for key in cls.__dataclass_fields__ if key in record}
        texts = (known.get(key) for key in ("time", "reviewer", "id", "annotator", "decision"))
        if not all(isinstance(text, str) for text in texts):
            return None
        if known["decision"] not in (*DECISIONS, WITHDRAWN):
            return None
        if not isinstance(known.setdefault("comment", ""), str):
            return None
        version = known.get("version")
        if known["decision"] == "repair" and not (isinstance(version, int) and version > 0):
            return None
        seconds = known.get("seconds")
        if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            known["seconds"] = None
        return cls(**known)


def checked_mask(
    dataset: Dataset,
    case: Case,
    decision: str,
    mask: NDArray | None,
    known_grid: tuple[int, ...] | None = None,
) -> NDArray[np.uint8] | None:
    """The mask that comes with a decision, as labels.

    Args:
        dataset: The dataset.
        case: The case.
        decision: The decision.
        mask: The mask.
        known_grid: Shape of the image; read where it is not known.

    Raises:
        ValueError: No such decision, a mask too much or too few, or one that does not fit.
    """
    if decision not in DECISIONS:
        raise invalid("decision", f"one of {', '.join(map(repr, DECISIONS))}", decision)
    if (mask is None) != (decision != "repair") and decision in ("repair", "accept"):
        raise ValueError(
            "Invalid value for argument `mask`. Expected "
            + (
                "the corrected mask, to repair. Received: mask=None. Paint it first."
                if mask is None
                else "none, to accept the annotator's. Received: a mask. Choose repair to keep "
                "what was painted, or discard it."
            )
        )
    if mask is None:
        return None
    labels = np.asarray(mask)
    grid = known_grid or dataset.read_image(case).shape[:-1]
    allowed = [*range(dataset.classes)]
    allowed += [] if dataset.ignore_label is None else [dataset.ignore_label]
    if not (labels.dtype == bool or labels.dtype.kind in "iu"):
        problem = f"{labels.dtype} values"
    elif labels.shape != grid:
        problem = f"the shape {labels.shape}, where the image has {grid}"
    elif wrong := sorted(values_of(labels) - set(allowed)):
        problem = f"the label(s) {', '.join(map(str, wrong[:8]))}"
    else:
        return labels.astype(np.uint8)
    raise invalid(
        "mask",
        (f"an array of shape {grid} with the labels {', '.join(map(str, allowed[:12]))}"),
        said=f"{problem}",
        remedy="Paint with these.",
    )
