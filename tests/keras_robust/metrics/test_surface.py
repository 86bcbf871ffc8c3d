import math
from dataclasses import astuple, fields
from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics import (
    SurfaceMetrics,
    average_surface_distance,
    hausdorff_distance,
    nearest,
    surface_dice,
    surface_metrics,
)
from keras_robust.metrics.surfel_areas import surfel_areas
from tests.keras_robust.metrics import surface_oracle as oracle

SHAPES = st.sampled_from([(5, 6), (4, 3, 5), (1, 7), (2, 2, 2)])
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 2))
STEPS = st.sampled_from([0.3, 0.7, 1.0, 2.5])
relations = settings(deadline=None, max_examples=60)


def spacing_of(mask, step=1.0):
    return tuple(step * s for s in (1.0, 0.6, 1.7)[: mask.ndim])


def close(found, expected, **options):
    np.testing.assert_allclose(astuple(found), astuple(expected), **options)


# --- Hand-drawn masks -------------------------------------------------------------------------


def test_a_single_pixel():
    # Its contour is a diamond through the midpoints of the edges: around each of its four corners
    # lies half a diagonal. The corners of both pixels are two steps of 0.5 mm apart, except that
    # none is shared; each corner of one has the nearest of the other at 1 mm or at 0.5 mm.
    a, b = np.zeros((2, 3, 6), bool)
    a[1, 1] = b[1, 3] = True
    # Columns of corners: 1, 2 of `a` and 3, 4 of `b`: distances 1.0, 0.5 from either side.
    found = surface_metrics(a, b, (2.0, 0.5), tolerance_mm=0.5)
    assert found == SurfaceMetrics(
        average_mm=0.75,
        average_a_to_b_mm=0.75,
        average_b_to_a_mm=0.75,
        hausdorff_mm=1.0,
        hausdorff95_mm=1.0,
        surface_dice=0.5,
    )


def test_a_row_and_its_half_weigh_elements_by_length():
    # . . . . . .      a: pixels 1 to 4, b: pixels 1 and 2, one row, spacing 1 mm.
    # . 1 1 1 1 .      Corners of `a` in columns 1..5 of two rows: ends of sqrt(2)/2, three
    # . . . . . .      of 1 between: length per row 3 + sqrt(2). Those of `b`: columns 1..3.
    a, b = np.zeros((2, 3, 6), bool)
    a[1, 1:5] = b[1, 1:3] = True
    found = surface_metrics(a, b, (1.0, 1.0), tolerance_mm=1.0)
    # From `a`: columns 1, 2, 3 at 0, column 4 (length 1) at 1, column 5 (sqrt(2)/2) at 2.
    length_a, length_b, far = 3 + sqrt(2), 1 + sqrt(2), 1 + 2 * sqrt(2) / 2
    assert found.average_a_to_b_mm == pytest.approx(far / length_a)
    assert found.average_b_to_a_mm == 0
    assert found.average_mm == pytest.approx(far / (length_a + length_b))
    assert found.hausdorff_mm == found.hausdorff95_mm == 2
    assert found.surface_dice == pytest.approx(1 - sqrt(2) / 2 / (length_a + length_b))


def test_cubes_in_three_dimensions():
    # A voxel has eight corners, each a triangle of sides sqrt(2)/2: area sqrt(3)/8. The voxels are
    # three steps of 2 mm apart along the first axis: corners at 3 and 2 steps.
    a, b = np.zeros((2, 6, 3, 3), bool)
    a[0, 1, 1] = b[3, 1, 1] = True
    found = surface_metrics(a, b, (2.0, 1.0, 1.0), tolerance_mm=4.0)
    assert astuple(found) == (5, 5, 5, 6, 6, 0.5)
    assert surfel_areas((1.0, 1.0, 1.0))[1] == pytest.approx(sqrt(3) / 8)


def test_percentile_is_weighted_by_area():
    # Corners of the long row, as above with 40 pixels: 39 of length 1 and two halves per row; the
    # element at the far end holds 0.7 of 40.4 mm: 1.75 %, the two farthest 4.2 %, the three 6.7 %.
    a, b = np.zeros((2, 1, 40), bool)
    a[0, :] = b[0, :35] = True
    # The far end is 5 steps away, the next ones 4, 3, ...
    assert hausdorff_distance(a, b, (1.0, 1.0)) == 5
    assert hausdorff_distance(a, b, (1.0, 1.0), percentile=98.5) == 5
    assert hausdorff_distance(a, b, (1.0, 1.0), percentile=97) == 4
    assert hausdorff_distance(a, b, (1.0, 1.0), percentile=95) == 3
    assert surface_metrics(a, b, (1.0, 1.0)).hausdorff95_mm == 3


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_whole_array_has_its_border_as_surface(ndim):
    full = np.ones((4,) * ndim, bool)
    found = surface_metrics(full, full, (1.0,) * ndim)
    assert astuple(found) == (0, 0, 0, 0, 0, 1)


