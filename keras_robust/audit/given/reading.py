"""Reading predictions of any other model: probabilities or labels, in the order of the image."""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.audit.given.finding import Stored, find_stored, same_words
from keras_robust.audit.given.nnunet import on_grid_of
from keras_robust.common.errors import invalid
from keras_robust.common.opening import open_plain
from keras_robust.data import Case
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.grid import check_prediction
from keras_robust.data.files.maps import WHOLE
from keras_robust.data.files.volume_header import (
    MAX_BYTES,
    header_of,
    is_volume,
    open_volume,
)
from keras_robust.data.regions import Regions

__all__ = ["GivenPredictions"]

OVERSHOOT = 0.01  # of probabilities in half precision
SUM_TOLERANCE = 0.05  # of those of all classes, after resizing
HEADER, MOST_NAMES = 348, 2**20  # bytes of a header, and of a table of names after it


@dataclass(frozen=True)
class GivenPredictions:
    """Files with predictions by one model, by id.

    A file `<id>` with the suffix .png, .npy, .nii.gz or .nii holds the probability of the
    foreground (0..255, or numbers from 0 to 1), or labels 0 to K - 1. A .npy file may have the
    classes as its last axis; else `<id>_0` to `<id>_K-1` hold the probabilities of the classes,
    which add up to one. A .npz file is one of nnU-Net, in its own order of axes. Labels with a
    table of names, as TotalSegmentator writes, are taken by their names. Further names that are
    known: see `keras_robust.audit.given.finding.find_stored`.

    Args:
        stored: The files of each id.
        classes: Number of classes, background included.
        class_names: Of the classes, background first; () where there are none.
        regions: Which nnU-Net may have learned in place of labels, of the dataset.
        ones: Whether integers are 0 and 1, labels or certain probabilities, rather than 0..255.
    """

    stored: Mapping[str, Stored]
    classes: int
    class_names: tuple[str, ...] = ()
    regions: Regions = ()
    ones: bool = False

    @classmethod
    def find(
        cls,
        folders: str | Path | Sequence[Path],
        ids: Iterable[str],
        classes: int,
        class_names: Sequence[str] = (),
        regions: Regions = (),
    ) -> "GivenPredictions":
        """Find the file, or files, of every id, and what integers in them mean.

        Raises:
            FileNotFoundError: There is no such folder, or an id has no file.
            ValueError: One cannot be read.
        """
        places = [Path(folders)] if isinstance(folders, str | Path) else folders
        stored = find_stored(places, ids, classes, class_names)
        return cls(stored, classes, tuple(class_names), regions)

    @property
    def files(self) -> dict[str, list[Path]]:
        """The files of each id."""
        return {id: list(stored.paths) for id, stored in self.stored.items()}

    def read(self, case: Case, shape: tuple[int, ...]) -> NDArray:
        """The prediction of an image: `(*spatial, 1)` or `(*spatial, K)`, in [0, 1] or 8-bit.

        Args:
            case: The image.
            shape: Of its mask.

        Raises:
            ValueError: It cannot be read, has another shape, lies elsewhere than the image, or
                holds no probabilities.
        """
        array: NDArray
        stored = self.stored[case.id]
        files = stored.paths
        if files[0].suffix == ".npz":
            array = on_grid_of(_read(files[0], self.classes), case, files[0], shape, self)
            return array[..., 1:] if array.shape[-1] == 2 and self.classes == 2 else array
        arrays = [_read(path, self.classes) for path in files]
        if stored.classes:
            array = _painted(arrays, stored.classes)
        else:
            array = np.stack(arrays, axis=-1) if len(arrays) > 1 else arrays[0]
            array = _named(array, files[0], self.class_names)
        if array.shape == shape:
            array = self._one_axis_more(array, case)
        channels = (1, 2) if self.classes == 2 else (self.classes,)
        if array.shape[:-1] != shape or array.shape[-1] not in channels:
            expected = " x ".join(map(str, shape))
            raise invalid(
                "predictions",
                (
                    f"{expected} elements, as the mask of {case.id!r} has, and for each "
                    f"{' or '.join(map(str, channels))} probabilities (the last axis)"
                ),
                said=f"{str(files[0])!r} of shape {arrays[0].shape}",
                remedy=(
                    "Predict in the size of the original image, as `keras-robust predict "
                    "--probabilities` does."
                ),
            )
        for path in files:
            check_prediction(case.image, path)
        if array.dtype == bool or (self.ones and array.dtype.kind in "iu"):
            array = np.where(array, np.uint8(WHOLE), np.uint8(0))
        elif array.dtype != np.uint8:
            array = _checked(array, files[0])
        if array.shape[-1] > 1:
            _check_sum(array, files[0])
        return array[..., 1:] if self.classes == 2 and array.shape[-1] == 2 else array

    def _one_axis_more(self, array: NDArray, case: Case) -> NDArray:
        """From one number per element to probabilities."""
        if self.classes == 2:
            return array[..., np.newaxis]
        # Labels may have been stored as floats.
        with np.errstate(invalid="ignore"):
            labels = array.astype(np.uint8)
        if (labels != array).any() or labels.max(initial=0) >= self.classes:
            raise invalid(
                "predictions",
                f"labels from 0 to {self.classes - 1}, or one file per class",
                said=(
                    f"{str(self.stored[case.id].paths[0])!r} with values from {array.min()} to "
                    f"{array.max()}"
                ),
            )
        return np.equal.outer(labels, np.arange(self.classes)) * np.uint8(WHOLE)

    def with_meaning(self) -> "GivenPredictions":
        """Whether integers are 0 and 1, rather than 0..255: from all of them.

        A single prediction does not tell: all of its probabilities may round to 0 and 1 of 255.
        """
        for stored in self.stored.values():
            if stored.classes or _names_of(stored.paths[0]):
                continue  # labels
            for array in (_read(file, self.classes) for file in stored.paths):
                one_per_class = len(stored.paths) > 1 or array.shape[-1:] == (self.classes,)
                if array.dtype == bool or (self.classes > 2 and not one_per_class):
                    continue  # labels
                bounds = array.min(initial=0), array.max(initial=0)
                if array.dtype.kind not in "iu" or bounds[0] < 0 or bounds[1] > 1:
                    return self
        return replace(self, ones=True)


