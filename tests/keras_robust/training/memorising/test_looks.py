"""Where a noisy curve along training is highest."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.training.memorising.looks import around, averaged, is_due, is_over, peak, smoothed

PASSES = [1, 2, 3, 5, 8, 13, 21, 34]
scores = st.lists(st.floats(0, 1), min_size=len(PASSES), max_size=len(PASSES))


def test_smoothing_by_hand():
    # ln 2 apart and of width ln 2: the neighbour weighs e^-0.5 = 0.6065, 0.6065 / 1.6065 = 0.3775.
    found = smoothed([1, 2], [1.0, 0.0], width=math.log(2))
    np.testing.assert_allclose(found, [0.6225, 0.3775], atol=1e-4)


@given(scores, st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_passes_does_not_matter(values, factor):
    scaled = smoothed([factor * number for number in PASSES], values)
    np.testing.assert_allclose(scaled, smoothed(PASSES, values), atol=1e-9)


@given(scores)
@settings(max_examples=30, deadline=None)
def test_smoothed_scores_lie_among_the_scores(values):
    found = smoothed(PASSES, values)
    assert min(values) - 1e-9 <= found.min() and found.max() <= max(values) + 1e-9
    assert peak(PASSES, values) in PASSES


def test_one_lucky_look_is_no_peak():
    steady = [0.1, 0.3, 0.5, 0.7, 0.7, 0.7, 0.6, 0.5]
    assert peak(PASSES, steady) in (5, 8)
    lucky = [*steady[:-1], 0.72]
    assert peak(PASSES, lucky) in (5, 8)


def test_looks_become_rare_in_proportion():
    looks: list[int] = []
    for number in range(1, 1001):
        if is_due(looks, number):
            looks.append(number)
    assert looks[:10] == list(range(1, 11))
    assert len(looks) < 60
    assert all(b / a < 1.2 for a, b in zip(looks[10:], looks[11:], strict=False))


@pytest.mark.parametrize("top", [10, 40])
def test_training_is_over_at_two_and_a_half_times_the_peak(top):
    passes = list(range(1, 4 * top))
    scores = [-abs(math.log(number / top)) for number in passes]
    over = [is_over(passes[:n], scores[:n]) for n in passes]
    assert over == sorted(over)
    assert passes[over.index(True)] == pytest.approx(2.5 * top, rel=0.15)


def test_a_peak_of_the_first_passes_ends_nothing():
    passes = list(range(1, 20))
    assert not is_over(passes, [1.0 / number for number in passes])


def test_the_kept_network_is_among_those_averaged():
    assert around(1, [1]) == [1]
    assert 20 in around(20, [2, 13, 14, 20, 30, 31]) and 2 not in around(20, [2, 20])


def test_means_of_weights_lie_between_and_keep_their_types():
    chance = np.random.default_rng(0)
    networks = [[chance.normal(size=(2, 3)).astype("float32"), np.uint32(n)] for n in range(4)]
    mean, counter = averaged(networks[2], networks)
    first = np.stack([one[0] for one in networks])
    assert mean.dtype == np.float32 and counter == 2
    assert (first.min(0) <= mean).all() and (mean <= first.max(0)).all()
    np.testing.assert_array_equal(averaged(networks[1], networks[1:2])[0], networks[1][0])