def test_tolerance_counts_whole_steps_at_any_spacing():
    # 3 * 0.1 is a little more than 0.3.
    a, b = np.zeros((2, 1, 6), bool)
    a[0, 0] = b[0, 3] = True
    assert surface_dice(a, b, (0.1, 0.1), 0.3) == surface_dice(a, b, (1.0, 1.0), 3.0) == 1.0


# --- Surface elements -------------------------------------------------------------------------


def test_contour_lengths_by_hand():
    # Bits: 1 top left, 2 top right, 4 bottom left, 8 bottom right; 3 mm down, 4 mm across.
    areas = surfel_areas((3.0, 4.0))
    diagonal = 2.5
    assert areas[[0b0001, 0b0010, 0b0100, 0b1000, 0b0111]].tolist() == [diagonal] * 5
    assert areas[[0b0011, 0b1100]].tolist() == [4, 4]
    assert areas[[0b0101, 0b1010]].tolist() == [3, 3]
    assert areas[[0b0110, 0b1001]].tolist() == [2 * diagonal] * 2
    assert areas[[0, 15]].tolist() == [0, 0]


def test_flat_and_slanted_walls_have_the_area_of_their_planes():
    areas = surfel_areas((2.0, 3.0, 5.0))
    assert areas[0b00001111] == 15  # corners (0, j, k): a wall across the first axis
    assert areas[0b00110011] == 10
    assert areas[0b01010101] == 6
    # Corners (0, 0, k): a slanted wall, 5 mm by half the diagonal of 2 and 3 mm.
    assert areas[0b00000011] == pytest.approx(5 * sqrt(13) / 2)


@given(st.tuples(STEPS, STEPS, STEPS), st.sampled_from([2, 3]))
@relations
def test_elements_of_the_complement_and_of_other_scales(spacing, ndim):
    areas = surfel_areas(spacing[:ndim])
    assert areas.shape == (2**2**ndim,)
    np.testing.assert_allclose(areas, areas[::-1])
    assert (areas[1:-1] > 0).all()
    doubled = surfel_areas(tuple(2 * s for s in spacing[:ndim]))
    np.testing.assert_allclose(doubled, areas * 2 ** (ndim - 1))


def test_elements_follow_permuted_axes():
    spacing = (1.0, 0.4, 2.2)
    areas, turned = surfel_areas(spacing), surfel_areas((spacing[2], *spacing[:2]))
    for code in range(256):
        cube = np.array([code >> bit & 1 for bit in range(8)]).reshape(2, 2, 2)
        moved = int(np.moveaxis(cube, 2, 0).ravel() @ 2 ** np.arange(8))
        assert areas[code] == pytest.approx(turned[moved])


# --- The surface-distance package -------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(oracle.kept())))
def test_equals_the_kept_values_of_the_package(number):
    case, expected = oracle.kept()[number]
    found = surface_metrics(case.a, case.b, case.spacing_mm, case.tolerance_mm)
    assert {f.name: getattr(found, f.name) for f in fields(found)} == pytest.approx(
        expected, abs=1e-6, rel=0
    )


def test_equals_the_package():
    pytest.importorskip("surface_distance", reason="the package surface-distance is absent")
    for case in [*oracle.random_cases(120, seed=1), *(case for case, _ in oracle.kept())]:
        found = surface_metrics(case.a, case.b, case.spacing_mm, case.tolerance_mm)
        assert vars(found) == pytest.approx(oracle.package_values(case), abs=1e-6, rel=0)


# --- Relations --------------------------------------------------------------------------------


@given(PAIRS)
@relations
def test_symmetric(pair):
    a, b = pair
    one, other = (surface_metrics(*masks, spacing_of(a)) for masks in ((a, b), (b, a)))
    assert one.average_a_to_b_mm == other.average_b_to_a_mm
    for name in ("average_mm", "hausdorff_mm", "hausdorff95_mm", "surface_dice"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))


@given(PAIRS)
@relations
def test_bounds(pair):
    a, b = pair
    found = surface_metrics(a, b, spacing_of(a))
    assert 0 <= found.hausdorff95_mm <= found.hausdorff_mm
    assert 0 <= found.average_mm <= found.hausdorff_mm
    sides = found.average_a_to_b_mm, found.average_b_to_a_mm
    assert found.average_mm == inf or min(sides) <= found.average_mm * (1 + 1e-9)
    assert found.average_mm <= max(sides) * (1 + 1e-9)
    assert 0 <= found.surface_dice <= 1


