import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.training.patches.drawing import cut, draw_start, is_foreground


def test_the_last_third_of_a_batch_is_drawn_around_foreground():
    # 9 * (1 - 0.33) = 6.03: six anywhere, three around foreground.
    assert [is_foreground(position, 9, 0.33) for position in range(9)] == [False] * 6 + [True] * 3
    assert not any(is_foreground(position, 4, 0.0) for position in range(4))
    assert all(is_foreground(position, 4, 1.0) for position in range(4))


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    patch=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 99),
)
def test_a_patch_lies_in_the_image_or_the_image_in_the_patch(shape, patch, seed):
    start = draw_start(np.random.default_rng(seed), shape, patch)
    for first, size, edge in zip(start, shape, patch, strict=True):
        if size >= edge:
            assert 0 <= first <= size - edge
        else:
            before, after = -first, first + edge - size
            assert 0 <= before - after <= 1


def test_every_place_is_drawn():
    generator = np.random.default_rng(0)
    assert {draw_start(generator, (7,), (4,)) for _ in range(200)} == {(0,), (1,), (2,), (3,)}


def test_a_patch_around_foreground_holds_it_and_classes_are_drawn_alike():
    generator = np.random.default_rng(0)
    locations = {1: np.array([[15, 3]] * 99), 4: np.array([[2, 16]])}
    drawn = [draw_start(generator, (20, 20), (6, 6), locations) for _ in range(400)]
    # 15 - 3 and 3 - 3; max(0, 2 - 3) and 16 - 3.
    assert set(drawn) == {(12, 0), (0, 13)}
    assert 150 < drawn.count((12, 0)) < 250  # not 99 times as often


def test_without_foreground_the_patch_is_anywhere():
    assert draw_start(np.random.default_rng(0), (4, 4), (4, 4), {}) == (0, 0)


@pytest.mark.parametrize("start", [(-2, -1), (3, 4), (1, 1), (9, 9)])
def test_a_window_equals_the_padded_image(start):
    image = np.arange(1, 31, dtype=np.float32).reshape(5, 6, 1)
    padded = np.pad(image, ((10, 20), (10, 20), (0, 0)))
    first, second = (edge + 10 for edge in start)
    np.testing.assert_array_equal(
        cut(image, start, (4, 3)), padded[first : first + 4, second : second + 3]
    )
