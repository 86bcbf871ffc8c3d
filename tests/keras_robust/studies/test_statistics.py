import math

import numpy as np
import pytest
from scipy import stats

from keras_robust.studies.statistics import compare


def random_groups(seed, sizes, shift=0.02):
    generator = np.random.default_rng(seed)
    return {
        f"loss{i}": (0.7 + shift * i + 0.01 * generator.standard_normal(n)).tolist()
        for i, n in enumerate(sizes)
    }


def test_hand_made_table():
    # a: 1 2 3 (mean 2), b: 2 3 4 (mean 3), c: 7 8 9 (mean 8); grand mean 13/3.
    # Between: 3 * ((2-13/3)^2 + (3-13/3)^2 + (8-13/3)^2) = 3 * (49 + 16 + 121)/9 = 62, 2 degrees.
    # Within: 3 groups * (1 + 0 + 1) = 6, 6 degrees, mean square 1. F = (62/2)/1 = 31.
    # For F(2, n) the tail has a closed form: p = (1 + 2F/n)^(-n/2) = (1 + 62/6)^-3 = (6/68)^3.
    test = compare({"a": [1, 2, 3], "b": [2, 3, 4], "c": [7, 8, 9]})
    assert test.f == pytest.approx(31.0, rel=1e-12)
    assert test.p == pytest.approx((6 / 68) ** 3, rel=1e-9)
    # Tukey: the standard error of a difference is sqrt(1/3 + 1/3), so q = sqrt(2) |diff| / se.
    row = test.tukey.set_index(["A", "B"]).loc[("a", "b")]
    assert row["diff"] == pytest.approx(-1.0)
    assert row["se"] == pytest.approx(math.sqrt(2 / 3))
    q = math.sqrt(2) * 1.0 / math.sqrt(2 / 3)
    assert row["p_tukey"] == pytest.approx(stats.studentized_range.sf(q, 3, 6), abs=1e-6)
    assert (test.best, test.star, test.notes) == ("c", "c", ())


@pytest.mark.parametrize("sizes", [(3, 3, 3), (3, 3), (5, 3, 4, 6), (3,) * 11])
def test_numbers_agree_with_scipy(sizes):
    groups = random_groups(len(sizes), sizes)
    test = compare(groups)
    expected = stats.f_oneway(*groups.values())
    assert test.f == pytest.approx(expected.statistic, rel=1e-9)
    assert test.p == pytest.approx(expected.pvalue, rel=1e-9)
    pairs = stats.tukey_hsd(*groups.values())
    order = list(groups)
    for row in test.tukey.itertuples():
        i, j = order.index(row.A), order.index(row.B)
        assert row.diff == pytest.approx(pairs.statistic[i, j], abs=1e-12)
        assert row.p_tukey == pytest.approx(pairs.pvalue[i, j], abs=1e-5)


def test_numbers_agree_with_statsmodels():
    multicomp = pytest.importorskip("statsmodels.stats.multicomp")
    groups = random_groups(7, (3, 4, 3, 3))
    values = np.concatenate(list(groups.values()))
    labels = [name for name, group in groups.items() for _ in group]
    expected = multicomp.pairwise_tukeyhsd(values, labels)
    test = compare(groups)
    found = test.tukey.sort_values(["A", "B"])["p_tukey"].to_numpy()
    np.testing.assert_allclose(found, expected.pvalues, atol=1e-5)


def test_star_needs_every_comparison():
    # b is close to a: the ANOVA is significant (c is far off), the pair (a, b) is not.
    close = {"a": [0.90, 0.91, 0.92], "b": [0.895, 0.905, 0.915], "c": [0.5, 0.51, 0.52]}
    test = compare(close)
    assert test.p < 0.05 and test.best == "a" and test.star is None
    assert compare({**close, "b": [0.7, 0.71, 0.72]}).star == "a"


def test_order_of_losses_does_not_matter():
    groups = random_groups(3, (3, 3, 3))
    forward, backward = compare(groups), compare(dict(reversed(groups.items())))
    assert forward.f == pytest.approx(backward.f) and forward.star == backward.star


def test_fewer_than_three_seeds_give_a_warning_and_no_star():
    test = compare({"a": [0.9, 0.901], "b": [0.5, 0.501]})
    assert test.p < 0.05 and test.star is None
    assert "Fewer than 3 seeds: a (2), b (2)" in test.notes[0]
    single = compare({"a": [0.9], "b": [0.5]})
    assert single.f is None and single.best == "a" and len(single.notes) == 2


def test_values_that_are_not_finite_are_left_out_and_named():
    groups = {"a": [0.9, 0.91, 0.92, math.nan], "b": [0.5, 0.51, 0.52], "c": [math.inf]}
    test = compare(groups)
    assert test.star == "a"
    assert test.notes[0].startswith("a: 1 value(s)") and test.notes[1].startswith("c: 1 value(s)")
    assert set(test.tukey["A"]) | set(test.tukey["B"]) == {"a", "b"}


def test_degenerate_tables_are_answered_in_words():
    same = compare({"a": [0.9] * 3, "b": [0.5] * 3})
    assert same.f is None and same.star is None and "same for all seeds" in same.notes[0]
    assert "Nothing to compare" in compare({"a": [0.9] * 3}).notes[0]
    assert compare({"a": [math.nan]}).best is None
    assert compare({}).notes == ("There are no values.",)
    # One loss without variance beside one with some is an ordinary table.
    assert compare({"a": [0.9] * 3, "b": [0.5, 0.51, 0.52]}).star == "a"


def test_significance_is_checked():
    with pytest.raises(ValueError, match="significance=5"):
        compare({"a": [1.0]}, significance=5)
