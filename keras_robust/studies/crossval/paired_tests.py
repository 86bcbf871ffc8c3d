"""Is a method better than the baseline on the same cases: paired tests with Holm's correction."""

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_robust.common.errors import invalid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["paired_tests"]

MIN_PAIRS = 6  # fewer cannot reach p < 0.05 in a two-sided signed-rank test
SMALLEST_STEP = 1e-12  # of the largest value


def paired_tests(
    values: Mapping[str, Mapping[Any, float]], baseline: str, test: str = "wilcoxon"
) -> "pd.DataFrame":
    """Compare every method with the baseline, case by case or fold by fold.

    Cross-validation gives every method the same cases, so that what a case has in common for all
    methods drops out of the differences. Holm's step-down correction holds the chance of any false
    claim over all comparisons at the level of a single one.

    Args:
        values: Of every method, one value per case (or fold); pairs are the cases that both have,
            with finite values.
        baseline: The method to compare with.
        test: `"wilcoxon"`, the signed-rank test, for many cases of any distribution, or `"t"`, the
            paired t-test, for the few values that folds give.

    Returns:
        One row per other method: `method`, `pairs`, `difference` (mean of method - baseline),
        `higher` (share of the pairs in which the method's value is higher, ties half), `p`, and
        `p_holm`. Differences are rounded to twelve digits of the largest value, beyond which the
        order of a sum decides. The p-values are `nan` where there are too few pairs (six, or two
        for `"t"`), and those of `"t"` where all differences are the same, whose spread cannot be
        estimated; they are 1 where all are 0.

    Raises:
        ValueError: The baseline has no values, or the test is unknown.

    References:
        Wilcoxon 1945, https://doi.org/10.2307/3001968; Holm 1979,
        https://www.jstor.org/stable/4615733

    >>> cases = range(8)
    >>> better = {case: 0.81 + case / 100 for case in cases}
    >>> values = {"Baseline": {case: 0.8 for case in cases}, "A": better}
    >>> paired_tests(values, "Baseline").round(4).iloc[0].to_dict()["p"]
    0.0078
    """
    if baseline not in values:
        raise invalid("baseline", f"one of {sorted(values)}", baseline)
    if test not in ("wilcoxon", "t"):
        raise invalid("test", "'wilcoxon' or 't'", test)
    import pandas as pd

    rows = []
    for method, own in values.items():
        if method == baseline:
            continue
        shared = [case for case in own if case in values[baseline]]
        pairs = np.array([(own[case], values[baseline][case]) for case in shared], float)
        pairs = pairs.reshape(-1, 2)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        count, steps = len(pairs), _steps(pairs)
        rows.append(
            {
                "method": method,
                "pairs": count,
                "difference": float((pairs[:, 0] - pairs[:, 1]).mean()) if count else math.nan,
                "higher": float((np.sign(steps) / 2 + 0.5).mean()) if count else math.nan,
                "p": _p_value(steps, test),
            }
        )
    table = pd.DataFrame(rows, columns=["method", "pairs", "difference", "higher", "p"])
    table["p_holm"] = _holm(table["p"].to_numpy(float))
    return table


def _p_value(differences: np.ndarray, test: str) -> float:
    from scipy import stats

    if len(differences) < (MIN_PAIRS if test == "wilcoxon" else 2):
        return math.nan
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        # Equal pairs take no part; where SciPy finds some, it gives up the exact distribution.
        return float(stats.wilcoxon(differences[differences != 0]).pvalue)
    if np.ptp(differences) <= 1:
        return math.nan
    with warnings.catch_warnings():
        # Nearly equal differences: said by the p-value itself.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_1samp(differences, 0).pvalue)


def _steps(pairs: np.ndarray) -> np.ndarray:
    """Differences in whole steps of the twelfth digit of the largest value."""
    step = SMALLEST_STEP * np.abs(pairs).max(initial=0) or 1.0
    return np.round((pairs[:, 0] - pairs[:, 1]) / step)


def _holm(p: np.ndarray) -> np.ndarray:
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    highest = 0.0
    for rank, place in enumerate(known[np.argsort(p[known], kind="stable")]):
        highest = max(highest, min(1.0, p[place] * (len(known) - rank)))
        corrected[place] = highest
    return corrected
