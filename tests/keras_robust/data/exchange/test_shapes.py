"""Which pixels a shape covers: those whose centre it holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from keras_robust.data.exchange.shapes import Ellipse, Pixels, Polygon, Runs, paint, rectangle

points = st.lists(
    st.tuples(st.floats(-9, 40, width=32), st.floats(-9, 40, width=32)), min_size=3, max_size=9
)


@settings(deadline=None, max_examples=40)
@given(points)
def test_polygons_are_those_of_scikit_image_whose_pixels_are_points(ring):
    ring = np.array(ring) + [0.0013, 0.0029]  # no centre lies on an edge, where the rules differ
    expected = polygon2mask((20, 30), ring[:, ::-1] - 0.5)
    assert (paint((20, 30), [(1, Polygon([ring]))]) == expected).all()


@settings(deadline=None, max_examples=40)
@given(points)
def test_shapes_that_share_edges_share_no_pixel_and_leave_none_out(ring):
    # A polygon is what an odd number of the triangles from its first point holds.
    whole = paint((20, 30), [(1, Polygon([ring]))])
    fan = [[ring[0], *pair] for pair in zip(ring[1:], ring[2:], strict=False)]
    parts = [paint((20, 30), [(1, Polygon([triangle]))]) for triangle in fan]
    assert (np.bitwise_xor.reduce(parts) == whole).all()


def test_rings_inside_are_holes_and_rectangles_are_slices():
    holed = Polygon([[(0, 0), (6, 0), (6, 6), (0, 6)], [(2, 2), (4, 2), (4, 4), (2, 4)]])
    expected = np.ones((6, 6))
    expected[2:4, 2:4] = 0
    assert (paint((6, 6), [(1, holed)]) == expected).all()
    expected = np.zeros((5, 6))
    expected[1:3, 2:5] = 1
    assert (paint((5, 6), [(1, rectangle(2, 1, 5, 3))]) == expected).all()


def test_turned_rectangles_and_ellipses():
    # A quarter clockwise about the corner (4, 1): what lay to the right lies below it, and what
    # lay below it to the left.
    expected = np.zeros((6, 8))
    expected[1:4, 2:4] = 1
    assert (paint((6, 8), [(1, rectangle(4, 1, 7, 3, 90, "corner"))]) == expected).all()
    standing = paint((9, 9), [(1, Ellipse(4.5, 4.5, 4, 2))])
    assert (paint((9, 9), [(1, Ellipse(4.5, 4.5, 4, 2, 90))]) == standing.T).all()
    # Of the row through the centre, centres at most 4 away.
    assert standing[4].tolist() == [1] * 9 and standing[:, 4].tolist() == [0, 0, *[1] * 5, 0, 0]


def test_what_is_drawn_beyond_the_image_is_cut_off():
    drawn = np.ones((4, 4), bool)
    for top, left, kept in ((-2, -2, 4), (3, 4, 2), (9, 9, 0), (-9, 0, 0)):
        assert paint((5, 5), [(1, Pixels(drawn, top, left))]).sum() == kept


def test_shapes_that_cannot_be_are_refused():
    for ring in (
        [(0, 0), (1, 1)],
        [(0, 0), (1, float("nan")), (2, 2)],
        [(0,)] * 3,
        "abc",
        [1e9] * 3,
    ):
        with pytest.raises(ValueError, match="point"):
            Polygon([ring])
    for lengths in ([3, 2], [7], [-1, 7]):
        with pytest.raises(ValueError, match="runs"):
            Runs(np.array(lengths), (2, 3))
    with pytest.raises(ValueError, match="half axes"):
        Ellipse(0, 0, 0, 1)
