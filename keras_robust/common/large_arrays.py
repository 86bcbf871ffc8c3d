"""Arrays for volumes that may not fit in memory, and passing through them slice by slice."""

import tempfile
from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["large_array", "slabs"]

IN_MEMORY_BYTES = 2**30
SLAB_VALUES = 2**22


def large_array(shape: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray:
    """An array of zeros: in memory up to 1 GiB, else in a temporary file that goes with it.

    The file is made in the folder for temporary files, which the variable `TMPDIR` names.

    >>> large_array((2, 3)).sum()
    np.float32(0.0)
    """
    if prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the map keeps it
        return np.memmap(file, dtype, "w+", shape=tuple(shape))


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Parts along the first axis, of about 4 million values each.

    >>> list(slabs((5, 1024, 2048)))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    rows = max(1, SLAB_VALUES // max(1, prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
