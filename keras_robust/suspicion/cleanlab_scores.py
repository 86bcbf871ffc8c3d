"""cleanlab's scores of masks, over images of any size and rank, one in memory at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.suspicion.base import PerMask, Score
from keras_robust.suspicion.judged import Comparison

__all__ = ["ConfidentLearning", "Softmin"]


def _require_cleanlab(wanted: str) -> None:
    """Raise an ImportError that names the extra, where cleanlab is absent."""
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"The score {wanted} needs cleanlab. Install it with "
            "`pip install keras-robust[quality]`, or choose other scores."
        ) from error


def _softmin(comparison: Comparison) -> float:
    """One minus cleanlab's "softmin" of the probabilities of the given labels."""
    from cleanlab.internal.multilabel_scorer import softmin

    given = comparison.given_known.astype(np.float64)
    # One scale for all images: what is certain counts for nothing, and nothing is known here.
    return 1 - float(softmin(given[np.newaxis])[0]) if given.size else 0.0


class Softmin(PerMask):
    """One minus cleanlab's softmin of the probabilities of the labels."""

    function = staticmethod(_softmin)

    def __init__(self, classes: int, nu: float | None = None):
        _require_cleanlab("softmin")
        super().__init__(classes, nu)


class ConfidentLearning(Score):
    """cleanlab's share of pixels with a label issue.

    Its "num_pixel_issues". As
    `cleanlab.segmentation.filter.find_label_issues` without down-sampling, but that a volume
    counts as the pixels it is made of, and pixels that are ignored do not count.

    Reference:
        Lad and Mueller, Estimating label quality and errors in semantic segmentation data via any
        model, 2023, https://arxiv.org/abs/2307.05080
    """

    def __init__(self, classes: int, nu: float | None = None):
        _require_cleanlab("confident_learning")
        super().__init__(classes, nu)
        from cleanlab.experimental.label_issues_batched import LabelInspector

        # Stored here instead, at a tenth of the memory.
        self._inspector: Any = LabelInspector(
            num_class=classes, store_results=False, verbose=False, n_jobs=1
        )
        self._given: list[NDArray[np.float32]] = []
        self._differs: list[NDArray[np.bool_]] = []

    def learn(self, comparison: Comparison) -> None:
        """First pass: how sure the model is of each class."""
        if comparison.known.any():
            self._inspector.update_confident_thresholds(*_flat(comparison))

    def judge(self, comparison: Comparison) -> None:
        """Second pass: the probability of each label."""
        if comparison.known.any():
            self._inspector.score_label_quality(*_flat(comparison))
        self._given.append(comparison.given_known)
        self._differs.append((comparison.labels != comparison.predicted)[comparison.known])

    def scores(self) -> list[float]:
        """Share of wrong labels per image, in the order of `judge`."""
        sizes = [given.size for given in self._given]
        if not sum(sizes):
            return [0.0] * len(sizes)
        issues = int(self._inspector.get_num_issues())
        least = np.zeros(sum(sizes), bool)
        if issues:
            # Stable: equal probabilities, as of 8 bits, then fall to the same images in every run.
            order = np.argsort(np.concatenate(self._given), kind="stable")
            least[order[:issues]] = True
        parts = np.split(least, np.cumsum(sizes)[:-1])
        return [
            float(np.mean(part & differs)) if part.size else 0.0
            for part, differs in zip(parts, self._differs, strict=True)
        ]


def _flat(comparison: Comparison) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    known = comparison.known
    return (
        comparison.labels[known].astype(np.intp),
        np.ascontiguousarray(comparison.probabilities[:, known].T),
    )
