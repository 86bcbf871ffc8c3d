import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.metrics.ranking import auroc, average_precision, precision_at_k, spearman

UNTIMED = settings(deadline=None)
CASES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6)


def orders(scores, wrong):
    """Labels, most suspicious first, in every order that the scores allow."""
    for order in itertools.permutations(range(len(scores))):
        ranked = [scores[i] for i in order]
        if ranked == sorted(ranked, reverse=True):
            yield [wrong[i] for i in order]


@UNTIMED
@given(CASES)
def test_auroc_counts_pairs(cases):
    scores, wrong = zip(*cases, strict=True)
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, bad in cases
        for b, other in cases
        if bad and not other
    ]  # fmt: skip
    value = auroc(scores, wrong)
    if pairs:
        assert value == pytest.approx(np.mean(pairs))
    else:
        assert math.isnan(value)


@UNTIMED
@given(CASES, st.integers(1, 8))
def test_precision_at_k_is_the_mean_over_all_orders(cases, k):
    scores, wrong = zip(*cases, strict=True)
    by_hand = np.mean([np.mean(order[:k]) for order in orders(scores, wrong)])
    assert precision_at_k(scores, wrong, k) == pytest.approx(by_hand)


def test_average_precision_by_hand():
    # precision at the two wrong ones: 1 of 1, 2 of 4
    assert average_precision([4, 3, 2, 1], [1, 0, 0, 1]) == pytest.approx((1 + 2 / 4) / 2)
    # all equal: one step of precision 2 of 4
    assert average_precision([7, 7, 7, 7], [1, 0, 0, 1]) == 0.5
    assert math.isnan(average_precision([1, 2], [0, 0]))


@UNTIMED
@given(CASES)
def test_against_scikit_learn(cases):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, wrong = map(np.array, zip(*cases, strict=True))
    if not wrong.any() or wrong.all():
        return
    assert auroc(scores, wrong) == pytest.approx(metrics.roc_auc_score(wrong, scores))
    expected = metrics.average_precision_score(wrong, scores)
    assert average_precision(scores, wrong) == pytest.approx(expected)


@UNTIMED
@given(CASES, st.integers(1, 4))
def test_only_the_order_of_the_scores_counts(cases, k):
    scores, wrong = map(np.array, zip(*cases, strict=True))
    stretched = np.where(scores == 4, np.inf, np.exp(scores))
    for measure in (auroc, average_precision, lambda s, w: precision_at_k(s, w, k)):
        np.testing.assert_equal(measure(scores, wrong), measure(stretched, wrong))
    np.testing.assert_allclose(auroc(-scores, wrong), 1 - auroc(scores, wrong))


@UNTIMED
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_spearman_against_scipy(pairs):
    from scipy.stats import spearmanr

    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    value = spearman(first, second)
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(spearmanr(first, second).statistic)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: auroc([1, float("nan")], [1, 0]), "NaN among them"),
        (lambda: auroc([1, 2], [1]), r"`wrong`. Expected shape \(2,\)"),
        (lambda: average_precision([[1]], [[1]]), r"shape \(1, 1\)"),
        (lambda: precision_at_k([1], [1], 0), "k >= 1"),
        (lambda: precision_at_k([], [], 1), "at least one"),
        (lambda: spearman([1, 2], [1]), r"`second`. Expected shape \(2,\)"),
    ],
)
def test_what_cannot_be_measured(call, message):
    with pytest.raises(ValueError, match=message):
        call()
