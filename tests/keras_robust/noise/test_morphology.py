import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.noise import dilate, erode

from .strategies import BETAS, binary_masks, disk, label_maps

operators = pytest.mark.parametrize("operator", [dilate, erode])


def iterated(mask, beta, kind):
    """The published procedure, one scipy iteration after the other; None where it fails."""
    area = int((mask > 0).sum())
    change = int(area * beta)
    target = area + change if kind == "dilate" else area - change
    present, before = mask > 0, None
    while True:
        done = present.sum() >= target or present.all()
        if kind == "erode":
            done = present.sum() <= target or not present.any()
        if done:
            break
        before = present
        step = getattr(scipy.ndimage, f"binary_{'dilation' if kind == 'dilate' else 'erosion'}")
        present = step(present)
    if before is None:
        return None
    worthless = present.all() if kind == "dilate" else not present.any()
    if worthless or abs(int(before.sum()) - target) < abs(int(present.sum()) - target):
        return before
    return present


def draw_mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


@pytest.mark.parametrize(("operator", "kind"), [(dilate, "dilate"), (erode, "erode")])
@settings(deadline=None, max_examples=150)
@given(mask=binary_masks(), beta=BETAS)
def test_equal_to_the_iterated_procedure(operator, kind, mask, beta):
    expected = iterated(mask, beta, kind)
    got = operator(mask, beta)
    np.testing.assert_array_equal(got, mask if expected is None else expected)


@settings(deadline=None, max_examples=60)
@given(mask=binary_masks(), betas=st.tuples(BETAS, BETAS))
def test_nested_and_monotone_in_beta(mask, betas):
    low, high = sorted(betas)
    little, much = dilate(mask, low), dilate(mask, high)
    assert (mask <= little).all() and (little <= much).all()
    little, much = erode(mask, low), erode(mask, high)
    assert (mask >= little).all() and (little >= much).all()


@operators
@settings(deadline=None, max_examples=60)
@given(mask=binary_masks() | label_maps(), beta=BETAS)
def test_never_vanishes_and_keeps_dtype_shape_and_input(operator, mask, beta):
    kept = mask.copy()
    for typed in (mask, mask.astype(np.uint8), mask.astype(np.int64), np.asfortranarray(mask)):
        result = operator(typed, beta)
        assert result.dtype == typed.dtype and result.shape == typed.shape
        assert set(np.unique(result)) - {0} == set(np.unique(typed)) - {0}
        assert not np.shares_memory(result, typed)
    np.testing.assert_array_equal(mask, kept)


@operators
@settings(deadline=None, max_examples=40)
@given(mask=binary_masks(), beta=BETAS)
def test_same_for_every_dtype_and_label(operator, mask, beta):
    expected = operator(mask, beta)
    for dtype, label in ((np.uint8, 1), (np.uint8, 255), (np.int32, 7)):
        result = operator((mask * label).astype(dtype), beta)
        np.testing.assert_array_equal(result, (expected * label).astype(dtype))


@settings(deadline=None, max_examples=60)
@given(mask=label_maps(), beta=BETAS)
def test_structures_of_a_label_map_do_not_touch_one_another(mask, beta):
    grown = dilate(mask, beta)
    assert (grown[mask > 0] == mask[mask > 0]).all()  # only background changes
    shrunk = erode(mask, beta)
    for label in set(np.unique(mask)) - {0}:
        np.testing.assert_array_equal(shrunk == label, erode(mask == label, beta))


def test_far_structures_grow_as_if_alone():
    mask = np.zeros((40, 80), np.uint8)
    mask[15:25, 15:25], mask[15:25, 55:65] = 1, 2
    grown = dilate(mask, 0.7)
    for label in (1, 2):
        np.testing.assert_array_equal(grown == label, dilate(mask == label, 0.7))


def test_lower_label_takes_the_background_between_first():
    mask = np.array([[1, 0, 2, 0, 0]], np.uint8)
    # each asks for one voxel more: 1 takes the gap, 2 has only its right side left
    np.testing.assert_array_equal(dilate(mask, 1.0), [[1, 1, 2, 2, 0]])


def test_dilation_by_hand():
    mask = draw_mask(".....", ".....", "..#..", ".....", ".....")
    # areas after 0, 1, 2 iterations: 1, 5, 13. Target 1 + 8 = 9 is 4 from both: the larger is kept.
    assert dilate(mask, 8).sum() == 13
    assert dilate(mask, 7).sum() == 5  # target 8: 3 from 5, 5 from 13
    assert dilate(mask, 0.9).sum() == 1  # int(0.9 * 1) = 0: nothing asked for
    assert dilate(mask, 1.0).sum() == 1  # target 2: 1 from 1, 3 from 5


def test_dilation_never_fills_the_image():
    mask = draw_mask("#..", "...", "...")
    # areas: 1, 3, 6, 8, 9; target 11 is beyond the image, and the full mask is not given
    assert dilate(mask, 10).sum() == 8


def test_erosion_by_hand():
    mask = draw_mask("#####", "#####", "#####", "#####", "#####")
    # outside counts as background: areas 25, 9, 1. Target 25 - 8 = 17 is 8 from both: smaller kept.
    assert erode(mask, 0.32).sum() == 9
    assert erode(mask, 0.31).sum() == 25  # target 25 - 7 = 18: 7 from 25, 9 from 9
    assert erode(mask, 5).sum() == 1  # target below nothing: the last mask that is not empty


@operators
@pytest.mark.parametrize("shape", [(6, 6), (4, 5, 6)])
def test_empty_and_one_voxel(operator, shape):
    empty = np.zeros(shape, np.uint8)
    np.testing.assert_array_equal(operator(empty, 0.7), empty)
    tiny = empty.copy()
    tiny.flat[0] = 1
    np.testing.assert_array_equal(operator(tiny, 0.7), tiny)
    full = np.ones(shape, np.uint8)
    np.testing.assert_array_equal(dilate(full, 0.7), full)
    assert erode(full, 0.7).any()


@operators
def test_channel_axis_is_no_dimension_of_the_object(operator):
    mask = disk(32, 8)
    np.testing.assert_array_equal(operator(mask[..., None], 0.7)[..., 0], operator(mask, 0.7))


@operators
@pytest.mark.parametrize("beta", [0.5, 0.7])
def test_mean_dice_of_disks_is_that_of_the_formula(operator, beta):
    mask = disk(256, 50)
    noisy = operator(mask, beta)
    dice = 2 * (mask & noisy).sum() / (mask.sum() + noisy.sum())
    expected = 2 / (2 + beta) if operator is dilate else 2 * (1 - beta) / (2 - beta)
    assert dice == pytest.approx(expected, abs=0.02)


@operators
def test_errors_name_the_argument(operator):
    mask = disk(16, 4)
    for beta in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"argument `beta`.*Received: beta="):
            operator(mask, beta)
    with pytest.raises(ValueError, match=r"argument `mask`.*shape \(1, 1, 16, 16\)"):
        operator(mask[None, None], 0.5)
    with pytest.raises(ValueError, match=r"argument `mask`.*dtype float64"):
        operator(mask.astype(float), 0.5)
    with pytest.raises(ValueError, match=r"argument `mask`.*label -1"):
        operator(mask.astype(int) - 1, 0.5)
