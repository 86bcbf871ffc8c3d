import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.noise import LabelNoise, affine
from keras_robust.noise.affine import choose_affine

from .strategies import binary_masks, disk, label_maps


def change(mask, noisy):
    return np.count_nonzero((mask > 0) ^ (noisy > 0)) / np.count_nonzero(mask)


def test_rotation_is_counter_clockwise_as_displayed():
    mask = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], np.uint8)
    # about (1, 1): the voxel to the right goes to the top
    np.testing.assert_array_equal(
        affine(mask, 90, (0, 0), centre=(1, 1)), [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    )


def test_volume_rotates_within_slices_by_default():
    mask = np.zeros((3, 9, 9), np.uint8)
    mask[1, 4, 2:7] = 1
    rotated = affine(mask, 30, (1, 0, 0))
    assert rotated[:2].sum() == 0
    np.testing.assert_array_equal(rotated[2], affine(mask[1], 30, (0, 0)))


def test_volume_rotates_about_any_axis():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 1:4] = True
    along_rows = affine(mask, 90, (0, 0, 0), axis=(1, 0, 0))
    assert along_rows[2, 1:4, 2].all() and along_rows.sum() == 3
    along_slices = affine(mask, 90, (0, 0, 0), axis=(0, 2, 0))
    assert along_slices[1:4, 2, 2].all() and along_slices.sum() == 3


@settings(deadline=None, max_examples=60)
@given(mask=binary_masks() | label_maps(), data=st.data())
def test_no_rotation_is_a_shift(mask, data):
    shift = [data.draw(st.integers(-3, 3)) for _ in mask.shape]
    result = affine(mask, 0, shift)
    for label in set(np.unique(mask)) - {0}:
        own = mask == label
        points = np.argwhere(own) + shift
        inside = points[((points >= 0) & (points < mask.shape)).all(axis=1)]
        moved = np.zeros_like(own)
        moved[tuple(inside.T)] = True
        moved &= own | (mask == 0)
        if moved.any():
            assert (moved >= (result == label)).all()
            if len(np.unique(mask)) == 2:
                np.testing.assert_array_equal(result == label, moved)
        else:
            assert (result == label).any()


@settings(deadline=None, max_examples=60)
@given(
    mask=binary_masks() | label_maps(),
    angle=st.floats(-180, 180),
    data=st.data(),
)
def test_never_vanishes_and_never_covers_another_structure(mask, angle, data):
    shift = [data.draw(st.integers(-30, 30)) for _ in mask.shape]
    result = affine(mask, angle, shift)
    assert result.dtype == mask.dtype and result.shape == mask.shape
    assert set(np.unique(result)) - {0} == set(np.unique(mask)) - {0}
    foreign = (mask > 0) & (result > 0) & (mask != result)
    assert not foreign.any()


def test_leaves_the_image_and_comes_back():
    # rotated out at the top and shifted down again: nothing is cut off in between
    mask = np.zeros((20, 20), np.uint8)
    mask[2, 2:18] = 1
    assert affine(mask, 90, (9, 0)).sum() == mask.sum()


@pytest.mark.parametrize("angle", [0.0, 10.0, -30.0])
def test_search_finds_the_nearest_shift_on_the_ray(angle):
    mask = disk(64, 12)
    direction = np.array([0.6, -0.8])
    _, found = choose_affine(mask > 0, None, 0.7, angle, direction)
    reached = change(mask, affine(mask, found["angle"], found["shift"]))
    shifts = {tuple(np.rint(step * direction).astype(int)) for step in np.arange(0, 30, 0.25)}
    errors = [abs(change(mask, affine(mask, angle, shift)) - 0.7) for shift in shifts]
    assert abs(reached - 0.7) == pytest.approx(min(errors), abs=1e-12)
    assert found["angle"] == angle


def test_angle_is_reduced_where_rotation_alone_is_too_much():
    mask = np.zeros((200, 200), np.uint8)
    mask[98:102, 20:180] = 1  # 4 x 160: turned by 30 degrees nearly all of it is elsewhere
    _, found = choose_affine(mask > 0, None, 0.5, 30.0, np.array([1.0, 0.0]))
    assert 0 < found["angle"] < 30 and found["shift"] == [0, 0]
    assert change(mask, affine(mask, found["angle"], (0, 0))) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("shape", [(96, 96), (40, 40, 40)])
def test_shifts_have_no_preferred_direction(shape):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 4, n // 2 + 4) for n in shape)] = 1
    noise = LabelNoise(1.0, 0.7, seed=3, kinds=("affine",))
    shifts, angles = [], []
    for number in range(300):
        _, done = noise.corrupt(mask, str(number), "affine")
        shifts.append(done.parameters["1"]["shift"])
        angles.append(done.parameters["1"]["angle"])
        assert done.reached == pytest.approx(0.7, abs=0.12)  # one voxel changes a small cube much
    unit = np.array(shifts) / np.linalg.norm(shifts, axis=1, keepdims=True)
    # the mean of 300 unit vectors has a standard deviation of 1 / sqrt(300 rank) = 0.04 per axis
    assert np.abs(unit.mean(axis=0)).max() < 0.16
    # and the second moments are 1 / rank, so that no axis is preferred either
    np.testing.assert_allclose((unit**2).mean(axis=0), 1 / len(shape), atol=0.1)
    assert abs(np.mean(angles)) < 4 and 25 < np.max(angles) <= 30 and -30 <= np.min(angles) < -25


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"angle": float("nan"), "shift": (0, 0)}, "angle"),
        ({"angle": 0, "shift": (0, 0.5)}, "shift"),
        ({"angle": 0, "shift": (0, 0, 0)}, "shift"),
        ({"angle": 0, "shift": (0, 0), "centre": (1, 1, 1)}, "centre"),
        ({"angle": 0, "shift": (0, 0), "axis": (0, 0, 0)}, "axis"),
        ({"angle": 0, "shift": (0, 0), "axis": (1, 0)}, "axis"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"argument `{name}`.*Received: {name}="):
        affine(disk(16, 4), **arguments)


@settings(deadline=None, max_examples=40)
@given(
    mask=binary_masks(ranks=(2,)).filter(np.any),
    beta=st.floats(0.1, 1.5),
    angle=st.floats(-30, 30),
    heading=st.floats(0, 6.3),
)
def test_search_finds_the_first_nearest_shift_of_any_shape(mask, beta, angle, heading):
    direction = np.array([np.cos(heading), np.sin(heading)])
    _, found = choose_affine(mask, None, beta, angle, direction)
    reached = change(mask, affine(mask, found["angle"], found["shift"]))
    if found["angle"] != angle:
        assert change(mask, affine(mask, angle, (0, 0))) > beta
        return
    best = float("inf")
    for step in np.arange(0, 40, 0.25):
        result = affine(mask, angle, np.rint(step * direction).astype(int))
        best = min(best, abs(change(mask, result) - beta))
        if change(mask, result) >= beta:
            break
    assert abs(reached - beta) <= best + 1e-12
