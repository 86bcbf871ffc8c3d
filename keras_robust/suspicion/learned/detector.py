"""A detector of wrong masks that is learned from the masks themselves and planted mistakes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

__all__ = ["Detection", "detect", "share_of_wrong"]

Floats = NDArray[np.float64]
FOLDS, ROUNDS = 8, 3
# The share of wrong masks is at most that of the given ones beyond a limit by that of the planted
# ones beyond it, wherever the limit lies between these quantiles of the planted, ...
LIMITS = np.linspace(0.05, 0.7, 40)
# ... and taken to be so many times the least of these bounds (masks are wrong in ways of their
# own), but no more than so much.
OF_BOUND, MOST_SUSPECTS = 2.0, 0.35
# In units of the usual deviation of a figure: what is beyond tells no more, ...
BOUNDS = (-4.0, 8.0)
LEAST_DEVIATION = 0.05
# ... where evidence counts more, and up to where the free model learns.
KNEES, FREE = (1.0, 3.0), 4.0
RIDGE = 0.003
# Where masks are few, every piece of evidence counts so much, as if so many masks said so.
USUAL_SLOPE, USUAL_MASKS = 0.1, 0.2
# With so many masks the free model counts half.
FEW = 50
# As if so many masks were known before, this many of them wrong.
KNOWN_WRONG, KNOWN_RIGHT = 1.0, 19.0
MOST_WRONG = 0.6


@dataclass(frozen=True)
class Detection:
    """Log-odds that masks are wrong, if half of all were.

    Attributes:
        given: `(n,)`, of the given masks.
        planted: `(m,)`, of those with planted mistakes.
    """

    given: Floats
    planted: Floats


def detect(
    given: Floats,
    planted: Floats,
    origin: NDArray[np.intp],
    evidence: int,
    plain: Sequence[int],
) -> Detection:
    """Tell given masks from mistakes planted into them.

    The mean of three logistic models. In the first, more evidence never makes a mask less
    suspicious, and counts more where there is much of it: it holds for what nobody has planted. The
    second weighs all figures freely within their usual range: it knows which evidence an uncertain
    model gives against right masks too; with few masks it counts less. The third is as the first,
    of plain disagreement alone, and excuses nothing: people err where images are difficult.

    The more probably a mask is wrong by the first round, the less it counts as an example of a
    right one in the next. No mask is judged by a model that saw it, or mistakes planted into it,
    where there are two or more.

    Args:
        given: `(n, figures)`.
        planted: `(m, figures)`.
        origin: `(m,)`, the given mask that each mistake was planted into.
        evidence: How many of the figures, the first ones, are evidence.
        plain: Which of these are plain disagreement.

    Returns:
        Zeros where nothing was planted.
    """
    found = Detection(np.zeros(len(given)), np.zeros(len(planted)))
    if not len(planted):
        return found
    scale = _scale(given)
    both = scale(given), scale(planted)
    chosen = list(plain)
    plainly = both[0][:, chosen], both[1][:, chosen]
    models = (
        (1.0, np.inf, _rising(*both, evidence)),
        (len(given) / (len(given) + FEW), FREE, _free(*both, evidence)),
        (1.0, np.inf, _rising(*plainly, len(chosen))),
    )
    total = sum(weight for weight, _, _ in models)
    for weight, limit, rows in models:
        one = _cross_fitted(rows, origin)
        found.given[:] += weight / total * np.clip(one.given, -limit, limit)
        found.planted[:] += weight / total * np.clip(one.planted, -limit, limit)
    return found


def _scale(given: Floats) -> Callable[[Floats], Floats]:
    """In units of their deviation from the median of the given masks, as quartiles tell it."""
    low, median, high = np.quantile(given, [0.25, 0.5, 0.75], axis=0)
    deviation = (high - low) / 1.35 + LEAST_DEVIATION
    return lambda figures: np.clip((figures - median) / deviation, *BOUNDS)


@dataclass(frozen=True)
class _Rows:
    """Figures of both, which slopes are not negative, and the usual ones."""

    given: Floats
    planted: Floats
    rising: NDArray[np.bool_]
    usual: Floats


def _rising(given: Floats, planted: Floats, evidence: int) -> _Rows:
    """With the evidence beyond each of the knees as further figures."""

    def bent(figures: Floats) -> Floats:
        beyond = [np.maximum(figures[:, :evidence] - knee, 0) for knee in KNEES]
        return np.concatenate([figures, *beyond], axis=1)

    rows = bent(given)
    rising = np.ones(rows.shape[1], bool)
    rising[evidence : given.shape[1]] = False
    return _Rows(rows, bent(planted), rising, _usual(rows, evidence))


def _free(given: Floats, planted: Floats, evidence: int) -> _Rows:
    rows = np.clip(given, -FREE, FREE)
    rising = np.zeros(rows.shape[1], bool)
    return _Rows(rows, np.clip(planted, -FREE, FREE), rising, _usual(rows, evidence))


def _usual(rows: Floats, evidence: int) -> Floats:
    return np.repeat([USUAL_SLOPE, 0.0], [evidence, rows.shape[1] - evidence])


def _cross_fitted(rows: _Rows, origin: NDArray[np.intp]) -> Detection:
    fold = _folds(len(rows.given))
    found = Detection(np.zeros(len(rows.given)), np.zeros(len(rows.planted)))
    right = np.ones(len(rows.given))
    for number_of_round in range(ROUNDS):
        model = None
        for number in range(int(fold.max()) + 1):
            own = (fold == number, fold[origin] == number)
            learn = [~one if fold.max() else one for one in own]
            weights = [right[learn[0]], right[origin][learn[1]]]
            if not all(part.sum() for part in weights):
                continue
            model = _logistic(rows, learn, weights, model)
            for values, part, chosen in zip(
                (found.given, found.planted), (rows.given, rows.planted), own, strict=True
            ):
                values[chosen] = part[chosen] @ model[:-1] + model[-1]
        right = 1 - _suspicion(found, among_all=number_of_round == 0)
    return found


def _suspicion(found: Detection, among_all: bool) -> Floats:
    """`(n,)`, how probably each given mask is wrong.

    Args:
        found: Log-odds of planted mistakes against right masks.
        among_all: Whether they were against all given masks, wrong ones included.
    """
    limits = np.quantile(found.planted, LIMITS)[:, np.newaxis]
    bounds = (found.given >= limits).mean(axis=1) / (found.planted >= limits).mean(axis=1)
    share = min(OF_BOUND * bounds.min(), MOST_SUSPECTS)
    if not share:
        return np.zeros(len(found.given))
    if among_all:
        return np.exp(np.minimum(found.given + np.log(share), 0))
    return expit(found.given + logit(share))


def _folds(count: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).permutation(count) % min(FOLDS, count)


def _logistic(
    rows: _Rows, learn: Sequence[NDArray[np.bool_]], weights: Sequence[Floats], start: Floats | None
) -> Floats:
    """Slopes and offset; where masks are few, near the usual ones."""
    figures = np.concatenate([rows.given[learn[0]], rows.planted[learn[1]]])
    target = np.repeat([0.0, 1.0], [len(part) for part in weights])
    weight = np.concatenate([part / part.sum() for part in weights]) / 2
    prior = USUAL_MASKS / len(weights[0])

    def loss(model: Floats) -> tuple[float, Floats]:
        slopes = model[:-1]
        z = figures @ slopes + model[-1]
        other = slopes - rows.usual
        value = weight @ (np.logaddexp(0, z) - target * z)
        value += RIDGE * slopes @ slopes + prior * other @ other
        away = weight * (expit(z) - target)
        held = 2 * RIDGE * slopes + 2 * prior * other
        return float(value), np.append(away @ figures + held, away.sum())

    bounds = [(0, None) if one else (None, None) for one in rows.rising] + [(None, None)]
    first = np.append(rows.usual, 0.0) if start is None else start
    options = {"maxiter": 80}
    from scipy.optimize import minimize  # slow to import

    return minimize(loss, first, jac=True, bounds=bounds, method="L-BFGS-B", options=options).x


def share_of_wrong(log_odds: Floats) -> float:
    """The share of wrong masks that is most consistent with how suspicious they are.

    Args:
        log_odds: `(n,)`, that each is wrong, if half of all were.

    >>> round(share_of_wrong(np.repeat([-9.0, 9.0], [90, 10])), 2)
    0.09
    """
    share = 0.1
    for _ in range(200):
        found = expit(log_odds + logit(share))
        share = (found.sum() + KNOWN_WRONG) / (len(log_odds) + KNOWN_WRONG + KNOWN_RIGHT)
        share = min(share, MOST_WRONG)
    return float(share)
