"""Predictions of any other model, as files in a folder."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import open_plain
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.grid import check_prediction
from keras_robust.data.files.maps import WHOLE, has_map, write_map
from keras_robust.data.files.names import file_name, name_problem

SUFFIXES = (".png", ".npy", ".nii.gz", ".nii")
OVERSHOOT = 0.01  # of probabilities in half precision
SUM_TOLERANCE = 0.05  # of those of all classes, after resizing


@dataclass(frozen=True)
class GivenPredictions:
    """Files with predictions, by id.

    A file `<id>` with the suffix .png, .npy, .nii.gz or .nii holds the probability of the
    foreground (0..255, or numbers from 0 to 1), or labels 0 to K - 1. A .npy file may have the
    classes as its last axis; else `<id>_0` to `<id>_K-1` hold the probabilities of the classes,
    which add up to one.

    Args:
        files: One file, or one per class, for each id.
        classes: Number of classes, background included.
        ones: Whether integers are 0 and 1, labels or certain probabilities, rather than 0..255.
    """

    files: dict[str, list[Path]]
    classes: int
    ones: bool = False

    @classmethod
    def find(cls, folder: str | Path, ids: Iterable[str], classes: int) -> "GivenPredictions":
        """Find the file, or files, of every id.

        Raises:
            FileNotFoundError: There is no such folder, or an id has no file.
        """
        folder = Path(folder)
        wanted = list(dict.fromkeys(ids))
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        # `a_0.png` of an id `a_0` is no class of `a`.
        taken = {f"{name}{suffix}" for id in wanted for name in _names(id) for suffix in SUFFIXES}
        found = {id: _files(folder, names, taken, id, classes) for id in wanted}
        missing = [id for id, files in found.items() if not files]
        if missing:
            of_classes = f", or ID_0 to ID_{classes - 1} for the classes" if classes > 2 else ""
            raise invalid(
                "predictions",
                (
                    "a folder with a file ID.png, ID.npy or ID.nii.gz for each of the "
                    f"{len(wanted)} images{of_classes}"
                ),
                said=(
                    f"predictions={str(folder)!r} without {len(missing)} of them, such as "
                    f"{missing[0]!r}"
                ),
                remedy="Predict all images, or choose a split (--split).",
                kind=FileNotFoundError,
            )
        return cls(found, classes)

    def copy(self, dataset: Dataset, folder: Path, progress: Progress | None = None) -> None:
        """Write all predictions as maps of 8 bits; those that are there are left alone.

        Args:
            dataset: With the masks, whose sizes are expected.
            folder: Where to.
            progress: Called as `progress(done, total)`.

        Raises:
            ValueError: A prediction cannot be read, or is of another size than its mask.
        """
        given = self._with_meaning()
        cases = {case.id: case for case in dataset if case.id in self.files}
        channels = 1 if self.classes == 2 else self.classes
        for number, case in enumerate(cases.values(), start=1):
            if not has_map(folder, case.id, channels):
                shape = dataset.read_mask(case).shape
                write_map(folder, case.id, given.read(case, shape), like=case.image)
            if progress is not None:
                progress(number, len(cases))

    def read(self, case: Case, shape: tuple[int, ...]) -> NDArray:
        """The prediction of an image: `(*spatial, 1)` or `(*spatial, K)`, in [0, 1] or 8-bit.

        Args:
            case: The image.
            shape: Of its mask.

        Raises:
            ValueError: It cannot be read, has another shape, lies elsewhere than the image, or
                holds no probabilities.
        """
        files = self.files[case.id]
        arrays = [_read(path, self.classes) for path in files]
        if len(arrays) > 1:
            array = np.stack(arrays, axis=-1)
        else:
            array = arrays[0]
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
                    f"{str(self.files[case.id][0])!r} with values from {array.min()} to "
                    f"{array.max()}"
                ),
            )
        return np.equal.outer(labels, np.arange(self.classes)) * np.uint8(WHOLE)

    def _with_meaning(self) -> "GivenPredictions":
        """Whether integers are 0 and 1, rather than 0..255: from all of them.

        A single prediction does not tell: all of its probabilities may round to 0 and 1 of 255.
        """
        for files in self.files.values():
            for array in (_read(file, self.classes) for file in files):
                one_per_class = len(files) > 1 or array.shape[-1:] == (self.classes,)
                if array.dtype == bool or (self.classes > 2 and not one_per_class):
                    continue  # labels
                bounds = array.min(initial=0), array.max(initial=0)
                if array.dtype.kind not in "iu" or bounds[0] < 0 or bounds[1] > 1:
                    return self
        return replace(self, ones=True)


def _names(id: str) -> dict[str, None]:
    return dict.fromkeys((id, file_name(id)))


def _files(folder: Path, names: set[str], taken: set[str], id: str, classes: int) -> list[Path]:
    for name in _names(id):
        if name_problem("id", name):
            continue  # never a path out of the folder
        for suffix in SUFFIXES:
            if f"{name}{suffix}" in names:
                return [folder / f"{name}{suffix}"]
            of_classes = [f"{name}_{label}{suffix}" for label in range(classes)]
            if names.issuperset(of_classes) and taken.isdisjoint(of_classes):
                return [folder / file for file in of_classes]
    return []


def _read(path: Path, classes: int) -> NDArray:
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
    if path.suffix == ".png":
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

    return read_volume(path)[0]


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
