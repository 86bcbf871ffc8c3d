"""Tools that mend a mask, by what has to hold of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.metrics.overlap import drawn_dice
from keras_robust.review import tools

shapes = st.one_of(st.tuples(*[st.integers(1, 9)] * n) for n in (2, 3))
masks = arrays(np.uint8, shapes, elements=st.integers(0, 3))
distances = st.floats(0.3, 4)

OF_ONE_CLASS = {
    "grow": lambda m, d: tools.grow(m, 1, d),
    "shrink": lambda m, d: tools.shrink(m, 1, d),
    "smooth": lambda m, d: tools.smooth(m, 1, d),
    "fill_holes": lambda m, d: tools.fill_holes(m, 1),
    "keep_largest": lambda m, d: tools.keep_largest(m, 1),
    "remove_islands": lambda m, d: tools.remove_islands(m, 1, min(1.0, d / 4)),
    "interpolate_slices": lambda m, d: tools.interpolate_slices(m, 1, 0),
    "copy_slice": lambda m, d: tools.copy_slice(m, 1, 0, 0, m.shape[0] - 1),
    "snap": lambda m, d: tools.snap(m, 1, np.roll(m, 1, 0), d),
}


def ball(radius: float, shape=(25, 40, 40), spacing=(2.0, 1.0, 1.0)) -> np.ndarray:
    grid = np.meshgrid(
        *[(np.arange(n) - n // 2) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"
    )
    return (np.sqrt(sum(axis**2 for axis in grid)) <= radius).astype(np.uint8)


@pytest.mark.parametrize("name", OF_ONE_CLASS)
@settings(max_examples=40, deadline=None)
@given(mask=masks, mm=distances)
def test_other_classes_and_the_mask_itself_stay(name, mask, mm):
    before = mask.copy()
    result = OF_ONE_CLASS[name](mask, mm)
    assert np.array_equal(mask, before), "the mask given is not changed"
    assert result.shape == mask.shape and result.dtype == np.uint8
    others = mask > 1
    assert np.array_equal(result[others], mask[others])
    assert set(np.unique(result[~others])) <= {0, 1}
    if not (mask == 1).any():
        assert np.array_equal(result, mask)


@settings(max_examples=60, deadline=None)
@given(mask=masks, mm=distances, more=distances)
def test_growing_and_shrinking_keep_their_order(mask, mm, more):
    own = mask == 1
    grown, shrunk = tools.grow(mask, 1, mm) == 1, tools.shrink(mask, 1, mm) == 1
    assert not (own & ~grown).any() and not (shrunk & ~own).any()
    wider = tools.grow(mask, 1, mm + more) == 1
    assert not (grown & ~wider).any(), "further is no less"
    alone = own.astype(np.uint8)
    back = tools.shrink(tools.grow(alone, 1, mm), 1, mm) == 1
    edge = np.ones(mask.shape, bool)
    edge[tuple(slice(5, -5) for _ in mask.shape)] = False
    assert not ((own & ~back) & ~edge).any(), "what was grown covers the mask when shrunk again"


@settings(max_examples=60, deadline=None)
@given(mask=masks)
def test_pieces_are_kept_or_go_whole(mask):
    largest = tools.keep_largest(mask, 1)
    assert np.array_equal(tools.keep_largest(largest, 1), largest)
    assert not ((largest == 1) & (mask != 1)).any()
    filled = tools.fill_holes(mask, 1)
    assert np.array_equal(tools.fill_holes(filled, 1), filled)
    some = tuple(n // 2 for n in mask.shape)
    assert tools.change_piece(mask, some, int(mask[some])).tolist() == mask.tolist()
    assert tools.change_piece(mask, some, 0)[some] == 0
    assert np.array_equal(tools.swap_classes(tools.swap_classes(mask, 1, 2), 2, 1), mask)
    assert np.array_equal(tools.take_piece(mask, mask, some), mask)
    taken = tools.take_piece(mask, np.roll(mask, 1, 0), some)
    assert taken[some] == np.roll(mask, 1, 0)[some]


def test_distances_are_in_millimetres():
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[4, 4, 4] = 1
    # 2.1 mm: one step of 2 mm along the first axis; along the others two steps of 1 mm, and one
    # step to each side at once: 13 in the slice itself, and the one above and below.
    assert tools.grow(mask, 1, 2.1, (2.0, 1.0, 1.0)).sum() == 13 + 2
    assert tools.grow(mask, 1, 1.5, (2.0, 1.0, 1.0)).sum() == 9
    for radius in (8, 12):
        grown = tools.grow(ball(radius), 1, 3.0, (2.0, 1.0, 1.0))
        assert drawn_dice(grown, ball(radius + 3), 2) > 0.93
        shrunk = tools.shrink(ball(radius), 1, 3.0, (2.0, 1.0, 1.0))
        assert drawn_dice(shrunk, ball(radius - 3), 2) > 0.9


def test_a_mask_drawn_every_fifth_slice_is_interpolated():
    truth = ball(18)
    drawn = np.zeros_like(truth)
    inside = np.flatnonzero(truth.any(axis=(1, 2)))
    for index in {*inside[::5], inside[-1]}:
        drawn[index] = truth[index]
    assert drawn_dice(drawn, truth, 2) < 0.5
    assert drawn_dice(tools.interpolate_slices(drawn, 1, 0, (2.0, 1.0, 1.0)), truth, 2) > 0.9


def test_smoothing_takes_spurs_and_bays_and_keeps_the_ball():
    truth = ball(14)
    rough = truth.copy()
    rough[12, 18:20, :4], rough[12, 20, 20:36] = 1, 0
    smoothed = tools.smooth(rough, 1, 3.0, (2.0, 1.0, 1.0))
    assert drawn_dice(smoothed, truth, 2) > 0.98
    assert not smoothed[12, 18:20, :4].any() and smoothed[12, 20, 20:32].all()


def test_an_outline_snaps_to_the_evidence_near_it_alone():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:30, 10:30] = 1
    drawn = np.zeros_like(truth)
    drawn[12:32, 9:29] = 1
    drawn[12:15, 29:38] = 1  # a spur that is further off than 3
    snapped = tools.snap(drawn, 1, truth, 3.0)
    assert np.array_equal(snapped[:, :29], truth[:, :29])
    elsewhere = truth.copy()
    elsewhere[35:39, 35:39] = 1
    assert not tools.snap(drawn, 1, elsewhere, 3.0)[35:, 35:].any()


def test_a_piece_is_taken_as_it_is_suggested():
    drawn, suggested = np.zeros((2, 20, 20), np.uint8)
    drawn[2:8, 2:8], drawn[12:15, 12:15], drawn[2:4, 15:19] = 1, 1, 2
    suggested[3:9, 3:9], suggested[2:4, 15:19] = 1, 1
    taken = tools.take_piece(drawn, suggested, (5, 5))
    expected = drawn.copy()
    expected[2:8, 2:8], expected[3:9, 3:9] = 0, 1
    assert np.array_equal(taken, expected), "the other piece stays"
    gone = tools.take_piece(drawn, suggested, (13, 13))
    assert not gone[12:15, 12:15].any() and gone[2:8, 2:8].all()
    assert (tools.take_piece(drawn, suggested, (2, 16))[2:4, 15:19] == 1).all()


@pytest.mark.parametrize("shape", [(90, 90), (12, 60, 60)])
def test_a_stroke_finds_its_object_in_a_noisy_image(shape):
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    far = np.sqrt(sum((g - n / 2) ** 2 for g, n in zip(grid[-2:], shape[-2:], strict=True)))
    inside = np.broadcast_to(far < 18, shape)
    image = inside * 100.0 + np.random.default_rng(0).normal(0, 20, shape)
    stroke = np.zeros(shape, bool)
    middle = tuple(n // 2 for n in shape)
    stroke[(*middle[:-1], slice(middle[-1] - 8, middle[-1] + 8))] = True
    mask = np.zeros(shape, np.uint8)
    mask[..., :8, :] = 2
    axis = 0 if len(shape) == 3 else None
    found = tools.smart_brush(image, mask, 1, stroke, 25.0, axis=axis)
    assert np.array_equal(found == 2, mask == 2)
    plane = (found[middle[0]] if len(shape) == 3 else found) == 1
    truth = inside[middle[0]] if len(shape) == 3 else inside
    assert drawn_dice(plane.astype(np.uint8), truth.astype(np.uint8), 2) > 0.93
    assert len(shape) == 2 or not (np.delete(found, middle[0], 0) == 1).any(), "of its slice alone"
    flat = tools.smart_brush(np.zeros(shape), mask * 0, 1, stroke, 5.0)
    assert np.array_equal(flat == 1, stroke), "without evidence, what was drawn"


@pytest.mark.parametrize(
    "call",
    [
        lambda m: tools.grow(m, 1, 0),
        lambda m: tools.grow(m, 1, np.nan),
        lambda m: tools.smooth(m, 1, 1, (1.0,)),
        lambda m: tools.shrink(m, 1, 1, (1.0, -1.0)),
        lambda m: tools.remove_islands(m, 1, 1.5),
        lambda m: tools.change_piece(m, (9, 0), 1),
        lambda m: tools.take_piece(m, m[:1], (0, 0)),
        lambda m: tools.copy_slice(m, 1, 0, 0, 7),
        lambda m: tools.interpolate_slices(m, 1, 2),
        lambda m: tools.smart_brush(m, m, 1, m[:1] > 0, 1),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError, match=r"Invalid value for argument"):
        call(np.ones((3, 3), np.uint8))
