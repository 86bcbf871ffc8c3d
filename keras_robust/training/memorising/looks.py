"""Where a noisy curve along training is highest.

What a pass over the training images changes falls as one over their number. So the curve is looked
at, and smoothed, along the logarithm of the passes: a look at pass 50 says as much of passes 40 to
60 as one at pass 5 of 4 to 6.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

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


HELD_OUT = "dice_held_out"
"""The column of the looks in logs and in the history of a run."""
COPIES = 18
"""So many looks back lies every peak that has not ended training, and what is averaged with it."""
REACH = 1.5
"""Networks of so many times more or fewer passes are averaged with the one that is kept."""


def looks(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Passes and scores of the looks in the history of a run.

    >>> looks([{"epoch": 1, "dice_held_out": 0.5}, {"epoch": 2}])
    ([1], [0.5])
    """
    of_looks = [row for row in rows if row.get(HELD_OUT) is not None]
    return [row["epoch"] for row in of_looks], [row[HELD_OUT] for row in of_looks]


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


def kept_of(passes: Sequence[int], scores: Sequence[float], held: Collection[int]) -> int:
    """The best pass among those whose weights are held."""
    values = dict(zip(passes, smoothed(passes, scores), strict=True))
    return max(held, key=lambda number: values[number])


def around(kept: int, held: Iterable[int]) -> list[int]:
    """The passes whose networks are averaged with the one of pass `kept`.

    >>> around(14, [8, 9, 10, 12, 14, 16, 18, 20, 22])
    [10, 12, 14, 16, 18, 20]
    """
    return [number for number in sorted(held) if kept / REACH <= number <= kept * REACH]


def averaged(kept: Sequence[np.ndarray], all: Iterable[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Means of the weights of all networks; whole numbers, as counters are, as those of `kept`.

    >>> first, second = [np.array([1.0]), np.array(3)], [np.array([2.0]), np.array(5)]
    >>> averaged(first, [first, second])
    [array([1.5]), array(3)]
    """
    return [
        np.mean(each, axis=0, dtype=np.float64).astype(own.dtype) if own.dtype.kind == "f" else own
        for own, *each in zip(kept, *all, strict=True)
    ]


def tell(kept: int, last: int, ended: bool, averaged: Sequence[int] = ()) -> str:
    """What was kept, in a sentence.

    >>> tell(14, 36, True, [10, 12, 14, 16])[:85]
    'Training was ended at pass 36; kept is the network of pass 14, averaged with those of'
    """
    with_others = ""
    if len(averaged) > 1:
        with_others = f", averaged with those of passes {averaged[0]} to {averaged[-1]}"
    if kept == last:
        return (
            "No sign that masks were learned by heart: Dice on held-out images still rose at "
            f"pass {last}, the last that was looked at. Kept is its network{with_others}."
        )
    how = "Training was ended" if ended else "Training ran to the end"
    return (
        f"{how} at pass {last}; kept is the network of pass {kept}{with_others}: from there on, "
        "Dice on held-out images fell, as it does when wrong masks are learned by heart."
    )


def is_over(passes: Sequence[int], scores: Sequence[float], patience: float = PATIENCE) -> bool:
    """Whether the peak lies so far back that it is not expected to be passed."""
    return bool(passes) and passes[-1] >= max(patience * peak(passes, scores), FEWEST)
