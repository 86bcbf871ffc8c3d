"""The disagreement of several models, beside their mean."""

import numpy as np
import pytest

from keras_robust.suspicion.judged import Comparison, Judged

LABELS = np.array([[0, 1, 1, 255]] * 3, np.uint8)


def compared(spread):
    case = Judged("a", LABELS, np.full((3, 4, 1), 0.5), spread=spread)
    return Comparison(case, 2, ignore_label=255)


def test_spread_is_kept_where_labels_are_known():
    assert compared(None).spread is None
    for spread in (np.full((3, 4), 51, np.uint8), np.full((3, 4), 0.2)):
        found = compared(spread).spread
        np.testing.assert_allclose(found, [[0.2, 0.2, 0.2, 0]] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    "spread", [np.zeros((3, 5)), np.full((3, 4), 1.5), np.full((3, 4), np.nan)]
)
def test_a_spread_that_does_not_fit(spread):
    with pytest.raises(ValueError, match="`spread`.*case 'a'"):
        compared(spread)
