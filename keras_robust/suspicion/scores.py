"""Suspicion scores of masks, from out-of-sample predictions of the same images."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import length_hint
from types import MappingProxyType

import numpy as np

from keras_robust.suspicion.calibration import Calibration
from keras_robust.suspicion.class_differences import (
    ClassDifferences,
    class_differences,
    soft_dice_score,
    surface_score,
)
from keras_robust.suspicion.cleanlab_scores import (
    ConfidentLearning,
    require_cleanlab,
    softmin_score,
)
from keras_robust.suspicion.default_score import DefaultScore
from keras_robust.suspicion.judged import Comparison, Judged
from keras_robust.suspicion.kinds import kind_of_error
from keras_robust.suspicion.t_scores import inverse_weights, most_likely_nu, squared_residual

__all__ = ["SCORES", "ClassDifferences", "Suspicion", "score_masks"]

Cases = Callable[[], Iterable[Judged]]
Progress = Callable[[int, int], None]

SCORES: Mapping[str, str] = MappingProxyType(
    {
        "default": "-log P(mask is right), learned from mistakes drawn into the masks of the "
        "dataset; above 0.69 it is wrong more probably than right.",
        "t_residual": "S/D, the mean squared difference of mask and probabilities.",
        "t_weight": "(ν+S)/(ν+D), one over the weight that the T-Loss gives the image.",
        "soft_dice": "One minus the Dice of mask and probabilities, mean over classes.",
        "surface": "Average symmetric surface distance of mask and prediction, mean over classes.",
        "softmin": "One minus cleanlab's softmin of the probabilities of the labels.",
        "confident_learning": "cleanlab's share of pixels with a label issue.",
    }
)
# log 2: as probably wrong as right.
DOUBTFUL = float(np.log(2))
CLEANLAB = ("softmin", "confident_learning")


@dataclass(frozen=True)
class Suspicion:
    """What the scores say of one mask.

    Attributes:
        id: Name of the image.
        scores: Every selected score by name; higher is more suspicious.
        kind: One of `keras_robust.suspicion.KINDS`.
        classes: Figures of every foreground class.
    """

    id: str
    scores: Mapping[str, float]
    kind: str
    classes: tuple[ClassDifferences, ...]


def score_masks(
    cases: Cases,
    *,
    classes: int = 2,
    scores: Collection[str] | None = None,
    nu: float | None = None,
    ignore_label: int | None = None,
    progress: Progress | None = None,
) -> list[Suspicion]:
    """Score every mask of a dataset against predictions of a model that has not seen it.

    Args:
        cases: Returns the masks with their predictions, in the same order each time it is called;
            one is in memory at a time.
        classes: Number of classes K, background included.
        scores: Names out of `SCORES`; `None` for all that can be had, which without cleanlab are
            all but its two.
        nu: ν of the training with the T-Loss, for `t_weight`; `None` for the ν at which the
            T-Loss of these masks is least.
        ignore_label: A label that stands for "unknown".
        progress: Called as `progress(done, total)`; the total is 0 where `cases()` has no length.

    Returns:
        One `Suspicion` per case, in their order.

    Raises:
        ImportError: A score needs cleanlab, which is absent.
        ValueError: A score or a case does not fit; see `Judged`.

    >>> mask = np.zeros((8, 8), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> probabilities = np.where(mask, 0.9, 0.1)[..., np.newaxis]
    >>> found = score_masks(lambda: [Judged("a", mask, probabilities), Judged("b", 1 - mask,
    ...     probabilities)], scores=["t_residual"])
    >>> [round(one.scores["t_residual"], 2) for one in found]
    [0.01, 0.81]
    """
    chosen = _chosen(scores)
    if nu is not None and not nu > 0:
        raise ValueError(
            "Invalid value for argument `nu`. Expected a positive number, or None. "
            f"Received: nu={nu}"
        )
    learning = ConfidentLearning(classes) if "confident_learning" in chosen else None
    calibration = Calibration(classes)
    done = 0

    def comparisons() -> Iterable[Comparison]:
        nonlocal done
        given = cases()
        total = 2 * length_hint(given)
        for case in given:
            yield Comparison(case, classes, ignore_label)
            done += 1
            if progress is not None:
                progress(done, total)

    for comparison in comparisons():
        calibration.add(comparison)
        if learning:
            learning.learn(comparison)
    doubt = DefaultScore(calibration)
    rows: list[dict[str, float]] = []
    found: list[tuple[str, str, tuple[ClassDifferences, ...]]] = []
    residuals: list[tuple[float, int]] = []
    for comparison in comparisons():
        figures = class_differences(comparison)
        kind = kind_of_error(comparison, doubt.add(comparison))
        found.append((comparison.id, kind, figures))
        residuals.append(squared_residual(comparison))
        rows.append(
            {
                "soft_dice": soft_dice_score(comparison, figures),
                "surface": surface_score(figures, missing=comparison.diagonal),
            }
        )
        if "softmin" in chosen:
            rows[-1]["softmin"] = softmin_score(comparison)
        if learning:
            learning.judge(comparison)
    s, d = np.array(residuals, float).reshape(-1, 2).T
    weights = inverse_weights(s, d, most_likely_nu(s, d) if nu is None else nu)
    shares = learning.scores() if learning else [0.0] * len(rows)
    doubts = doubt.scores()
    for index, row in enumerate(rows):
        row["default"] = float(doubts[index])
        row["t_residual"] = float(s[index] / d[index]) if d[index] else 0.0
        row["t_weight"] = float(weights[index]) if d[index] else 0.0
        row["confident_learning"] = shares[index]
    return [
        Suspicion(
            id,
            {name: row[name] for name in chosen},
            kind if row["default"] > DOUBTFUL else "none",
            figures,
        )
        for row, (id, kind, figures) in zip(rows, found, strict=True)
    ]


def _chosen(scores: Collection[str] | None) -> list[str]:
    """The selected names in the order of `SCORES`."""
    if scores is None:
        try:
            require_cleanlab(CLEANLAB)
        except ImportError:
            return [name for name in SCORES if name not in CLEANLAB]
        return list(SCORES)
    unknown = [name for name in scores if name not in SCORES]
    if unknown or not scores or isinstance(scores, str):
        raise ValueError(
            f"Invalid value for argument `scores`. Expected names out of {tuple(SCORES)}. "
            f"Received: scores={scores!r}"
        )
    needing = [name for name in CLEANLAB if name in scores]
    if needing:
        require_cleanlab(needing)
    return [name for name in SCORES if name in scores]
