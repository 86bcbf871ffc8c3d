"""How images are shown."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.reports.look import shown_range, to_rgb


def _image(values):
    return np.asarray(values, np.float32).reshape(20, 20, 1)


def test_one_bright_voxel_darkens_nothing():
    tissue = _image(np.arange(400))
    bright = tissue.copy()
    bright[0, 0] = 1e6
    apart = np.abs(to_rgb(tissue).astype(int) - to_rgb(bright).astype(int))
    apart[0, 0] = 0
    assert apart.max() <= 2


@given(st.floats(0.5, 100), st.floats(-100, 100))
def test_the_unit_of_an_image_does_not_change_how_it_looks(factor, offset):
    image = _image(np.arange(400) % 37)
    apart = to_rgb(image).astype(int) - to_rgb(image * np.float32(factor) + np.float32(offset))
    assert np.abs(apart).max() <= 1


def test_eight_bits_are_shown_as_they_are():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(to_rgb(image), image)
    assert shown_range(image) == (0, 255)
