"""What all that predicts a dataset has in common; without TensorFlow."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.progress import Progress
from keras_robust.data import Case

__all__ = ["case_by_case", "each_image"]


def each_image(cases: Iterable[Case]) -> list[Case]:
    """One case per image, whose masks may be of several annotators."""
    return list({case.id: case for case in cases}.values())


def case_by_case(
    cases: Iterable[Case],
    predict: Callable[[Case], NDArray[np.float32]],
    progress: Progress | None = None,
) -> Iterator[tuple[Case, NDArray[np.float32]]]:
    """Each image once, with what is predicted for it."""
    images = each_image(cases)
    for done, case in enumerate(images, start=1):
        yield case, predict(case)
        if progress:
            progress(done, len(images))
