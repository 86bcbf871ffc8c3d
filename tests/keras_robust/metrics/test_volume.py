from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import relative_volume_difference, volume, volume_difference

LABELS = arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3))
SPACING = (2.0, 0.5, 1.5)


def test_hand_drawn():
    # 3 and 2 of 6 pixels of 2 mm by 0.5 mm.
    a, b = np.array([[1, 1, 1], [0, 0, 0]]), np.array([[0, 0, 0], [0, 1, 1]])
    assert volume(a, (2.0, 0.5)) == volume(a * 255, (2.0, 0.5)) == volume(a > 0, (2.0, 0.5)) == 3
    assert volume_difference(a, b, (2.0, 0.5)) == 1
    assert volume_difference(b, a, (2.0, 0.5)) == -1
    assert relative_volume_difference(a, b) == 0.5
    assert relative_volume_difference(b, a) == pytest.approx(-1 / 3)


@pytest.mark.parametrize("policy", [{}, {"empty": nan, "missing": 1.0}])
def test_empty_masks_follow_the_policy(policy):
    nothing, some = np.zeros((2, 3), int), np.ones((2, 3), int)
    np.testing.assert_equal(
        relative_volume_difference(nothing, nothing, **policy), policy.get("empty", 0.0)
    )
    assert relative_volume_difference(some, nothing, **policy) == policy.get("missing", inf)
    assert relative_volume_difference(nothing, some, **policy) == -1
    per_class = relative_volume_difference([[1, 0]], [[0, 2]], classes=4, **policy)
    expected = [policy.get("missing", inf), -1, policy.get("empty", 0.0)]
    np.testing.assert_array_equal(per_class, expected)


@given(LABELS, LABELS)
def test_relations(a, b):
    np.testing.assert_allclose(
        volume(a, SPACING, classes=4), [volume(a == k, SPACING) for k in (1, 2, 3)]
    )
    assert volume(a, SPACING) == pytest.approx(volume(a, SPACING, classes=4).sum())
    difference = volume_difference(a, b, SPACING, classes=4)
    np.testing.assert_array_equal(difference, -volume_difference(b, a, SPACING, classes=4))
    reference = volume(b, SPACING, classes=4)
    held = reference > 0
    relative = relative_volume_difference(a, b, classes=4)
    np.testing.assert_allclose(relative[held], (difference / np.maximum(reference, 1e-9))[held])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: volume([[0.5]], (1, 1)), r"`labels`.*integer labels.*float64"),
        (lambda: volume([[1]], (1,)), r"`spacing_mm`.*2 axes"),
        (lambda: volume([[3]], (1, 1), classes=3), r"`labels`.*from 0 to 2.*3 to 3"),
        (lambda: volume_difference([[1]], [[1, 0]], (1, 1)), r"shape of `a`"),
        (lambda: relative_volume_difference([[1]], [1]), r"shape of `a`"),
    ],
)
def test_errors_name_expected_and_received(call, message):
    with pytest.raises(ValueError, match=message):
        call()
