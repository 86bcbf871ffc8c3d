"""Where a noisy curve along training is highest.

What a pass over the training images changes falls as one over their number. So the curve is looked
at, and smoothed, along the logarithm of the passes: a look at pass 50 says as much of passes 40 to
60 as one at pass 5 of 4 to 6.
"""

from collections.abc import Sequence

import numpy as np

WIDTH = 0.4
"""Of the smoothing, in units of ln(pass); of the widths .1 to .5 the one that kept most on the
development runs of `docs/results/regimes`."""
STEP = 1.1
"""A look is due at every pass so many times as late as the last."""
PATIENCE = 2.5
"""Training is over at so many times the pass of the peak."""
FEWEST = 20
"""But not before this pass: the first ones bring the mean shape, not a peak."""


def is_due(passes: Sequence[int], now: int) -> bool:
    """Whether to look after pass `now`, counted from 1, having looked after others.

    >>> looks = []
    >>> for number in range(1, 21):
    ...     if is_due(looks, number):
    ...         looks.append(number)
    >>> looks
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19]
    """
    return not passes or now >= STEP * passes[-1]


def smoothed(passes: Sequence[int], scores: Sequence[float], width: float = WIDTH) -> np.ndarray:
    """Means of the scores around each pass, weighted by a Gaussian of ln(pass).

    Args:
        passes: at which was looked, from 1, rising `(n,)`.
        scores: at each `(n,)`.
        width: standard deviation of the Gaussian.

    >>> smoothed([1, 2, 4], [0.0, 1.0, 0.0], width=1e-3).tolist()
    [0.0, 1.0, 0.0]
    """
    at = np.log(np.asarray(passes, np.float64))
    weights = np.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
    return weights @ np.asarray(scores, np.float64) / weights.sum(1)


def peak(passes: Sequence[int], scores: Sequence[float], width: float = WIDTH) -> int:
    """The pass at which the smoothed scores are highest; the first of several.

    >>> peak([1, 2, 3, 4, 5], [0.2, 0.5, 0.6, 0.5, 0.4])
    3
    """
    return int(passes[int(np.argmax(smoothed(passes, scores, width)))])


def is_over(passes: Sequence[int], scores: Sequence[float], patience: float = PATIENCE) -> bool:
    """Whether the peak lies so far back that it is not expected to be passed."""
    return passes[-1] >= max(patience * peak(passes, scores), FEWEST)
