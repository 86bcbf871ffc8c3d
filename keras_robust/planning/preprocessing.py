"""Cases cropped, normalised and resampled once, stored so that patches are read without cases."""

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import blosc2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_json
from keras_robust.common.large_arrays import large_array, slabs
from keras_robust.common.opening import read_json
from keras_robust.common.progress import Progress
from keras_robust.common.workers import run_jobs
from keras_robust.data import Case, Dataset
from keras_robust.data.files.finite import require_finite
from keras_robust.data.files.maps import WHOLE
from keras_robust.data.files.names import name_problem
from keras_robust.data.files.soft_masks import levels_of
from keras_robust.planning.fingerprint import Fingerprint, filled_box
from keras_robust.planning.intensities import normalize
from keras_robust.planning.plan import Plan
from keras_robust.planning.resampling import (
    resample_image,
    resample_labels,
    resampled_shape,
    thick_axis,
)

__all__ = ["Geometry", "PreprocessedCase", "labels_by", "preprocess", "preprocess_image"]

MIN_LOCATIONS, LOCATIONS_SHARE = 10_000, 0.01
OF_IMAGE, OF_LABELS = ("image.b2nd",), ("labels.b2nd", "locations.npz")
ANNOTATED, SIZES = "annotated", "sizes"
RULES = 2  # one more for each change of what is made of the same case, which is made anew then
# Fields of a plan that change nothing in the preprocessed cases.
OF_THE_NETWORK = (
    "configuration",
    *("preset", "memory_gib", "median_shape", "patch_size", "batch_size", "strides", "kernels"),
    *("features", "encoder", "batch_dice", "regions"),
)