@given(PAIRS)
@relations
def test_identical_masks_agree(pair):
    found = surface_metrics(pair[0], pair[0], spacing_of(pair[0]), tolerance_mm=0.0)
    assert astuple(found) == (0, 0, 0, 0, 0, 1)


@given(PAIRS, st.integers(0, 3), st.integers(0, 3))
@relations
def test_padding_moving_and_cropping_change_nothing(pair, before, after):
    padded = [np.pad(mask, (before, after)) for mask in pair]
    spacing = spacing_of(pair[0])
    assert surface_metrics(*padded, spacing) == surface_metrics(*pair, spacing)


@given(PAIRS, STEPS)
@relations
def test_distances_scale_with_the_spacing(pair, step):
    a, b = pair
    base = astuple(surface_metrics(a, b, spacing_of(a), 1.7))
    scaled = astuple(surface_metrics(a, b, spacing_of(a, step), 1.7 * step))
    expected = [value * step for value in base[:-1]] + [base[-1]]
    np.testing.assert_allclose(scaled, expected, rtol=1e-9)


@given(PAIRS)
@relations
def test_axes_may_be_flipped_and_swapped(pair):
    spacing = spacing_of(pair[0])
    expected = surface_metrics(*pair, spacing)
    close(surface_metrics(*(np.flip(m) for m in pair), spacing), expected, rtol=1e-9)
    close(surface_metrics(*(m.T for m in pair), spacing[::-1]), expected, rtol=1e-9)


@given(PAIRS, st.floats(0, 5), st.floats(0, 5))
@relations
def test_surface_dice_grows_with_the_tolerance(pair, one, other):
    low, high = (surface_dice(*pair, spacing_of(pair[0]), t) for t in sorted((one, other)))
    assert low <= high
    hausdorff = hausdorff_distance(*pair, spacing_of(pair[0]))
    assume(hausdorff < inf)
    assert surface_dice(*pair, spacing_of(pair[0]), hausdorff) == 1


@given(PAIRS, st.sampled_from([1, 2, 6]))
@relations
def test_distances_are_those_of_all_pairs(pair, reach):
    places, surface = (np.argwhere(mask) for mask in pair)
    assume(len(places) and len(surface))
    shape, spacing = pair[0].shape, spacing_of(pair[0])
    expected = np.linalg.norm((places[:, None] - surface) * spacing, axis=-1).min(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "REACH", reach)
        for many in (0, 10**6):
            patch.setattr(nearest, "MANY", many)
            found = nearest.distance_to_surface(places, surface, shape, spacing)
            np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(PAIRS, STEPS, st.sampled_from([1, 7, 2**16]))
@relations
def test_equal_steps_give_the_same_distances_by_all_pairs_and_by_tree(pair, step, block):
    places, surface = (np.argwhere(mask) for mask in pair)
    assume(len(places) and len(surface))
    shape, spacing = pair[0].shape, (step,) * pair[0].ndim
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "BLOCK", block)
        by_pairs = nearest.distance_to_surface(places, surface, shape, spacing)
        patch.setattr(nearest, "FEW_PAIRS", 0)
        by_tree = nearest.distance_to_surface(places, surface, shape, spacing)
    np.testing.assert_allclose(by_pairs, by_tree, rtol=1e-15)


@pytest.mark.parametrize("ndim", [2, 3])
def test_all_pairs_are_exact_up_to_the_size_they_are_used_for(ndim):
    corner = nearest.EXACT - 1
    places = np.array([[0] * ndim, [corner] * ndim, [corner, *[0] * (ndim - 1)]])
    surface = np.array([[corner] * ndim, [corner - 1, *[corner] * (ndim - 1)], [1] * ndim])
    found = nearest._squares_of_all_pairs(places, surface)
    expected = ((places[:, None] - surface) ** 2).sum(axis=-1).min(axis=1)
    np.testing.assert_array_equal(found, expected)


@given(SHAPES.flatmap(lambda s: st.tuples(*[arrays(np.uint8, s, elements=st.integers(0, 3))] * 2)))
@relations
def test_multi_class_is_binary_of_each_label(pair):
    a, b = pair
    tolerances = (0.5, 1.0, 2.0)
    found = surface_metrics(a, b, spacing_of(a), tolerances, classes=4)
    singles = [
        surface_metrics(a == label, b == label, spacing_of(a), tolerance)
        for label, tolerance in enumerate(tolerances, start=1)
    ]
    np.testing.assert_array_equal(astuple(found), np.transpose([astuple(s) for s in singles]))


