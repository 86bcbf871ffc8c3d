import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from keras_robust.planning.components import choose_components, dice_of_groups, keep_largest

LABELS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.integers(0, 3)
)


@given(LABELS)
def test_only_background_comes_and_a_second_time_changes_nothing(labels):
    found = keep_largest(labels, [(1, 2, 3), (2,)])
    assert ((found == labels) | (found == 0)).all()
    np.testing.assert_array_equal(keep_largest(found, [(2,)]), found)
    assert labels.any() == found.any()


def test_parts_are_connected_over_corners_and_equal_ones_stay():
    labels = np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0, 2]], np.uint8)
    np.testing.assert_array_equal(keep_largest(labels, [(1,)]), labels)
    np.testing.assert_array_equal(keep_largest(labels, [(2,)]), labels)
    # Of all foreground the diagonal of 1 is the largest part.
    np.testing.assert_array_equal(keep_largest(labels, [(1, 2)]), np.where(labels == 1, 1, 0))


def row(*values):
    return np.array([values], np.uint8)


def test_all_foreground_only_where_no_label_falls():
    mask = row(1, 1, 1, 0, 2)
    speck = row(1, 1, 1, 0, 2, 0, 1)
    mask = np.pad(mask, ((0, 0), (0, 2)))
    # Keeping the largest part of all would lose the 2; of label 1 alone it takes the speck away.
    found = choose_components([(speck, mask)], classes=3)
    assert found.largest == ((1,),)
    assert found.before == pytest.approx((6 / 7, 1)) and found.after == (1, 1)


def test_what_does_not_help_is_not_done():
    mask = row(1, 0, 1, 0, 2)
    assert choose_components([(mask, mask)], classes=3).largest == ()
    # One label only: the foreground is asked once, and never the label again.
    two = row(1, 1, 0, 1)
    assert choose_components([(two, row(1, 1, 0, 0))], classes=2).largest == ((1,),)


def test_ignored_voxels_and_classes_that_are_nowhere_do_not_count():
    mask = row(1, 1, 0, 3)
    predicted = row(1, 1, 0, 1)
    assert choose_components([(predicted, mask)], classes=2, ignore_label=3).largest == ()
    found = dice_of_groups([(predicted, mask)], [(1,), (2,)], ignore_label=3)
    assert found[0] == 1 and np.isnan(found[1])


def test_nothing_to_decide_on_is_an_error():
    with pytest.raises(ValueError, match="`pairs`. Expected at least one"):
        choose_components([], classes=2)


def test_decisions_equal_those_recorded_of_nnunet():
    """Of 100 random data sets, drawn anew by their seeds; see `scripts/nnunet/components.py`."""
    root = Path(__file__).parents[3]
    recorded = json.loads((root / "docs/results/nnunet/components.json").read_text())
    assert recorded["equal"] == len(recorded["cases"]) == 100
    names = runpy.run_path(str(root / "scripts/nnunet/components.py"))
    for case in recorded["cases"][:10]:
        drawn = names["draw"](case["seed"])
        options = drawn["classes"], drawn["regions"], drawn["ignore_label"]
        found = choose_components(drawn["pairs"], *options)
        assert [list(group) for group in found.largest] == case["nnunet"]
