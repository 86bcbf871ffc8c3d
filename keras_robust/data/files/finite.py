"""Images that networks can be given."""

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.large_arrays import slabs
from keras_robust.data.cases import Case

__all__ = ["require_finite"]


def require_finite(image: NDArray, case: Case) -> None:
    """Refuse an image that a network would turn into NaN altogether."""
    if not all(np.isfinite(image[rows]).all() for rows in slabs(image.shape)):
        raise ValueError(
            f"Invalid value for image {case.id!r}. Expected finite values. Received: NaN or "
            f"infinity in {case.image.name}. `keras-robust verify` lists such files."
        )
