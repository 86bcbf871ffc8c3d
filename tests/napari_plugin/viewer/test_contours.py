"""Contours against their definition, and in a layer that keeps its data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from napari.layers import Labels
from scipy import ndimage

from napari_plugin.viewer.contours import contour, draw_contour


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
    shown = np.asarray(layer._slice.image.view) != 0
    # A frame of 400 x 500 that is 4 pixels wide: 400*500 - 392*492.
    assert layer.contour == 4 and shown.sum() == 7136
    assert np.array_equal(layer.data, labels)
    layer.contour = 0
    assert (np.asarray(layer._slice.image.view) != 0).sum() == 400 * 500
