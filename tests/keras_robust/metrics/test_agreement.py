from itertools import combinations
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import (
    average_surface_distance,
    bootstrap_interval,
    cohen_kappa,
    confusion_counts,
    dice,
    fleiss_kappa,
    pair_agreement,
    rating_counts,
    volume,
)

LABELS = st.tuples(*[arrays(np.uint8, (5, 6), elements=st.integers(0, 2))] * 2)
relations = settings(deadline=None, max_examples=60)


def fleiss_of(masks, classes=2):
    pairs = combinations(masks, 2)
    return rating_counts([confusion_counts(a, b, classes=classes) for a, b in pairs])


# --- Confusion counts and pairs -----------------------------------------------------------------


@given(LABELS, st.sampled_from([2, 3]))
@relations
def test_confusion_counts_are_those_of_every_cell(pair, classes):
    a, b = pair if classes == 3 else (pair[0] > 0, pair[1] > 0)
    counts = confusion_counts(a, b, classes=classes)
    expected = [[((a == i) & (b == j)).sum() for j in range(classes)] for i in range(classes)]
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(confusion_counts(b, a, classes=classes), counts.T)


@given(LABELS)
@relations
def test_pairs_have_the_measures_of_the_other_modules(pair):
    a, b = pair
    spacing = (0.5, 2.0)
    found = pair_agreement(a, b, spacing, classes=3)
    expected = dice(a, b, classes=3, empty=nan)
    np.testing.assert_allclose(found.dice, expected)
    drawn = average_surface_distance(a, b, spacing, classes=3, empty=nan, missing=nan)
    np.testing.assert_array_equal(found.surface_mm, drawn)
    np.testing.assert_array_equal(found.volume_a, volume(a, spacing, classes=3))
    np.testing.assert_array_equal(found.volume_b, volume(b, spacing, classes=3))
    swapped = pair_agreement(b, a, spacing, classes=3)
    np.testing.assert_array_equal(swapped.volume_difference, -found.volume_difference)
    assert swapped.mean_dice == found.mean_dice


def test_what_nobody_drew_is_no_surface_and_no_disagreement():
    nothing, some = np.zeros((2, 4, 4), int)
    some[1, 1] = 1
    both = pair_agreement(nothing, nothing, (1, 1))
    assert isnan(both.dice[0]) and isnan(both.surface_mm[0]) and both.mean_dice == 1
    one = pair_agreement(nothing, some, (1, 1))
    assert one.dice[0] == one.mean_dice == 0 and isnan(one.surface_mm[0])
    assert one.volume_difference[0] == -2  # all of it: the difference is twice the mean


def test_ignored_elements_count_for_nothing():
    a = np.array([[1, 1, 0, 9], [1, 1, 0, 0]], np.uint8)
    b = np.array([[1, 1, 9, 1], [1, 1, 0, 1]], np.uint8)
    found = pair_agreement(a, b, (1, 1), ignore_label=9)
    np.testing.assert_array_equal(found.confusion, [[1, 1], [0, 4]])
    assert found.dice[0] == 2 * 4 / (4 + 5)


@pytest.mark.parametrize(
    ("b", "message"),
    [(np.zeros((2, 3), int), r"`b`.*shape.*\(2, 3\)"), (np.zeros((2, 2)), r"`b`.*float64")],
)
def test_errors_name_the_argument(b, message):
    with pytest.raises(ValueError, match=message):
        pair_agreement(np.zeros((2, 2), int), b, (1, 1))


# --- Chance-corrected agreement -----------------------------------------------------------------


def test_cohen_kappa_by_hand():
    # Of 50: both yes 20, both no 15, so 35 agree: .7. Yes is 25 of the first and 30 of the second:
    # by chance .5 * .6 + .5 * .4 = .5; (.7 - .5) / (1 - .5) = .4.
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert cohen_kappa([[3, 0], [0, 4]]) == 1
    assert cohen_kappa([[0, 3], [3, 0]]) == -1
    assert isnan(cohen_kappa([[7, 0], [0, 0]])) and isnan(cohen_kappa(np.zeros((2, 2))))


