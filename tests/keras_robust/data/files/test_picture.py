"""What the numbers of a picture stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.data.files.picture import Picture

BLACK, WHITE, RED, GREY = (0, 0, 0), (255, 255, 255), (255, 0, 0), (127, 127, 127)


def _labels(palette, indices, **options):
    values = np.asarray(indices, np.uint8)[..., np.newaxis]
    return Picture(values, 8, np.array(palette, np.uint8)).labels(**options)


@given(
    st.lists(st.sampled_from([BLACK, WHITE, RED, GREY]), min_size=1, max_size=5),
    st.integers(2, 4),
    st.sampled_from([None, 255]),
    st.data(),
)
def test_what_a_mask_holds_does_not_change_what_an_index_means(
    palette, classes, ignore_label, data
):
    options = {"classes": classes, "ignore_label": ignore_label}
    mask = data.draw(st.lists(st.integers(0, len(palette) - 1), min_size=1, max_size=6))
    try:
        meaning = _labels(palette, [list(range(len(palette)))], **options)[0]
    except ValueError:
        with pytest.raises(ValueError):
            _labels(palette, [mask], **options)
        return
    assert _labels(palette, [mask], **options)[0].tolist() == meaning[mask].tolist()
    if classes > 2:
        assert meaning.tolist() == list(range(len(palette)))


@pytest.mark.parametrize(
    ("palette", "meaning"),
    [
        ([BLACK, WHITE], [0, 1]),
        ([WHITE, BLACK], [1, 0]),
        ([WHITE, RED], [0, 1]),
        ([WHITE, BLACK, GREY], [1, 0, 2]),  # filled up with grey
        ([BLACK, WHITE, GREY], [0, 1, 2]),
        ([BLACK, BLACK, WHITE], [0, 0, 1]),
        ([BLACK, BLACK], [0, 1]),
    ],
)
def test_palettes_of_two_classes(palette, meaning):
    assert _labels(palette, [range(len(palette))])[0].tolist() == meaning


def test_white_alone_says_nothing():
    with pytest.raises(ValueError, match="white alone"):
        _labels([WHITE], [[0]])
    assert _labels([WHITE], [[0]], classes=3).tolist() == [[0]]


def test_few_bits_are_spread_to_look_at_and_kept_as_labels():
    picture = Picture(np.array([[[0], [1], [3]]], np.uint8), bits=2)
    assert picture.colours().ravel().tolist() == [0, 85, 255]
    assert picture.labels(classes=4).tolist() == [[0, 1, 3]]
    assert picture.labels(classes=2).tolist() == [[0, 1, 255]]
