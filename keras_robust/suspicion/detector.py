"""A detector of wrong masks that is learned from the masks themselves and drawn mistakes."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["detect", "share_of_wrong"]

Floats = NDArray[np.float64]
ROUNDS = 3
FOLDS = 5
WRONG_SHARE = (0.02, 0.5)
SETTINGS = {"max_depth": 3, "learning_rate": 0.06, "max_iter": 100, "min_samples_leaf": 40}


def detect(given: Floats, drawn: Floats, origin: NDArray[np.intp], wrong: Floats) -> Floats:
    """Log-odds that each given mask is wrong, if half of all were.

    Gradient-boosted trees tell given masks from mistakes drawn into them. Each given mask counts as
    much as it is probably right; the detector says anew how probable that is, and is learned again
    (expectation maximisation). No mask is judged by trees that saw it, or mistakes drawn into it.

    Args:
        given: `(n, figures)`.
        drawn: `(m, figures)`, of mistakes.
        origin: `(m,)`, the given mask that each mistake was drawn into.
        wrong: `(n,)`, how probable it is that each given mask is wrong, to begin with.

    Returns:
        `(n,)`.
    """
    # Late: the library takes a second to import.
    from sklearn.ensemble import HistGradientBoostingClassifier

    fold = np.random.default_rng(0).permutation(len(given)) % FOLDS
    log_odds = np.zeros(len(given))
    for _ in range(ROUNDS):
        right = 1 - wrong
        for number in range(FOLDS):
            learn, from_drawn = fold != number, fold[origin] != number
            weights = [right[learn], right[origin][from_drawn]]
            # A mistake in a wrong mask may mend it.
            weights = [part / max(part.sum(), 1e-9) * len(part) for part in weights]
            halves = [weights[0] * len(weights[1]), weights[1] * len(weights[0])]
            trees = HistGradientBoostingClassifier(early_stopping=False, random_state=0, **SETTINGS)
            trees.fit(
                np.concatenate([given[learn], drawn[from_drawn]]),
                np.repeat([0, 1], [len(part) for part in halves]),
                sample_weight=np.concatenate(halves) / np.mean(np.concatenate(halves)),
            )
            log_odds[~learn] = trees.decision_function(given[~learn])
        wrong = share_of_wrong(log_odds)
    return log_odds


def share_of_wrong(log_odds: Floats) -> Floats:
    """Probability that each is wrong, by the share of wrong ones that makes it most consistent.

    >>> share_of_wrong(np.array([-9.0, -9.0, -9.0, 9.0])).round(2)
    array([0., 0., 0., 1.])
    """
    clipped = np.clip(log_odds, -30, 30)
    share = float(np.mean(WRONG_SHARE))
    for _ in range(100):
        found = expit(clipped + np.log(share / (1 - share)))
        share = float(np.clip(np.mean(found), *WRONG_SHARE))
    return expit(clipped + np.log(share / (1 - share)))
