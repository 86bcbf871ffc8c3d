"""All that a reviewer sees of one image: read in one go, with the problems of its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.hashes import sha256_if_there
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.grid import files_apart
from keras_robust.data.files.images import UnreadableImageError
from keras_robust.data.files.maps import above_half

__all__ = ["ReviewCase", "file_hashes", "read_case"]


@dataclass(frozen=True, eq=False)
class ReviewCase:
    """One image of the queue with its masks.

    Args:
        id: Name of the image.
        annotator: Who drew the mask.
        image: `(*spatial, C)`; `None` where it cannot be read.
        labels: `(*spatial)`, the annotator's mask; `None` where it cannot be shown on the image.
        suggestion: `(*spatial)`, labels by a model or a consensus; `None` without.
        corrected: `(*spatial)`, what the reviewer painted before; `None` without.
        draft: Whether `corrected` is not yet decided on.
        comment: The reviewer's, of the draft or of the last decision.
        problems: What is wrong with the files and what to do.
        mask_sha256: Hash of the annotator's file; `None` where it is missing.
        image_sha256: Hash of the image's file; `None` where it is missing.
    """

    id: str
    annotator: str
    image: NDArray | None
    labels: NDArray[np.uint8] | None
    suggestion: NDArray[np.uint8] | None = None
    corrected: NDArray[np.uint8] | None = None
    draft: bool = False
    comment: str = ""
    problems: tuple[str, ...] = ()
    mask_sha256: str | None = None
    image_sha256: str | None = None

    @property
    def start(self) -> NDArray[np.uint8] | None:
        """`(*spatial)`, a copy of what painting starts from; `None` without an image.

        What the reviewer painted before, else the annotator's mask, else nothing.
        """
        labels = self.unchanged
        if labels is not None:
            return labels.copy(order="K")
        return None if self.image is None else np.zeros_like(self.image[..., 0], np.uint8)

    @property
    def unchanged(self) -> NDArray[np.uint8] | None:
        """`(*spatial)`, `start` itself, to read alone; `None` where it is nothing."""
        return self.labels if self.corrected is None else self.corrected

    @property
    def start_shape(self) -> tuple[int, ...] | None:
        """Shape of `start`."""
        labels = self.unchanged
        if labels is not None:
            return labels.shape
        return None if self.image is None else self.image.shape[:-1]


def read_case(
    dataset: Dataset, case: Case, suggest: Callable[[str], NDArray | None] | None = None
) -> ReviewCase:
    """Read the files of a case; a file that cannot be read is a problem, not an error.

    Args:
        dataset: The dataset.
        case: The case.
        suggest: Labels `(*spatial)` that are suggested for an id.
    """
    problems: list[str] = []
    image = None
    mask_hash, image_hash = file_hashes(case)
    try:
        image = dataset.read_image(case, order="K")
    except (OSError, ValueError) as reason:
        problems.append(f"The image cannot be read, so that nothing can be painted. {reason}")
    shape = None if image is None else image.shape[:-1]
    labels, of_mask = _read_labels(dataset, case, shape)
    suggestion, of_suggestion = _read_suggestion(case.id, shape, suggest)
    if shape is not None and len(shape) > 2:  # what is compared lies alike in memory
        labels, suggestion = (
            None if mask is None else np.asfortranarray(mask) for mask in (labels, suggestion)
        )
    problems += [*of_mask, *of_suggestion]
    return ReviewCase(
        case.id,
        case.annotator,
        image,
        labels,
        suggestion,
        problems=tuple(problems),
        mask_sha256=mask_hash,
        image_sha256=image_hash,
    )


def _read_labels(
    dataset: Dataset, case: Case, shape: tuple[int, ...] | None
) -> tuple[NDArray | None, list[str]]:
    """The labels as they are shown, and what is wrong with the mask."""
    if case.mask is None:
        return None, ["There is no mask. Paint one and choose repair, or choose reject."]
    name, problems, labels = case.mask.name, [], None
    try:
        labels = dataset.read_mask(case, anywhere=True, order="K")
    except FileNotFoundError:
        problems.append(
            f"The mask {name!r} is missing. Restore the file and load the case again, or paint a "
            "mask and choose repair."
        )
    except UnreadableImageError as reason:
        problems.append(
            f"The mask {name!r} is damaged ({reason.reason}). Restore the file and load the case "
            "again, or paint a mask and choose repair."
        )
    except (OSError, ValueError) as reason:
        labels = _thresholded(case.mask) if dataset.classes == 2 else None
        problems.append(
            f"The mask {name!r} has values that are no labels. It is shown cut at half of white: "
            "check it, and choose repair to keep it so."
            if labels is not None
            else f"The mask {name!r} cannot be read. {reason}"
        )
    if labels is None or shape is None:
        return labels, problems
    if labels.shape != shape:
        turned = ", turned on its side" if labels.shape == shape[::-1] else ""
        problems.append(
            f"The mask {name!r} has {_by(labels.shape)} pixels, the image {_by(shape)}{turned}. It "
            "is not shown, since it would lie wrongly. Export it again on the grid of the image, "
            "or paint a mask and choose repair."
        )
        return None, problems
    apart = _lies_elsewhere(case)
    if apart is not None:
        problems.append(
            f"The mask {name!r} lies elsewhere than the image: their headers differ in {apart[0]}. "
            f"{apart[1]} It is shown voxel on voxel; a repaired mask lies where the image does."
        )
    return labels, problems


def _read_suggestion(
    id: str, shape: tuple[int, ...] | None, suggest: Callable[[str], NDArray | None] | None
) -> tuple[NDArray | None, list[str]]:
    """What is suggested for an image of `shape`, and what is wrong with it."""
    if suggest is None or shape is None:
        return None, []
    try:
        suggestion = suggest(id)
    except (OSError, ValueError, KeyError) as reason:
        return None, [f"The suggestion cannot be read. {reason}"]
    if suggestion is None or suggestion.shape == shape:
        return suggestion, []
    return None, [
        f"The suggestion has {_by(suggestion.shape)} pixels, the image {_by(shape)}. It is not "
        "shown; audit the dataset again."
    ]


def file_hashes(case: Case) -> tuple[str | None, str | None]:
    """Hashes (SHA-256) of the mask's file and of the image's; `None` for one that is missing."""
    return sha256_if_there(case.mask), sha256_if_there(*case.channels)


def _thresholded(path: Path) -> NDArray[np.uint8] | None:
    try:
        return above_half(read_picture(path).brightness()).astype(np.uint8)
    except (OSError, ValueError):
        return None


def _lies_elsewhere(case: Case) -> tuple[str, str] | None:
    return None if case.mask is None else files_apart(case.image, case.mask)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