@dataclass(frozen=True)
class Geometry:
    """What undoes the preprocessing of an image.

    Args:
        shape: Of the image as stored, in voxels.
        spacing_mm: Along its stored axes.
        box: First voxel and the one after the last of the crop, along the plan's axes.
        resampled_shape: After resampling, along the plan's axes.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    box: tuple[tuple[int, int], ...]
    resampled_shape: tuple[int, ...]


def preprocess_image(
    image: NDArray,
    spacing_mm: tuple[float, ...] | None,
    plan: Plan,
    fingerprint: Fingerprint,
    labels: NDArray | None = None,
) -> tuple[NDArray[np.float32], NDArray | None, Geometry]:
    """Crop to what is not 0, normalise, and resample to the plan's spacing and axes.

    Images are resampled by cubic splines, labels by the linear interpolation of each label's own
    map, and probabilities linearly; along a thick axis (3 times the others' spacing) slices are
    taken over from the nearest.

    Args:
        image: `(*spatial, channels)`, axes as stored; a memory map is read in part.
        spacing_mm: Along the stored axes; `None` for 1.
        plan: Of the data set.
        fingerprint: Of the data set, whose intensities CT is normalised by.
        labels: uint8 `(*spatial)`, or probabilities `(*spatial, K)`, where the case has a mask.

    Returns:
        The image, float32; labels or probabilities, or `None`; and the geometry that undoes it.

    Raises:
        ValueError: Axes or channels other than the plan's.
    """
    rank = image.ndim - 1
    if rank != len(plan.axes) or image.shape[-1] != len(plan.normalization):
        raise invalid(
            "image",
            (f"{len(plan.axes)} spatial axes and {len(plan.normalization)} channels, as planned"),
            said=f"shape={image.shape}",
        )
    spacing = spacing_mm or (1.0,) * rank
    shape = image.shape[:-1]
    image = image.transpose(*plan.axes, rank)
    filled = large_array(image.shape[:-1], bool)
    for rows in slabs(image.shape):
        filled[rows] = (image[rows] != 0).any(axis=-1)
    box = filled_box(filled)
    crop = tuple(slice(*edges) for edges in box)
    inside = ndimage.binary_fill_holes(filled[crop]) if plan.only_nonzero else None
    cropped = normalize(image[crop], plan.normalization, fingerprint.intensities, inside)
    current = tuple(spacing[axis] for axis in plan.axes)
    target = plan.resampled_to(current)
    new_shape = resampled_shape(cropped.shape[:-1], current, target)
    separate = thick_axis(current, target)
    resampled = resample_image(cropped, new_shape, separate)
    geometry = Geometry(shape, tuple(spacing), box, new_shape)
    return resampled, None if labels is None else labels_by(labels, plan, geometry), geometry


def labels_by(labels: NDArray, plan: Plan, geometry: Geometry) -> NDArray:
    """Labels or probabilities cropped and resampled as an image was; see `preprocess_image`."""
    spacing = tuple(geometry.spacing_mm[axis] for axis in plan.axes)
    rank, separate = len(plan.axes), thick_axis(spacing, plan.resampled_to(spacing))
    crop = tuple(slice(*edges) for edges in geometry.box)
    labels = labels.transpose(*plan.axes, *range(rank, labels.ndim))[crop]
    if labels.ndim == rank:
        return resample_labels(labels, geometry.resampled_shape, separate)
    return resample_image(labels, geometry.resampled_shape, separate, order=1)


@dataclass(frozen=True)
class PreprocessedCase:
    """A case on disk; arrays are read in part, as they are sliced.

    Args:
        images: Folder of the images, one for all annotators.
        labels_folder: Folder of one annotator's labels.
        id: Of the case.
        predicted: File of the labels that a previous stage predicted, of a cascade.
    """

    images: Path
    labels_folder: Path
    id: str
    predicted: Path | None = None

    @property
    def image(self) -> Any:
        """`(*spatial, channels)`, float32, read where it is sliced."""
        return blosc2.open(str(self.images / f"{self.id}.image.b2nd"), mode="r")

    @property
    def labels(self) -> Any:
        """uint8, read where it is sliced: labels `(*spatial)`, or, of soft masks, 255ths of each
        foreground class `(*spatial, K - 1)`; what is missing to 255 is the background's."""
        return blosc2.open(str(self.labels_folder / f"{self.id}.labels.b2nd"), mode="r")

    @property
    def previous(self) -> Any:
        """Labels that a previous stage predicted, uint8 `(*spatial)`; `None` for none."""
        return None if self.predicted is None else blosc2.open(str(self.predicted), mode="r")

    def with_previous(self, file: Path, labels: Callable[[], NDArray[np.uint8]]) -> Self:
        """The same with what a previous stage predicted, which is made if the file is not there."""
        if not file.is_file():
            atomic_write_bytes(
                file, _compressed(labels(), self.labels.chunks[: len(self.geometry.box)])
            )
        return replace(self, predicted=file)

    @property
    def locations(self) -> dict[int, NDArray[np.int32]]:
        """Voxels `(n, axes)` of each foreground class that is present, in soft masks the most
        probable, to draw patches around."""
        with self._stored_locations() as stored:
            return {int(name): stored[name] for name in stored.files if name.isdecimal()}

    @property
    def sizes(self) -> dict[int, int]:
        """How many voxels there are of each class of `locations`, which may hold fewer."""
        with self._stored_locations() as stored:
            if SIZES not in stored.files:  # of an earlier version
                return {label: len(voxels) for label, voxels in self.locations.items()}
            return {label: int(size) for label, size in enumerate(stored[SIZES]) if size}

    @property
    def annotated(self) -> NDArray[np.int32] | None:
        """Voxels `(n, axes)` of any class; `None` where the data set has no ignored label."""
        with self._stored_locations() as stored:
            return stored[ANNOTATED] if ANNOTATED in stored.files else None

    def _stored_locations(self) -> Any:
        return np.load(self.labels_folder / f"{self.id}.locations.npz", allow_pickle=False)

    @property
    def geometry(self) -> Geometry:
        """What undoes the preprocessing."""
        stored = read_json(self.images / f"{self.id}.json", dict)["geometry"]
        box = tuple((int(low), int(high)) for low, high in stored["box"])
        return Geometry(
            tuple(stored["shape"]),
            tuple(stored["spacing_mm"]),
            box,
            tuple(stored["resampled_shape"]),
        )

    def relabelled(self, folder: Path, labels: NDArray[np.uint8], dataset: Dataset) -> Self:
        """The same image with other labels, which are written to `folder`.

        Args:
            folder: For the labels.
            labels: Of the preprocessed image's shape.
            dataset: Whose classes and ignored label they have.
        """
        other = replace(self, labels_folder=folder)
        other._write_labels(labels, self.labels.chunks, dataset)
        return other

    def _write_labels(self, labels: NDArray[np.uint8], chunks: Any, dataset: Dataset) -> None:
        path = self.labels_folder / f"{self.id}.labels.b2nd"
        shares = labels.shape[len(chunks) :]
        atomic_write_bytes(path, _compressed(labels, [*chunks, *shares]))
        most_probable = _most_probable(labels) if shares else labels
        locations = _locations(most_probable, dataset, self.id)
        atomic_write_bytes(self.labels_folder / f"{self.id}.locations.npz", locations)


def preprocess(
    dataset: Dataset,
    plan: Plan,
    fingerprint: Fingerprint,
    folder: Path,
    progress: Progress | None = None,
    workers: int = 1,
) -> list[PreprocessedCase]:
    """Preprocess every case of a data set into a folder; done ones are not done again.

    Images go to `images/`, labels to `labels/` and the annotator's name, soft masks to `shares/`
    and that. Each worker holds one case. A case counts as done when its arrays are there in full
    and its JSON, which is written last, for the same plan, classes, spacing and files.

    Args:
        dataset: With one mask per image.
        plan: Of the data set.
        fingerprint: Of the data set.
        folder: Where the arrays go.
        progress: Called with (done, total).
        workers: Processes.

    Returns:
        The cases, in the data set's order.

    Raises:
        ValueError: A case has no mask or values that are not finite, or the name of an annotator
            cannot be that of a folder.
    """
    for annotator in dataset.annotators:
        if problem := name_problem("annotator", annotator):
            raise ValueError(f"Invalid value for argument `dataset`. {problem}.")
    facts = plan.model_dump(exclude=set(OF_THE_NETWORK))
    facts["intensities"] = fingerprint.model_dump()["intensities"]
    facts["labels"], facts["rules"] = [dataset.classes, dataset.ignore_label], RULES
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    cases = [_preprocessed(folder, case, dataset) for case in dataset]
    waiting = [
        case
        for case, stored in zip(dataset, cases, strict=True)
        if not (_image_is_done(stored, case, digest) and _labels_are_done(stored, case, digest))
    ]
    jobs = [
        partial(_preprocess_case, alone, alone.cases[0], plan, fingerprint, folder, digest)
        for alone in (replace(dataset, cases=(case,)) for case in waiting)
    ]
    done = len(cases) - len(waiting)
    for _ in run_jobs(jobs, workers):
        done += 1
        if progress:
            progress(done, len(cases))
    return cases


def _preprocess_case(
    dataset: Dataset, case: Case, plan: Plan, fingerprint: Fingerprint, folder: Path, digest: str
) -> None:
    sources = _source(case), _source(case, labels=True)
    stored = _preprocessed(folder, case, dataset)
    target: NDArray = dataset.read_target(case)
    soft = case.annotator in dataset.soft_annotators
    if soft and dataset.classes == 2:
        target = np.stack([1 - target, target], axis=-1)
    image = dataset.read_image(case)
    require_finite(image, case)
    image, labels, geometry = preprocess_image(image, case.spacing, plan, fingerprint, target)
    if labels is None:
        raise ValueError(f"Expected a mask for case {case.id!r}. Received: none.")
    if soft:
        # Without the background's, 0 stands for background in them, too.
        labels = levels_of(labels)[..., 1:]
    chunks = [
        min(max(1, -(-edge // 2)), size)
        for edge, size in zip(plan.window, image.shape[:-1], strict=True)
    ]
    if not _image_is_done(stored, case, digest):
        content = _compressed(image, [*chunks, image.shape[-1]])
        atomic_write_bytes(stored.images / f"{case.id}.image.b2nd", content)
        record = {"digest": digest, "source": sources[0], "geometry": asdict(geometry)}
        sizes = {"bytes": _sizes(stored.images, case.id, OF_IMAGE)}
        atomic_write_json(stored.images / f"{case.id}.json", {**record, **sizes})
    stored._write_labels(labels, chunks, dataset)
    sizes = {"bytes": _sizes(stored.labels_folder, case.id, OF_LABELS)}
    record = {"digest": digest, "source": sources[1]}
    atomic_write_json(stored.labels_folder / f"{case.id}.json", {**record, **sizes})


def _preprocessed(folder: Path, case: Case, dataset: Dataset) -> PreprocessedCase:
    kind = "shares" if case.annotator in dataset.soft_annotators else "labels"
    return PreprocessedCase(folder / "images", folder / kind / case.annotator, case.id)


def _compressed(array: NDArray, chunks: Sequence[int]) -> bytes:
    """An array in chunks of half a patch, so that a patch touches few of them."""
    made = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=list(chunks),
        cparams={"codec": blosc2.Codec.ZSTD, "nthreads": 1},
    )
    return made.to_cframe()


def _most_probable(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label with most of the 255ths, the lowest of several."""
    background = WHOLE - levels.sum(axis=-1, dtype=np.int32)
    return np.where(levels.max(axis=-1) > background, levels.argmax(axis=-1) + 1, 0).astype(
        np.uint8
    )


def _locations(labels: NDArray[np.uint8], dataset: Dataset, id: str) -> bytes:
    """A sample of the voxels of each class, and of all that are not ignored where some may be: at
    least 10,000, or one in a hundred of them."""
    generator = np.random.default_rng(zlib.crc32(id.encode()))
    names = [str(value) for value in range(1, dataset.classes)]
    if dataset.ignore_label is not None:
        names.append(ANNOTATED)
    sizes = np.zeros(dataset.classes, np.int64)
    found: dict[str, Any] = {SIZES: sizes}
    for name in names:
        chosen = labels != dataset.ignore_label if name == ANNOTATED else labels == int(name)
        voxels = np.flatnonzero(chosen)  # a third of the memory of their indices along each axis
        if name != ANNOTATED:
            sizes[int(name)] = len(voxels)
        if len(voxels):
            count = min(len(voxels), max(MIN_LOCATIONS, int(LOCATIONS_SHARE * len(voxels))))
            drawn = voxels[generator.permutation(len(voxels))[:count]]
            found[name] = np.stack(np.unravel_index(drawn, labels.shape), axis=-1).astype(np.int32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    return buffer.getvalue()


def _image_is_done(stored: PreprocessedCase, case: Case, digest: str) -> bool:
    return _is_done(stored.images, case.id, OF_IMAGE, digest, _source(case))


def _labels_are_done(stored: PreprocessedCase, case: Case, digest: str) -> bool:
    return _is_done(stored.labels_folder, case.id, OF_LABELS, digest, _source(case, labels=True))


def _is_done(
    folder: Path, id: str, endings: Sequence[str], digest: str, source: list[list[float]]
) -> bool:
    try:
        record = read_json(folder / f"{id}.json", dict)
        sizes = _sizes(folder, id, endings)
    except (OSError, ValueError):
        return False
    found = record.get("digest"), record.get("source"), record.get("bytes", sizes)
    return found == (digest, source, sizes)


def _sizes(folder: Path, id: str, endings: Sequence[str]) -> list[int]:
    """Of the files of a case, in bytes: what a copy cut short is known by."""
    return [(folder / f"{id}.{ending}").stat().st_size for ending in endings]


def _source(case: Case, labels: bool = False) -> list[list[float]]:
    """Spacing of a case, size and time of change of its image, by which labels are cropped, too,
    and of its mask."""
    files = [*case.channels, case.mask] if labels and case.mask else case.channels
    found: list[list[float]] = [list(case.spacing or ())]
    return found + [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]
