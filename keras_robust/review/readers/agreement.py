"""How far two reviewers agree: in their decisions, and in the masks they hold for right."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_robust.review.log import ReviewLog

if TYPE_CHECKING:
    from keras_robust.review.session import ReviewSession

__all__ = ["ReviewAgreement", "agreement"]


@dataclass(frozen=True)
class ReviewAgreement:
    """How far two reviewers agree on the masks that both decided on.

    Args:
        reviewers: Their names.
        decisions: The decision of each by id.
        observed: Share of equal decisions; nan without any.
        kappa: Cohen's κ of the decisions; nan where chance alone explains them all.
        dice: By id, the Dice of the masks that both hold for right, the mean over the classes that
            either holds.
    """

    reviewers: tuple[str, str]
    decisions: dict[str, tuple[str, str]]
    observed: float
    kappa: float
    dice: dict[str, float]

    @property
    def mean_dice(self) -> float:
        """Mean of `dice`; nan without any."""
        return float(np.mean(list(self.dice.values()))) if self.dice else float("nan")

    @property
    def disputed(self) -> tuple[str, ...]:
        """Ids that they decide on differently, in order."""
        return tuple(id for id, (a, b) in sorted(self.decisions.items()) if a != b)


def agreement(a: "ReviewLog | ReviewSession", b: "ReviewLog | ReviewSession") -> ReviewAgreement:
    """Compare two reviewers of one dataset.

    Args:
        a: A log (see `read_log`), or the session that writes it.
        b: The other.

    Returns:
        Agreement of decisions, κ = (p_o - p_e) / (1 - p_e) with the observed share p_o of equal
        decisions and the share p_e expected of two who decide independently, each with their own
        frequencies; and of masks.

    References:
        Cohen 1960, https://doi.org/10.1177/001316446002000104
    """
    from keras_robust.metrics.overlap import drawn_dice

    first = a if isinstance(a, ReviewLog) else a.log
    second = b if isinstance(b, ReviewLog) else b.log
    own, other = first.decisions, second.decisions
    both = {id: (own[id].decision, other[id].decision) for id in own if id in other}
    observed, kappa = _kappa(list(both.values()))
    dataset = first.dataset
    overlaps: dict[str, float] = {}
    for id in both:
        one, two = first.final_mask(id), second.final_mask(id)
        if one is not None and two is not None and one.shape == two.shape:
            overlaps[id] = drawn_dice(one, two, dataset.classes, dataset.ignore_label)
    return ReviewAgreement((first.reviewer, second.reviewer), both, observed, kappa, overlaps)


def _kappa(pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Observed agreement and Cohen's κ.

    >>> _kappa([("accept", "accept"), ("accept", "repair"), ("repair", "repair"), ("reject",) * 2])
    (0.75, 0.6363636363636364)
    """
    if not pairs:
        return float("nan"), float("nan")
    own, other = zip(*pairs, strict=True)
    observed = sum(x == y for x, y in pairs) / len(pairs)
    expected = sum(own.count(x) * other.count(x) for x in set(own)) / len(pairs) ** 2
    kappa = (observed - expected) / (1 - expected) if expected < 1 else float("nan")
    return observed, kappa