def _read(path: Path, classes: int) -> NDArray:
    if path.suffix == ".npz":
        return _read_archive(path, classes)
    if path.suffix == ".npy":
        try:
            open_plain(path).close()
            # Mapped, since its header may promise more than memory holds.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ValueError("an archive of several arrays")
            return np.array(array)
        except (OSError, ValueError, EOFError) as reason:
            raise invalid(
                "predictions",
                "an array of numbers",
                said=f"{str(path)!r}, which cannot be read ({reason})",
                remedy="Write it again with numpy.save.",
            ) from reason
    if not is_volume(path):
        picture = read_picture(path)
        if picture.palette is not None:
            return picture.labels(classes)
        values = picture.colours() if 1 < picture.bits < 8 else picture.values
        if (values != values[..., :1]).any():
            raise invalid(
                "predictions",
                "grey pictures of probabilities or labels",
                said=f"{str(path)!r} in colour: an image? Name the folder of the predictions",
            )
        return values[..., 0]
    from keras_robust.data.files.volumes import read_volume

    array = read_volume(path, channels=True)[0]
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def _read_archive(path: Path, classes: int) -> NDArray:
    """What nnU-Net writes with --npz: the probabilities alone are read, never a pickle."""
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            if archive.getinfo("probabilities.npy").file_size > MAX_BYTES * classes:
                raise ValueError("larger than any volume that is read")
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["probabilities"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as reason:
        raise invalid(
            "predictions",
            "an archive with `probabilities`, as nnU-Net writes it with --npz",
            said=f"{str(path)!r}, which cannot be read ({reason})",
            remedy="Validate again (nnUNetv2_train ... --val --npz), or remove it.",
        ) from reason


def _painted(masks: Sequence[NDArray], classes: Sequence[int]) -> NDArray[np.uint8]:
    """Labels from the mask of each class; later ones lie over earlier ones."""
    labels = np.zeros(masks[0].shape, np.uint8)
    for mask, label in zip(masks, classes, strict=True):
        labels[mask > 0] = label
    return labels if max(classes) > 1 else labels.astype(bool)  # type: ignore[return-value]


def _named(array: NDArray, path: Path, class_names: Sequence[str]) -> NDArray:
    """Labels by the table of names in their file; as they are where it has none.

    Raises:
        ValueError: The table has none of the names.
    """
    table = _names_of(path)
    if not table:
        return array
    own = {same_words(name): k for k, name in enumerate(class_names) if name and k}
    numbers = {label: own[words] for label, words in table.items() if words in own}
    if not numbers:
        raise invalid(
            "predictions",
            f"labels with names of the dataset's: {', '.join(class_names[1:]) or 'it has none'}",
            said=f"{str(path)!r} with {', '.join(' '.join(w) for w in list(table.values())[:5])}",
            remedy="Name the classes in `labels` of dataset.json as the model does.",
        )
    labels = np.zeros(array.shape, np.uint8)
    for label, number in numbers.items():
        labels[array == label] = number
    return labels.astype(bool) if len(class_names) == 2 else labels


def _names_of(path: Path) -> dict[int, tuple[str, ...]]:
    """The table of names that TotalSegmentator writes before the voxels of its labels."""
    if not is_volume(path):
        return {}
    with open_volume(path) as file:
        start = int(header_of(path, file, channels=True).nifti["vox_offset"])
        file.seek(HEADER)
        head = file.read(max(min(start - HEADER, MOST_NAMES), 0))
    text = head.decode("utf-8", errors="replace")
    labels = re.findall(r'<Label Key="(\d{1,5})"[^>]*><!\[CDATA\[(.*?)\]\]></Label>', text)
    return {int(key): same_words(name) for key, name in labels}


def _check_sum(array: NDArray, path: Path) -> None:
    total = array.sum(axis=-1, dtype=np.float32) / (WHOLE if array.dtype == np.uint8 else 1)
    # Each of the classes may have been cut down to whole numbers.
    if np.abs(total - 1).max(initial=0) > max(SUM_TOLERANCE, array.shape[-1] / WHOLE):
        raise invalid(
            "predictions",
            (
                "probabilities that add up to one (255 of whole numbers) over the "
                f"{array.shape[-1]} classes"
            ),
            said=(
                f"{str(path)!r}, where they add up to {total.min():.3g} to {total.max():.3g} of it"
            ),
            remedy="End the model with a softmax.",
        )


def _checked(array: NDArray, path: Path) -> NDArray:
    integers = array.dtype.kind in "iu"
    top = WHOLE if integers else 1.0
    margin = 0 if integers else OVERSHOOT
    low, high = array.min(), array.max()
    if array.dtype.kind not in "iuf" or not -margin <= low <= high <= top + margin:
        raise invalid(
            "predictions",
            "probabilities from 0 to 1, or whole numbers 0..255",
            said=f"{str(path)!r} of {array.dtype} with values from {low} to {high}",
            remedy="End the model with a sigmoid or a softmax.",
        )
    return array.astype(np.uint8) if integers else np.clip(array, 0.0, 1.0)
