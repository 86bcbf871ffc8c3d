"""Contours against their definition, and in a layer that keeps its data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels
from scipy import ndimage

from napari_plugin.viewer.contours import contour, draw_contour, outline
from napari_plugin.viewer.style import CASING, class_colours, contour_colour, luminance


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2), elements=st.integers(0, 2)),
    st.integers(1, 9),
)
def test_it_is_what_lies_within_the_width_of_another_label(labels, width):
    line = ndimage.generate_binary_structure(2, 1)
    edge = ndimage.grey_dilation(labels, footprint=line) != ndimage.grey_erosion(
        labels, footprint=line
    )
    near = ndimage.maximum_filter(edge, 2 * width - 1, mode="constant")
    assert np.array_equal(contour(labels, width), np.where(near, labels, 0))


@pytest.mark.parametrize("shape", [(900, 1200), (3, 900, 1200)])
def test_a_layer_shows_it_and_keeps_its_data(shape):
    labels = np.zeros(shape, np.uint8)
    labels[..., 200:600, 300:800] = 1
    layer = Labels(labels.copy())
    draw_contour(layer)
    view = np.asarray(layer._slice.image.view)
    # A frame of 400 x 500 that is 4 pixels wide: 400*500 - 392*492; its casing is 2 pixels wide,
    # and lacks the corners: 404*504 - 400*500 - 4 + 392*492 - 388*488.
    assert layer.contour == 4 and (view != 0).sum() == 7136 + 3612 + 3520
    assert (view == view[200, 300]).sum() == 7136
    assert np.array_equal(layer.data, labels)
    layer.contour = 0
    assert (np.asarray(layer._slice.image.view) != 0).sum() == 400 * 500


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 14)] * 2), elements=st.integers(0, 2)),
    st.integers(1, 5),
)
def test_the_casing_leaves_the_line_and_lies_at_it(labels, width):
    drawn = outline(labels, width)
    line = contour(labels, width)
    assert np.array_equal(np.where(line, drawn, 0), line)
    casing = drawn == CASING
    near = ndimage.maximum_filter(line, 2 * max(1, width // 2) + 1, mode="constant") > 0
    assert not (casing & ~near).any() and set(np.unique(drawn)) <= {0, 1, 2, CASING}
    dashed = outline(labels, width, dashed=True)
    assert np.array_equal(np.where(dashed, drawn, 0), dashed), "a dashed line has gaps alone"


@pytest.mark.parametrize("slope", [0.0, 0.4, 1.0, 2.5, 50.0])
def test_a_dashed_line_is_about_half_gaps_whatever_way_it_runs(slope):
    y, x = np.mgrid[:400, :400]
    labels = (y - 200 > slope * (x - 200)).astype(np.uint8)
    share = (outline(labels, 2, dashed=True) > 0).sum() / (outline(labels, 2) > 0).sum()
    assert 0.35 < share < 0.65


def test_any_part_of_a_layer_is_as_the_whole():
    labels = np.zeros((900, 1200), np.uint8)
    labels[200:600, 300:800], labels[300:500, 400:700] = 1, 2
    layer = Labels(labels)
    draw_contour(layer, dashed=True)
    whole = outline(labels, 4, dashed=True)
    for part in (np.s_[190:310, 290:450], np.s_[599:603, 0:1200], np.s_[0:900, 0:1200]):
        assert np.array_equal(layer._calculate_contour(labels, part), whole[part])
    draw_contour(layer, dashed=True, drawn=whole)
    assert np.shares_memory(layer._calculate_contour(labels, np.s_[0:9, 0:9]), whole)


@pytest.mark.parametrize("background", np.linspace(0, 1, 21))
def test_lines_of_all_classes_are_seen_on_every_background(background):
    def contrast(one, other):
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)

    for colour in class_colours(40):
        line = contrast(luminance(contour_colour(colour)), background)
        assert max(line, contrast(0, background)) >= 3 - 0.02
