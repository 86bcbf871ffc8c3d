import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import expected_calibration_error, reliability

PROBABILITIES = arrays(float, (4, 5), elements=st.floats(0, 1))
LABELS = arrays(np.uint8, (4, 5), elements=st.integers(0, 1))


def test_hand_drawn_foreground():
    # Bins (0, .5] and (.5, 1]: 4 pixels of mean .2 and 1 of 4 foreground: gap .05; 2 pixels of
    # mean .9, one foreground: gap .4. Weighed: (4 * .05 + 2 * .4) / 6 = 1 / 6.
    p, y = [0.1, 0.2, 0.2, 0.3, 0.8, 1.0], [0, 0, 1, 0, 0, 1]
    found = reliability(p, y, bins=2)
    np.testing.assert_array_equal(found.count, [4, 2])
    np.testing.assert_allclose(found.confidence, [0.2, 0.9])
    np.testing.assert_allclose(found.accuracy, [0.25, 0.5])
    np.testing.assert_array_equal(found.edges, [0, 0.5, 1])
    assert found.expected_error == pytest.approx(1 / 6)
    assert found.maximum_error == pytest.approx(0.4)
    assert expected_calibration_error(p, y, bins=2) == found.expected_error


def test_hand_drawn_classes():
    # Confidences .6, .8, .5 for labels 1, 0, 2; true are 1, 2, 2. One bin: mean 19 / 30 against
    # two of three right.
    p = [[0.1, 0.6, 0.3], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]]
    assert expected_calibration_error(p, [1, 2, 2], bins=1) == pytest.approx(2 / 3 - 19 / 30)
    found = reliability(p, [1, 2, 2], bins=10)
    np.testing.assert_array_equal(np.flatnonzero(found.count), [4, 5, 7])


def test_bins_hold_their_upper_edge_and_the_first_also_zero():
    found = reliability([0.0, 0.25, 0.5, 1.0], [0, 0, 1, 1], bins=4)
    np.testing.assert_array_equal(found.count, [2, 1, 0, 1])
    assert np.isnan(found.confidence[2]) and np.isnan(found.accuracy[2])


def test_certain_and_right_or_wrong():
    labels = np.array([0, 1, 1, 0])
    assert expected_calibration_error(labels.astype(float), labels) == 0
    assert expected_calibration_error(1.0 - labels, labels) == 1


def test_no_elements_have_no_error():
    found = reliability(np.zeros((0,)), np.zeros((0,), int))
    assert np.isnan(found.expected_error) and np.isnan(found.maximum_error)
    assert np.isnan(expected_calibration_error([0.3], [255], ignore_label=255))


@given(PROBABILITIES, LABELS, st.integers(1, 20))
def test_relations(p, y, bins):
    found = reliability(p, y, bins=bins)
    assert found.count.sum() == p.size and found.correct.sum() == y.sum()
    assert 0 <= found.expected_error <= found.maximum_error + 1e-12 <= 1 + 1e-12
    # Never less than the gap of the whole, and equal to it in one bin.
    whole = abs(p.mean() - y.mean())
    assert found.expected_error >= whole - 1e-12
    assert expected_calibration_error(p, y, bins=1) == pytest.approx(whole)
    assert expected_calibration_error(p[..., None], y, bins=bins) == found.expected_error
    rows = [reliability(*row, bins=bins) for row in zip(p, y, strict=True)]
    added = rows[0] + rows[1] + rows[2] + rows[3]
    np.testing.assert_array_equal(added.count, found.count)
    assert added.expected_error == pytest.approx(found.expected_error)


@given(PROBABILITIES, LABELS)
def test_ignored_equals_dropped(p, y):
    y = y.copy()
    y[0] = 255
    expected = expected_calibration_error(p[1:], y[1:])
    assert expected_calibration_error(p, y, ignore_label=255) == pytest.approx(expected)
    two = np.stack([1 - p, p], axis=-1)
    expected = expected_calibration_error(two[1:], y[1:])
    assert expected_calibration_error(two, y, ignore_label=255) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability([0.5], [1, 0]), r"shape of `labels`.*\(1,\).*\(2,\)"),
        (lambda: reliability([1.5], [1]), r"\[0, 1\].*1.5 to 1.5.*softmax"),
        (lambda: reliability([np.nan], [1]), r"\[0, 1\].*nan"),
        (lambda: reliability([0.5], [0.5]), r"`labels`.*integer labels"),
        (lambda: reliability([[0.1, 0.2, 0.7]], [3]), r"labels from 0 to 2.*3 to 3"),
        (lambda: reliability([0.5], [1], bins=0), r"`bins`.*bins=0"),
        (lambda: reliability([0.5], [1], bins=2) + reliability([0.5], [1]), r"2 and 15 bins"),
    ],
)
def test_errors_name_expected_and_received(call, message):
    with pytest.raises(ValueError, match=message):
        call()
