"""Masks corrected by confident predictions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.training.memorising.correction import corrected


def test_confident_predictions_replace_what_was_drawn_and_others_do_not():
    # One image of four pixels, three classes; the third pixel is ignored (255).
    probabilities = np.array(
        [[[0.05, 0.9, 0.05], [0.2, 0.1, 0.7], [1.0, 0.0, 0.0], [0.8, 0.1, 0.1]]]
    )
    masks = np.array([[0, 1, 255, 2]], np.uint8)
    found = corrected(probabilities, masks, ignore_label=255)
    assert found.tolist() == [[1, 1, 255, 0]]  # .9 and .8 are sure, .7 is not
    assert found.dtype == np.uint8


@given(
    arrays(np.float64, (2, 3, 3, 1), elements=st.floats(0, 1)),
    arrays(np.uint8, (2, 3, 3), elements=st.integers(0, 1)),
)
def test_what_was_corrected_stays_and_only_sure_pixels_change(probabilities, masks):
    once = corrected(probabilities, masks)
    np.testing.assert_array_equal(corrected(probabilities, once), once)
    unsure = (probabilities[..., 0] > 0.2) & (probabilities[..., 0] < 0.8)
    np.testing.assert_array_equal(once[unsure], masks[unsure])
    swapped = corrected(1 - probabilities, 1 - masks)
    np.testing.assert_array_equal(swapped, 1 - once)
