"""Soft targets between masks and predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_robust.refinement import refined_targets, sureness


@given(st.integers(2, 4), st.floats(0, 1), st.data())
def test_targets_lie_between_mask_and_prediction(classes, sure, data):
    labels = data.draw(hnp.arrays(np.uint8, (3, 4), elements=st.integers(0, classes - 1)))
    raw = data.draw(hnp.arrays(np.float64, (3, 4, classes), elements=st.floats(0.1, 1)))
    shares = raw / raw.sum(axis=-1, keepdims=True)
    predicted = shares[..., 1:] if classes == 2 else shares
    found = refined_targets(labels, predicted, sure, classes=classes)
    whole = np.stack([1 - found, found], -1) if classes == 2 else found
    drawn = np.eye(classes)[labels]
    low, high = np.minimum(drawn, shares), np.maximum(drawn, shares)
    assert (whole >= low - 1e-5).all() and (whole <= high + 1e-5).all()
    np.testing.assert_allclose(whole.sum(axis=-1), 1, atol=1e-5)
    if sure == 0:  # an audit that doubts nothing changes nothing
        np.testing.assert_array_equal(whole, drawn)


def test_ignored_elements_take_the_prediction():
    found = refined_targets(
        np.array([[1, 255]]), np.array([[[51], [51]]], np.uint8), 0, ignore_label=255
    )
    np.testing.assert_allclose(found, [[1, 0.2]], rtol=1e-6)


def test_only_what_is_more_probably_wrong_than_right_is_changed():
    scores = np.linspace(0, 5, 40)
    found = [sureness(score) for score in scores]
    assert found == sorted(found) and all(
        sure == 0 for score, sure in zip(scores, found, strict=True) if score <= np.log(2)
    )


@pytest.mark.parametrize("shape, sure", [((3, 4, 2), 0.5), ((3, 5, 1), 0.5), ((3, 4, 1), 1.5)])
def test_what_does_not_fit(shape, sure):
    with pytest.raises(ValueError, match="`probabilities`|`sure`"):
        refined_targets(np.zeros((3, 4), int), np.zeros(shape), sure)
