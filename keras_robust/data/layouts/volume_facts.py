"""What the files of volumes say where a dataset does not: spacing, and the number of classes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from keras_robust.data.cases import Case
from keras_robust.data.files.images import stored_values
from keras_robust.data.files.volume_header import is_volume, read_header

__all__ = ["classes_of_volumes", "with_spacing"]

SAMPLED_IDS = 16
SAMPLED_VOXELS = 2**26
MOST_CLASSES = 32  # more are rather numbered objects than classes


def with_spacing(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases, volumes without a spacing with that of their header.

    What cannot be read is left without: `verify` tells of it.
    """
    known: dict[object, tuple[float, ...] | None] = {}
    result = []
    for case in cases:
        if case.spacing is None and is_volume(case.image):
            if case.image not in known:
                try:
                    known[case.image] = read_header(case.image).spacing_mm
                except (OSError, ValueError):
                    known[case.image] = None
            case = replace(case, spacing=known[case.image])
        result.append(case)
    return tuple(result)


def classes_of_volumes(cases: Sequence[Case]) -> int:
    """The number of classes that volumes hold, from some masks evenly spread over the ids.

    The masks of at most 16 ids are read, and no further ones after 64 million voxels. A mask that
    holds more than these is refused when it is read, so that nothing is lost in silence.

    Returns:
        One more than the largest label, where every label up to it occurs; else 2.
    """
    ids = sorted({case.id for case in cases if case.mask is not None and is_volume(case.mask)})
    chosen = {ids[i] for i in np.linspace(0, len(ids) - 1, min(len(ids), SAMPLED_IDS)).astype(int)}
    found, voxels = {0}, 0
    for case in cases:
        if case.id in chosen and case.mask is not None and voxels < SAMPLED_VOXELS:
            try:
                values, count = stored_values(case.mask)
            except (OSError, ValueError):
                continue
            found, voxels = found | values, voxels + count
    contiguous = found == set(range(len(found))) and len(found) <= MOST_CLASSES
    return max(2, len(found)) if contiguous else 2
