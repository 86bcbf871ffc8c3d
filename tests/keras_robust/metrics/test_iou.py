import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import dice, iou

LABELS = arrays(np.uint8, (4, 5), elements=st.integers(0, 3))


def test_hand_drawn():
    # 2 pixels in both, 6 in either.
    a = np.array([[1, 1, 0], [1, 1, 0]])
    assert iou(a, a[:, ::-1]) == 2 / 6
    assert iou(a * 255, a) == 1.0
    assert iou(a, 0 * a) == 0.0


@pytest.mark.parametrize("empty", [1.0, 0.0, np.nan])
def test_two_empty_masks_follow_the_policy(empty):
    np.testing.assert_equal(iou([0, 0], [0, 0], empty=empty), empty)
    np.testing.assert_array_equal(iou([1, 0], [1, 0], classes=3, empty=empty), [1.0, empty])


@given(LABELS, LABELS)
def test_follows_from_dice(a, b):
    d = dice(a, b, classes=4, ignore_label=3)
    np.testing.assert_allclose(iou(a, b, classes=4, ignore_label=3), d / (2 - d))
    np.testing.assert_array_equal(iou(a, b, classes=4), iou(b, a, classes=4))


def test_errors_are_those_of_dice():
    with pytest.raises(ValueError, match=r"Expected the shape of `a`"):
        iou([1], [1, 0])
