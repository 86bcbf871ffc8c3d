"""What a data set is like: shapes, spacings, intensities, sizes of the classes."""

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from keras_robust.common.errors import invalid
from keras_robust.common.large_arrays import slabs
from keras_robust.common.opening import read_json
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.finite import require_finite

__all__ = ["CaseFingerprint", "Fingerprint", "Intensities", "filled_box", "fingerprint"]

SAMPLED_VOXELS = 10_000  # of the foreground of a case


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseFingerprint(_Record):
    """One image.

    Args:
        id: Of the case.
        shape: In voxels, channels apart.
        cropped_shape: Of the box that holds all voxels that are not 0.
        spacing_mm: Of the voxels; 1 along each axis where the case has none.
        class_voxels: Voxels of each class, background first.
    """

    id: str
    shape: tuple[int, ...]
    cropped_shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    class_voxels: tuple[int, ...]

    @property
    def cropped_share(self) -> float:
        """Voxels of the box over those of the image."""
        return prod(self.cropped_shape) / prod(self.shape)


class Intensities(_Record):
    """Of the foreground of one channel, over all cases."""

    mean: float
    std: float
    median: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


class Fingerprint(_Record):
    """A data set in figures; readable as JSON.

    Args:
        classes: Background included.
        channel_names: As dataset.json names them, else numbers.
        intensities: Of each channel; `None` without any foreground.
        cases: Every image.
    """

    classes: int
    channel_names: tuple[str, ...]
    intensities: tuple[Intensities, ...] | None
    cases: tuple[CaseFingerprint, ...]


def fingerprint(
    dataset: Dataset,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Fingerprint:
    """Look at every image and mask of a data set.

    Intensities are those of 10,000 foreground voxels of each case that has some, drawn by its id:
    the same whatever the order and the number of workers, and each case counts alike.

    Args:
        dataset: With one mask per image; cases without a mask are left out.
        progress: Called with (done, total).
        workers: Threads; `None` for all CPUs. Each holds one image.

    Returns:
        The fingerprint.

    Raises:
        ValueError: No masks, several annotators, images that differ in channels or axes, or one
            with values that are not finite.

    >>> from keras_robust.data import sample
    >>> found = fingerprint(sample().select(ids=sample().ids[:3]))
    >>> found.classes, found.channel_names, found.cases[0].shape
    (2, ('0', '1', '2'), (256, 256))
    """
    cases = [case for case in dataset if case.mask is not None]
    annotators = sorted({case.annotator for case in cases})
    if len(annotators) != 1:
        raise invalid(
            "dataset",
            "the masks of one annotator",
            said=f"{', '.join(annotators) or 'no masks'}",
            remedy=(
                "Choose with `dataset.select(annotator=...)` (on the command line "
                "--annotator NAME)."
            ),
        )
    looked = []
    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16))
    try:
        for done, facts in enumerate(pool.map(lambda case: _look(dataset, case), cases), start=1):
            looked.append(facts)
            if progress:
                progress(done, len(cases))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C need not wait for the rest
    found = [case for case, _ in looked]
    kinds = {(len(case.shape), len(values)) for case, values in looked}
    if len(kinds) != 1:
        raise invalid(
            "dataset",
            "images of the same number of axes and channels",
            said=f"(axes, channels): {', '.join(map(str, sorted(kinds)))}",
        )
    values = np.concatenate([values for _, values in looked], axis=1)
    return Fingerprint(
        classes=dataset.classes,
        channel_names=_channel_names(dataset, len(values)),
        intensities=tuple(map(_describe, values)) if values.size else None,
        cases=tuple(found),
    )


def filled_box(filled: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """First voxel and the one after the last along each axis of the box around what is filled.

    Where nothing is, the box is all of it.

    >>> filled_box(np.eye(4, 5, 1, dtype=bool))
    ((0, 4), (1, 5))
    """
    box = []
    for axis, size in enumerate(filled.shape):
        others = tuple(other for other in range(filled.ndim) if other != axis)
        found = np.flatnonzero(filled.any(axis=others))
        box.append((int(found[0]), int(found[-1]) + 1) if len(found) else (0, size))
    return tuple(box)


def _look(dataset: Dataset, case: Case) -> tuple[CaseFingerprint, NDArray[np.float64]]:
    """Figures of a case, and the intensities (channels, n) of some of its foreground."""
    image, mask = dataset.read_image(case), dataset.read_mask(case)
    require_finite(image, case)
    box = filled_box((image != 0).any(axis=-1))
    foreground = np.flatnonzero((mask > 0) & (mask < dataset.classes))
    generator = np.random.default_rng(zlib.crc32(case.id.encode()))
    # Small structures count as much as large ones: their voxels are drawn more than once.
    few = len(foreground) < SAMPLED_VOXELS
    drawn = generator.choice(foreground, SAMPLED_VOXELS if len(foreground) else 0, replace=few)
    # By parts, since `bincount` makes 8 bytes of each voxel.
    counts = [np.bincount(mask[rows].ravel(), minlength=256) for rows in slabs(mask.shape)]
    voxels = np.sum(counts, axis=0)[: dataset.classes]
    found = CaseFingerprint(
        id=case.id,
        shape=mask.shape,
        cropped_shape=tuple(high - low for low, high in box),
        spacing_mm=case.spacing or (1.0,) * mask.ndim,
        class_voxels=tuple(int(n) for n in voxels),
    )
    return found, image.reshape(-1, image.shape[-1])[drawn].astype(np.float64).T


def _describe(values: NDArray[np.float64]) -> Intensities:
    low, median, high = np.percentile(values, [0.5, 50, 99.5])
    return Intensities(
        mean=float(values.mean()),
        std=float(values.std()),
        median=float(median),
        min=float(values.min()),
        max=float(values.max()),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
    )


def _channel_names(dataset: Dataset, channels: int) -> tuple[str, ...]:
    file = dataset.root / "dataset.json"
    meta = read_json(file, dict) if file.is_file() else {}
    names = meta.get("channel_names") or meta.get("modality") or {}
    listed: Sequence[str] = list(names.values()) if isinstance(names, dict) else list(names)
    if len(listed) == channels:
        return tuple(str(name) for name in listed)
    return tuple(str(number) for number in range(channels))
