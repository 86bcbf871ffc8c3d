"""Hierarchical classes: regions that are unions of labels, such as kidney and all its masses."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from keras_robust.common.errors import invalid
from keras_robust.metrics.labels import label_array

__all__ = ["per_region"]

T = TypeVar("T")


def per_region(
    measure: Callable[..., T],
    a: ArrayLike,
    b: ArrayLike,
    *args: Any,
    regions: Mapping[str, Collection[int]],
    **options: Any,
) -> dict[str, T]:
    """Apply a measure of two masks to each region, a named union of labels.

    Args:
        measure: Called as `measure(mask_a, mask_b, *args, **options)` with boolean masks of the
            region; any measure of this package for two classes.
        a: Labels, boolean or integer.
        b: Labels, as the measure expects them.
        regions: The labels of each region; regions may overlap.

    Returns:
        What the measure returned, by name of the region, in their order.

    Raises:
        ValueError: A region holds no label; arrays are not integer; as the measure does.

    >>> from keras_robust.metrics import dice
    >>> regions = {"kidney and masses": (1, 2, 3), "masses": (2, 3), "tumour": (2,)}
    >>> per_region(dice, [0, 1, 2, 3], [1, 1, 2, 2], regions=regions)
    {'kidney and masses': 0.8571428571428571, 'masses': 1.0, 'tumour': 0.6666666666666666}
    """
    if not regions or not all(len(labels) for labels in regions.values()):
        raise invalid(
            "regions",
            "at least one region, each with at least one label",
            said=f"regions={regions}",
        )
    first, second = np.asarray(a), np.asarray(b)
    for name, array in (("a", first), ("b", second)):
        label_array(name, array[:0] if array.ndim else array, 2)
    return {
        name: measure(np.isin(first, list(labels)), np.isin(second, list(labels)), *args, **options)
        for name, labels in regions.items()
    }
