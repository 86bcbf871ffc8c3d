"""Where two masks differ, as one map of codes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_plugin.compare.measures import label_pair

__all__ = ["AGREED", "ONLY_A", "ONLY_B", "OTHER_CLASS", "Tally", "difference", "tally"]

AGREED, ONLY_A, ONLY_B, OTHER_CLASS = 1, 2, 3, 4
# By whether A (1) and B (2) have a class there.
CODES = np.array([0, ONLY_A, ONLY_B, AGREED], np.uint8)


@dataclass(frozen=True)
class Tally:
    """How many elements have one code, and their area or volume."""

    code: int
    elements: int
    size: float


def difference(a: ArrayLike, b: ArrayLike) -> NDArray[np.uint8]:
    """Codes: 0 in neither, 1 agreed, 2 only in A, 3 only in B, 4 in both as different classes.

    Args:
        a, b: Labels of one shape, (H, W) or (D, H, W), boolean or integer.

    Raises:
        ValueError: Shapes differ, or labels are no classes.

    >>> difference([[0, 1, 1, 0, 2]], [[0, 1, 0, 1, 1]])
    array([[0, 1, 2, 3, 4]], dtype=uint8)
    """
    first, second = label_pair(a, b)
    in_a, in_b = (first != 0).view(np.uint8), (second != 0).view(np.uint8)
    codes = CODES[in_a | in_b << 1]
    codes[(codes == AGREED) & (first != second)] = OTHER_CLASS
    return codes


def tally(codes: NDArray[np.uint8], spacing: tuple[float, ...]) -> list[Tally]:
    """Elements and size of each code but 0; size in the unit of the spacing, squared or cubed.

    >>> tally(np.array([[0, 1, 1, 3]], np.uint8), (2.0, 0.5))[0]
    Tally(code=1, elements=2, size=2.0)
    """
    element = float(np.prod(spacing))
    counts = {code: int(np.count_nonzero(codes == code)) for code in range(1, OTHER_CLASS + 1)}
    return [Tally(code, count, count * element) for code, count in counts.items()]
