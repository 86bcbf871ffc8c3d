"""Where a reviewer's log, drafts and corrected masks are kept in a dataset folder."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.annotators.roles import REVIEW_LOG, REVIEWS
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.opening import parse_json, read_bytes, real_path, shortened
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.grid import geometry_problem
from keras_robust.data.files.images import encode_mask, mask_suffix
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.volume_header import is_volume, read_header
from keras_robust.review.refuge import refuges

__all__ = ["ReviewFiles"]


class ReviewFiles:
    """The files of one reviewer in one dataset folder.

    reviews/REVIEWER/ holds review.jsonl, drafts/ID.npz, and versions/ID.N.png, a copy of every
    correction there ever was; masks/REVIEWER/ID.png is the last one, or .nii.gz for volumes.

    Args:
        home: Manifest folder.
        reviewer: Name of the reviewer.
        dataset: Folder of the dataset, where that is another: what it could not take is found.

    Raises:
        ValueError: The name cannot be that of a folder.
        FileExistsError: A link leads out of the dataset folder.
    """

    def __init__(self, home: Path, reviewer: str, dataset: Path | None = None):
        if name_problem("reviewer", reviewer) or reviewer.startswith("."):
            raise invalid(
                "reviewer",
                "a name that can be a folder",
                shortened(reviewer, 40),
                "Use letters, digits, dashes and spaces between them.",
            )
        self.home, self.reviewer = home, reviewer
        self._homes = (home,) if dataset is None else (home, dataset)
        self.folder = home / REVIEWS / reviewer
        self.masks = home / "masks" / reviewer
        self.log = self.folder / REVIEW_LOG
        for folder in (self.folder, self.masks):
            if not real_path(folder).is_relative_to(real_path(home)):
                raise FileExistsError(
                    "Invalid value for argument `reviewer`. Expected a folder inside the dataset. "
                    f"Received: {str(folder)!r}, a link to {str(real_path(folder))!r}. Remove the "
                    "link, or choose another name."
                )

    def mask(self, case: Case) -> Path:
        """The corrected mask of a case."""
        return self.masks / f"{checked(case.id)}{mask_suffix(case.image)}"

    def version(self, case: Case, number: int | str) -> Path:
        """The copy of one correction."""
        return self.folder / "versions" / f"{checked(case.id)}.{number}{mask_suffix(case.image)}"

    def draft(self, id: str) -> Path:
        """What is painted, but not decided on."""
        return self.folder / "drafts" / f"{checked(id)}.npz"

    def write_draft(self, id: str, labels: NDArray, comment: str, mask_sha256: str | None) -> None:
        """Keep what is painted, with the hash of the file on which it was painted."""
        atomic_write_bytes(self.draft(id), _draft(labels, comment, mask_sha256))
        self._clear_refuges(id)

    def rescue_draft(self, id: str, labels: NDArray, comment: str, mask_sha256: str | None) -> Path:
        """Keep a draft that the dataset cannot take outside of it; `read_draft` finds it.

        Returns:
            The file.

        Raises:
            OSError: No folder of the user can take it either.
        """
        content, problem = _draft(labels, comment, mask_sha256), None
        for folder in self._refuges():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                return atomic_write_bytes(folder / self.draft(id).name, content)
            except OSError as reason:
                problem = reason
        raise problem or OSError("There is no folder of the user.")

    def read_draft(self, id: str) -> tuple[NDArray[np.uint8], str, str | None] | None:
        """Labels, comment and hash of a draft; `None` where there is none.

        Raises:
            ValueError: The file is damaged.
        """
        path = self._newest(id)
        try:
            with np.load(io.BytesIO(read_bytes(path, 2**30)), allow_pickle=False) as content:
                about = parse_json(str(content["about"]))
                return (
                    np.asarray(content["labels"], np.uint8),
                    about["comment"],
                    about["mask_sha256"],
                )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as reason:
            raise ValueError(
                f"What you painted and did not decide on is damaged: the file {path.name!r} in "
                f"{str(path.parent)!r}. It is left there. Paint anew; decisions are safe."
            ) from reason

    def remove_draft(self, id: str) -> None:
        """Forget what is painted and not decided on, wherever it is."""
        self.draft(id).unlink(missing_ok=True)
        self._clear_refuges(id)

    def drafts(self) -> tuple[str, ...]:
        """Ids with a draft, the one painted last first."""
        found = {path.name.removesuffix(".npz") for path in (self.folder / "drafts").glob("*.npz")}
        return tuple(sorted({*found, *self.rescued()}, key=self.drafted, reverse=True))

    def rescued(self) -> tuple[str, ...]:
        """Ids whose last draft is outside of the dataset, which could not take it."""
        found = {
            path.name.removesuffix(".npz")
            for folder in self._refuges()
            for path in folder.glob("*.npz")
        }
        return tuple(sorted(id for id in found if self._newest(id) != self.draft(id)))

    def drafted(self, id: str) -> float:
        """When a draft was painted, in seconds since 1970; 0 for none."""
        return _changed(self._newest(id)) / 1e9

    def _refuges(self) -> Iterator[Path]:
        for home in self._homes:
            yield from refuges(home, self.reviewer)

    def _newest(self, id: str) -> Path:
        elsewhere = [f / self.draft(id).name for f in self._refuges()]
        return max((self.draft(id), *elsewhere), key=_changed)

    def _clear_refuges(self, id: str) -> None:
        for folder in self._refuges():
            with suppress(OSError):
                (folder / self.draft(id).name).unlink(missing_ok=True)


def _draft(labels: NDArray, comment: str, mask_sha256: str | None) -> bytes:
    buffer = io.BytesIO()
    about = json.dumps({"comment": comment, "mask_sha256": mask_sha256})
    np.savez_compressed(buffer, labels=np.asarray(labels, np.uint8), about=np.array(about))
    return buffer.getvalue()


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def write_labels(path: Path, labels: NDArray, case: Case, dataset: Dataset) -> None:
    """Write a mask atomically: a PNG, or a volume with the affine and header of the original."""
    if not is_volume(path):
        atomic_write_bytes(path, encode_mask(labels, dataset.classes))
        return
    from keras_robust.data.files.volumes import write_mask_like

    write_mask_like(path, labels, like=_grid(case))


def _grid(case: Case) -> Path:
    """The file whose header a corrected volume has: the mask's own, unless that lies wrongly."""
    if case.mask is not None and is_volume(case.mask):
        try:
            mask, image = read_header(case.mask), read_header(case.image)
        except (OSError, ValueError):
            return case.image
        if mask.shape == image.shape and geometry_problem(image, mask) is None:
            return case.mask
    return case.image


def checked(id: str) -> str:
    """An id that can be a file name.

    Raises:
        ValueError: It cannot.
    """
    message = name_problem("id", id)
    if message:
        raise invalid("id", "an id that can be a file name", said=f"{message}")
    return id
