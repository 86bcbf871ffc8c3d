import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import dice, mean_dice, pooled_dice

SHAPES = st.sampled_from([(7,), (4, 5), (2, 3, 4), (0, 3)])
LABELS = SHAPES.flatmap(lambda s: st.tuples(*[arrays(np.uint8, s, elements=st.integers(0, 3))] * 2))

A = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
B = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]])


def test_hand_drawn():
    assert dice(A, B) == 0.5
    assert dice(A * 255, B.astype(bool)) == 0.5
    assert dice(A, np.zeros_like(A)) == 0.0
    assert dice(A, A) == 1.0


@pytest.mark.parametrize("empty", [1.0, 0.0, 0.5])
def test_two_empty_masks_follow_the_policy(empty):
    assert dice(np.zeros((3, 3), int), np.zeros((3, 3), int), empty=empty) == empty
    assert pooled_dice([[0]], [[0]], empty=empty) == empty


def test_nan_policy_leaves_the_image_out_of_the_mean():
    assert mean_dice([[1, 0], [0, 0]], [[1, 0], [0, 0]], empty=np.nan) == 1.0
    assert mean_dice([[1, 0], [0, 0]], [[0, 1], [0, 0]], empty=np.nan) == 0.0
    assert np.isnan(mean_dice([[0]], [[0]], empty=np.nan))
    per_class = mean_dice([[1, 1], [0, 1]], [[1, 1], [1, 0]], classes=3, empty=np.nan)
    np.testing.assert_array_equal(per_class, [0.5, np.nan])


def test_mean_and_pooled_differ_where_sizes_do():
    large, small = np.ones(100, int), np.eye(1, 100, dtype=int)[0]
    assert mean_dice([large, small], [large, small[::-1]]) == 0.5
    assert pooled_dice([large, small], [large, small[::-1]]) == pytest.approx(200 / 202)


@settings(deadline=None)
@given(LABELS)
def test_multi_class_is_binary_of_each_label(pair):
    a, b = pair
    scores = dice(a, b, classes=4)
    assert scores.shape == (3,)
    np.testing.assert_array_equal(scores, [dice(a == k, b == k) for k in (1, 2, 3)])
    np.testing.assert_array_equal(scores, dice(b, a, classes=4))
    assert ((scores >= 0) & (scores <= 1)).all()


@settings(deadline=None)
@given(LABELS)
def test_ignored_equals_dropped(pair):
    a, b = pair
    kept = (a != 3) & (b != 3)
    expected = dice(a[kept], b[kept], classes=3)
    np.testing.assert_array_equal(dice(a, b, classes=3, ignore_label=3), expected)


@settings(deadline=None)
@given(LABELS)
def test_pooled_is_dice_of_the_concatenation(pair):
    a, b = pair
    images = [a, a[::-1], b], [b, a, a]
    joined = [np.concatenate([x.ravel() for x in side]) for side in images]
    assert pooled_dice(*images) == dice(*joined)
    np.testing.assert_array_equal(pooled_dice(*images, classes=4), dice(*joined, classes=4))


def test_generators_are_enough():
    assert mean_dice((x for x in (A, B)), (x for x in (A, A))) == 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dice([1, 0], [1]), r"Expected the shape of `a`.*\(2,\).*\(1,\)"),
        (lambda: dice([0.2], [1]), r"integer labels.*float64.*p > 0.5"),
        (lambda: dice([3], [1], classes=3), r"labels from 0 to 2.*from 3 to 3"),
        (lambda: dice([-1], [1], classes=3), r"labels from 0 to 2.*from -1 to -1"),
        (lambda: dice([1], [1], classes=1), r"at least 2.*classes=1"),
        (lambda: mean_dice([[1], [1]], [[1]]), r"as many masks in both.*1 in `b`"),
        (lambda: mean_dice([[1]], [[1], [0]]), r"1 in `a`"),
        (lambda: mean_dice([], []), r"at least one mask"),
        (lambda: pooled_dice([], []), r"at least one mask"),
    ],
)
def test_errors_name_expected_and_received(call, message):
    with pytest.raises(ValueError, match=message):
        call()
