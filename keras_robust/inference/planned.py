"""Prediction with networks that were planned for a data set, in the grid of the stored images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.cases import image_of
from keras_robust.data.files.finite import require_finite
from keras_robust.inference.cases import case_by_case
from keras_robust.inference.forward import input_shape_of, mean_logits
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.plan import Plan
from keras_robust.planning.restoring import planned_probabilities
from keras_robust.training.patches.previous import PreviousStage

__all__ = ["PlannedPredictor"]

OF_PREDICTION = ("axes", "spacing_mm", "patch_size", "normalization", "only_nonzero")


class PlannedPredictor:
    """Networks with the plan that they were trained by, such as those of all folds.

    An image is cropped, normalised and resampled as for training; overlapping patches are
    predicted, mirrored, and averaged with Gaussian weights, all networks alike; what is averaged,
    and resampled back and put where the crop was, are logits, as in nnU-Net. Probabilities are made
    of them last.

    Args:
        model: From patches `(batch, *plan.patch_size, channels)` to probabilities `(batch,
            *plan.patch_size, 1)` or K channels, of regions where the plan has them; one output. Or
            several such models. See `keras_robust.models.Logits` for how logits are found.
        plan: Of the data set.
        fingerprint: Of the data set.
        mirror_axes: Axes of a patch; the prediction is the mean over all subsets of them mirrored,
            8 times slower for three. `None` for all axes, as nnU-Net does.
        overlap: Least share of a patch that the next one covers again.
        previous: Of a cascade the networks of the stage before, which are asked first.

    Raises:
        ValueError: The model does not take patches of the plan's size, or the plan is of a cascade
            and there is no previous stage.

    >>> from keras_robust.data import sample
    >>> from keras_robust.planning.fingerprint import fingerprint
    >>> from keras_robust.models import UNet
    >>> from keras_robust.planning import make_plan
    >>> few = sample().select(ids=sample().ids[:2])
    >>> found = fingerprint(few)
    >>> plan = make_plan(found, memory_gib=1).model_copy(update={"patch_size": (128, 128)})
    >>> model = UNet((128, 128, 3), features=2, depth=2)
    >>> predictor = PlannedPredictor(model, plan, found, mirror_axes=())
    >>> predictor.probabilities(few.read_image(few.cases[0])).shape
    (256, 256, 1)
    """

    def __init__(
        self,
        model: keras.Model | Sequence[keras.Model],
        plan: Plan,
        fingerprint: Fingerprint,
        *,
        mirror_axes: Sequence[int] | None = None,
        overlap: float = 0.5,
        previous: PreviousStage | None = None,
    ):
        self.models = tuple(model) if isinstance(model, Sequence) else (model,)
        self.model = self.models[0]
        expected = (*plan.patch_size, plan.channels(fingerprint.classes))
        for taken in map(input_shape_of, self.models):
            if taken != expected:
                raise invalid(
                    "model",
                    f"one that takes {expected}, patches and channels as planned",
                    said=f"a model that takes {taken}",
                )
        if plan.previous and previous is None:
            raise invalid("previous", f"networks of {plan.previous}", said="previous=None")
        self.plan, self.fingerprint, self.previous = plan, fingerprint, previous
        self.mirror_axes = tuple(
            range(len(plan.patch_size)) if mirror_axes is None else mirror_axes
        )
        self.overlap, self.regions = overlap, plan.regions
        self._predict = mean_logits(self.models, plan.regions)

    def joined(self, other: Any) -> "PlannedPredictor | None":
        """One predictor with the networks of both, the mean of whose logits it takes; `None` where
        the other one does not predict the same patches."""
        if not isinstance(other, PlannedPredictor) or self._looks_at != other._looks_at:
            return None
        return PlannedPredictor(
            (*self.models, *other.models),
            self.plan,
            self.fingerprint,
            mirror_axes=self.mirror_axes,
            overlap=self.overlap,
            previous=self.previous,
        )

    @property
    def _looks_at(self) -> tuple[Any, ...]:
        """What decides which patches its networks see, and what their channels mean."""
        channels = self.model.output_shape[-1]
        plan = self.plan.model_dump(include=set(OF_PREDICTION))
        known = self.fingerprint.classes, self.fingerprint.intensities
        before = self.previous and self.previous.key
        return plan, known, before, self.regions, self.mirror_axes, self.overlap, channels

    def probabilities(
        self,
        image: NDArray,
        spacing_mm: tuple[float, ...] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Probabilities `(*spatial, 1)` or `(*spatial, K)` of one image.

        Args:
            image: `(*spatial, channels)`, axes as stored.
            spacing_mm: Along the stored axes; `None` for 1.
            progress: Called with (windows done, total).
        """
        before = self.previous.of_image(image, spacing_mm) if self.previous else None
        return self._probabilities(image, spacing_mm, before, progress)

    def _probabilities(
        self,
        image: NDArray,
        spacing_mm: tuple[float, ...] | None,
        previous: NDArray[np.uint8] | None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        return planned_probabilities(
            self._predict,
            image,
            spacing_mm,
            self.plan,
            self.fingerprint,
            overlap=self.overlap,
            mirror_axes=self.mirror_axes,
            previous=previous,
            progress=progress,
        )

    def cases(
        self,
        dataset: Dataset | Iterable[Case],
        progress: Progress | None = None,
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]:
        """Each image of a dataset once, with its probabilities in the image's own grid."""
        return case_by_case(dataset, self._of_case, progress)

    def _of_case(self, case: Case) -> NDArray[np.float32]:
        image = image_of(case)
        require_finite(image, case)
        try:
            before = self.previous.of_case(case) if self.previous else None
            return self._probabilities(image, case.spacing, before)
        except ValueError as error:
            raise ValueError(f"Case {case.id!r} cannot be predicted. {error}") from error
