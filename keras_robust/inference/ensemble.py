"""Several trained models as one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.large_arrays import large_array
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.regions import Regions
from keras_robust.inference.cases import case_by_case, each_image

__all__ = ["Ensemble", "Predicts"]


class Predicts(Protocol):
    """What predicts images in their own grid.

    `regions` are those that it has learned in place of labels, see `keras_robust.models.labels_of`.
    """

    regions: Regions

    def probabilities(
        self, image: NDArray, spacing_mm: tuple[float, ...] | None = None
    ) -> NDArray[np.float32]: ...

    def cases(
        self,
        dataset: Dataset | Iterable[Case],
        progress: Progress | None = None,
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]: ...


class Ensemble:
    """Several predictors as one, by nnU-Net's two rules.

    Of networks that see the same, as those of all folds, the mean of logits is taken, in which one
    sure network outvotes several unsure ones. Where plans, sizes or kinds of networks differ, the
    mean of probabilities is taken, in the image's own grid, each plan counting once, however many
    networks it has.

    Args:
        members: At least one `Predictor` or `PlannedPredictor`.

    >>> from keras_robust.inference import Predictor
    >>> from keras_robust.models import UNet
    >>> members = [Predictor(UNet((32, 32, 3), features=2)) for _ in range(2)]
    >>> Ensemble(members).probabilities(np.zeros((40, 30, 3), np.uint8)).shape
    (40, 30, 1)
    """

    def __init__(self, members: Sequence[Predicts]):
        if not members:
            raise invalid("members", "at least one predictor", said="none")
        self.regions = members[0].regions
        if any(member.regions != self.regions for member in members):
            raise invalid(
                "members",
                "models of the same regions",
                said=f"{[member.regions for member in members]}",
            )
        self.members = _joined(members)

    def probabilities(
        self, image: NDArray, spacing_mm: tuple[float, ...] | None = None
    ) -> NDArray[np.float32]:
        """As those of the members."""
        return self._mean(member.probabilities(image, spacing_mm) for member in self.members)

    def cases(
        self,
        dataset: Dataset | Iterable[Case],
        progress: Progress | None = None,
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]:
        """As those of the members."""
        # In step, so that each member holds no more than what it predicts at a time.
        images = each_image(dataset)
        streams = [member.cases(images) for member in self.members]
        return case_by_case(
            images, lambda case: self._mean(next(stream)[1] for stream in streams), progress
        )

    def _mean(self, predictions: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
        first = next(predictions)
        total = large_array(first.shape)
        total += first
        for values in predictions:
            if values.shape != total.shape:
                raise invalid(
                    "members",
                    "models of the same classes",
                    said=f"{total.shape[-1]} and {values.shape[-1]} channels",
                )
            total += values
        total /= np.float32(len(self.members))
        return total


def _joined(members: Sequence[Predicts]) -> tuple[Predicts, ...]:
    """The members, those that see the same as one; see `PlannedPredictor.joined`."""
    found: list[Predicts] = []
    for member in members:
        for number, known in enumerate(found):
            one = known.joined(member) if hasattr(known, "joined") else None
            if one is not None:
                found[number] = one
                break
        else:
            found.append(member)
    return tuple(found)