def test_fleiss_kappa_of_fourteen_annotators_in_five_categories():
    # Ten subjects: how many of 14 chose each category. The shares of the categories are
    # 20, 28, 39, 21, 32 of 140, chance .213; observed 3.780 / 10; (.378 - .213) / .787 = .210.
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    chosen = np.array([np.repeat(range(5), row) for row in counts])
    assert fleiss_kappa(fleiss_of(chosen.T, classes=5)) == pytest.approx(0.2099, abs=5e-5)
    # Subject by subject, and annotators in any order within each, it is the same.
    shuffled = np.random.default_rng(0).permuted(chosen, axis=1)
    single = sum(fleiss_of(row[:, None], classes=5) for row in shuffled)
    assert fleiss_kappa(single) == pytest.approx(0.2099, abs=5e-5)


def test_annotators_may_differ_between_images():
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 2, (raters, 50)) for raters in (2, 3, 5)]
    found = fleiss_kappa(sum(fleiss_of(masks) for masks in images))
    # Element by element, as Gwet defines it: 50 elements of each image.
    ones = [masks.sum(axis=0) for masks in images]
    shares = [one / len(masks) for one, masks in zip(ones, images, strict=True)]
    agreeing = [
        (one * (one - 1) + (len(m) - one) * (len(m) - one - 1)) / (len(m) * (len(m) - 1))
        for one, m in zip(ones, images, strict=True)
    ]
    observed, share = np.mean(agreeing), np.mean(shares)
    chance = share**2 + (1 - share) ** 2
    assert found == pytest.approx((observed - chance) / (1 - chance))


def test_chance_agrees_little_and_copies_agree_in_full():
    generator = np.random.default_rng(1)
    masks = generator.random((4, 100_000)) < 0.2
    assert fleiss_kappa(fleiss_of(masks)) == pytest.approx(0, abs=0.01)
    assert fleiss_kappa(fleiss_of([masks[0]] * 3)) == pytest.approx(1)
    assert np.mean(masks[0] == masks[1]) > 0.65  # which is what the correction is for


@given(LABELS)
@relations
def test_two_annotators_with_equal_shares_have_one_kappa(pair):
    a = pair[0]
    b = np.random.default_rng(0).permutation(a.ravel()).reshape(a.shape)
    counts = confusion_counts(a, b, classes=3)
    np.testing.assert_allclose(cohen_kappa(counts), fleiss_kappa(rating_counts([counts])))


# --- Intervals ----------------------------------------------------------------------------------


def test_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(0).normal(0.8, 0.1, 400)
    low, high = bootstrap_interval(values, seed=3)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=error / 8)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=error / 8)
    narrow = bootstrap_interval(values, confidence=0.5, seed=3)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_interval_of_kappa_draws_images_again():
    agree, differ = np.array([[9.0, 0], [0, 9]]), np.array([[0.0, 9], [9, 0]])
    assert bootstrap_interval([agree] * 5, cohen_kappa) == (1, 1)
    low, high = bootstrap_interval([agree, differ] * 10, cohen_kappa)
    assert -1 < low < cohen_kappa(agree + differ) == 0 < high < 1


def test_images_of_a_patient_are_drawn_together():
    # 40 patients whose 1 to 9 images agree: one image each, weighted, says the same.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), rng.integers(1, 10, 40))
    values = rng.normal(0.8, 0.1, 40)[patients]
    low, high = bootstrap_interval(values, groups=[f"p{n}" for n in patients], seed=1)
    # Linearised standard error of a ratio of sums: that of (sum - mean * count) per patient.
    count = np.bincount(patients)
    residual = np.bincount(patients, values - values.mean())
    error = np.sqrt((residual**2).sum()) / count.sum()
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    apart = bootstrap_interval(values, seed=1)
    assert apart[1] - apart[0] < 0.6 * (high - low)
    assert bootstrap_interval(values, groups=range(len(values)), seed=1) == apart
    assert all(map(isnan, bootstrap_interval(values, groups=["p"] * len(values))))
    with pytest.raises(ValueError, match="`groups`.*one per image"):
        bootstrap_interval(values, groups=["p"])


def test_interval_needs_two_images_and_finite_values():
    assert all(map(isnan, bootstrap_interval([0.5])))
    assert all(map(isnan, bootstrap_interval([])))
    assert bootstrap_interval([0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="`values`.*1 others"):
        bootstrap_interval([0.5, nan])
    with pytest.raises(ValueError, match="`confidence`.*1.5"):
        bootstrap_interval([0.5, 0.6], confidence=1.5)