@given(PAIRS)
@relations
def test_single_measures_are_those_of_the_whole(pair):
    a, b = pair
    spacing = spacing_of(a)
    found = surface_metrics(a, b, spacing, 1.5)
    assert average_surface_distance(a, b, spacing) == found.average_mm
    assert hausdorff_distance(a, b, spacing) == found.hausdorff_mm
    assert hausdorff_distance(a, b, spacing, percentile=95) == found.hausdorff95_mm
    assert surface_dice(a, b, spacing, 1.5) == found.surface_dice


# --- Empty masks and bad input ----------------------------------------------------------------

POLICIES = [
    {"empty_mm": 0.0, "missing_mm": inf, "empty": 1.0, "missing": 0.0},
    {"empty_mm": nan, "missing_mm": nan, "empty": nan, "missing": nan},
    {"empty_mm": 0.0, "missing_mm": 42.0, "empty": nan, "missing": 0.0},
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (0, 4)])
def test_empty_masks_follow_the_policy(shape, policy):
    nothing, some = np.zeros(shape, bool), np.ones(shape, bool)
    spacing = (1.0,) * len(shape)
    both = astuple(surface_metrics(nothing, nothing, spacing, **policy))
    np.testing.assert_array_equal(both, [policy["empty_mm"]] * 5 + [policy["empty"]])
    if not some.size:
        return
    for pair in ((nothing, some), (some, nothing)):
        found = astuple(surface_metrics(*pair, spacing, **policy))
        np.testing.assert_array_equal(found, [policy["missing_mm"]] * 5 + [policy["missing"]])
        for measure in (average_surface_distance, hausdorff_distance):
            assert measure(*pair, spacing) == inf
            assert measure(*pair, spacing, missing=7.0) == 7.0
            assert measure(nothing, nothing, spacing, empty=3.0) == 3.0
        assert surface_dice(*pair, spacing, 1.0) == 0
        assert surface_dice(nothing, nothing, spacing, 1.0) == 1
        assert math.isnan(surface_dice(nothing, nothing, spacing, 1.0, empty=nan))


def test_defaults_are_the_first_policy():
    nothing = np.zeros((3, 3), bool)
    assert astuple(surface_metrics(nothing, nothing, (1, 1))) == (0, 0, 0, 0, 0, 1)
    assert astuple(surface_metrics(nothing, ~nothing, (1, 1))) == (inf, inf, inf, inf, inf, 0)


def test_any_foreground_value_dtype_and_memory_order():
    mask, other = np.zeros((2, 6, 7), bool)
    mask[2:4, 3:6] = other[1:4, 4:6] = True
    expected = surface_metrics(mask, other, (1.0, 2.0))
    for a in (mask * 255, mask.astype(np.int8) * -1, np.asfortranarray(mask), mask.tolist()):
        assert surface_metrics(a, other, (1.0, 2.0)) == expected
    assert surface_metrics(mask[::-1], other[::-1], np.array([1, 2])) == expected


A = np.eye(4, dtype=int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: surface_metrics(A, A[:3], (1, 1)), r"`b`.*\(4, 4\).*\(3, 4\)"),
        (lambda: surface_metrics(A * 0.5, A, (1, 1)), r"`a`.*integer labels.*float64"),
        (lambda: surface_metrics(A[0], A[0], (1,)), r"2 or 3 dimensions.*\(4,\)"),
        (lambda: surface_metrics(A[None, None], A[None, None], (1,) * 4), r"2 or 3 dimensions"),
        (lambda: surface_metrics(A, A, (1,)), r"`spacing_mm`.*each of the 2 axes.*\(1,\)"),
        (lambda: surface_metrics(A, A, (1, 0)), r"positive, finite"),
        (lambda: surface_metrics(A, A, (1, nan)), r"positive, finite"),
        (lambda: surface_metrics(A, A, (1, inf)), r"positive, finite"),
        (lambda: surface_metrics(A, A, (1, 1), -1), r"`tolerance_mm`.*-1"),
        (lambda: surface_metrics(A, A, (1, 1), (1, 2)), r"`tolerance_mm`.*1 of them"),
        (lambda: surface_dice(A, A, (1, 1), nan), r"`tolerance_mm`.*nan"),
        (lambda: surface_metrics(A * 3, A, (1, 1), classes=3), r"labels from 0 to 2.*0 to 3"),
        (lambda: surface_metrics(A, A, (1, 1), classes=1), r"`classes`.*at least 2"),
        (lambda: hausdorff_distance(A, A, (1, 1), percentile=0), r"0 < percentile <= 100"),
        (lambda: hausdorff_distance(A, A, (1, 1), percentile=101), r"percentile=101"),
    ],
)
def test_errors_name_expected_and_received(call, message):
    with pytest.raises(ValueError, match=message):
        call()
