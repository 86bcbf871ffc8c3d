import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from keras_robust.common import large_arrays
from keras_robust.planning.resampling import (
    resample_image,
    resample_labels,
    resampled_shape,
    thick_axis,
)

RNG = np.random.default_rng(0)
SHAPES = st.integers(2, 3).flatmap(
    lambda rank: st.tuples(*[st.tuples(*[st.integers(1, 9)] * rank)] * 2)
)


def test_shapes_cover_the_same_space():
    assert resampled_shape((35, 51, 35), (1, 1, 1), (1, 1, 1)) == (35, 51, 35)
    assert resampled_shape((1, 9), (1, 1), (10, 3)) == (1, 3)
    # 472 x 2.269 / 0.944 = 1134.5, which nnU-Net takes for a little less.
    assert resampled_shape((472,), (2.269,), (0.944,)) == (1134,)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_images_equal_scikit_image(order):
    image = RNG.normal(size=(12, 9, 14)).astype("float32")
    expected = resize(image, (20, 13, 10), order=order, mode="edge", clip=True, anti_aliasing=False)
    found = resample_image(image[..., np.newaxis], (20, 13, 10), order=order)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 2])
def test_slices_along_a_thick_axis_keep_their_own_range(axis):
    image = np.moveaxis(RNG.normal(size=(3, 9, 8, 2)) > 0, 0, axis).astype("float32")
    image *= np.moveaxis(np.reshape([1, 10, 100], (3, 1, 1, 1)), 0, axis)
    shape = np.insert([15, 13], axis, 5)
    found = np.moveaxis(resample_image(image, shape, separate=axis), axis, 0)
    # Centres of 5 of 3 slices: -0.2, 0.4, 1, 1.6 and 2.2.
    nearest = np.moveaxis(image, axis, 0)[[0, 0, 1, 2, 2]]
    options = {"order": 3, "mode": "edge", "clip": True, "anti_aliasing": False}
    expected = np.stack(
        [np.dstack([resize(a[..., c], (15, 13), **options) for c in (0, 1)]) for a in nearest]
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ranges = found.reshape(5, -1).max(1), nearest.reshape(5, -1).max(1)
    np.testing.assert_allclose(*ranges, rtol=1e-6)


@given(SHAPES)
def test_a_constant_stays_and_the_range_is_kept(shapes):
    old, new = shapes
    np.testing.assert_allclose(resample_image(np.full((*old, 2), 3.5), new), 3.5, rtol=1e-5)
    image = RNG.normal(size=(*old, 1))
    found = resample_image(image, new)
    assert found.min() >= image.min() - 1e-6 and found.max() <= image.max() + 1e-6
    assert found.shape == (*new, 1)


@given(SHAPES)
def test_labels_stay_labels(shapes):
    old, new = shapes
    labels = RNG.choice([0, 2, 5], size=old).astype("uint8")
    found = resample_labels(labels, new)
    assert found.shape == new and found.dtype == np.uint8
    assert set(np.unique(found)) <= set(np.unique(labels))


def nnunet_labels(labels, shape):
    """The rules of batchgenerators 0.25.5, `resize_segmentation`, on whole float64 maps."""
    options = {"mode": "edge", "clip": True, "anti_aliasing": False}
    values = np.unique(labels)
    maps = np.stack([resize((labels == v) * 1.0, shape, order=1, **options) for v in values])
    nearest = resize(labels * 1.0, shape, order=0, **options)
    of_nearest = np.take_along_axis(maps, np.searchsorted(values, nearest)[None], 0)[0]
    return np.where(of_nearest == maps.max(axis=0), nearest, values[maps.argmax(axis=0)])


@given(SHAPES, st.integers(0, 10**6), st.booleans())
def test_labels_equal_nnunets_at_any_factor(shapes, seed, smooth):
    old, new = shapes
    labels = np.random.default_rng(seed).choice([0, 2, 5], size=old).astype("uint8")
    if smooth:
        labels = np.repeat(labels, 2, axis=0)
    np.testing.assert_array_equal(resample_labels(labels, new), nnunet_labels(labels, new))


@pytest.mark.parametrize("factor", [0.4, 0.5, 2, 3, 4])
def test_labels_of_slices_equal_nnunets_apart_from_each_other(factor, monkeypatch):
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 500)  # in several parts
    labels = RNG.choice([0, 1, 5], size=(10, 12, 10)).astype("uint8")
    shape = (4, round(12 * factor), round(10 * factor))
    slices = np.stack([nnunet_labels(rows, shape[1:]) for rows in labels])
    # Centres of 4 of 10 slices: 0.75, 3.25, 5.75 and 8.25.
    np.testing.assert_array_equal(resample_labels(labels, shape, 0), slices[[1, 3, 6, 8]])


def test_of_two_labels_that_are_equally_high_the_nearest_wins():
    # Each new voxel lies in the middle of two; the nearest is the one further along.
    assert resample_labels(np.array([[0, 1, 1, 0]], "uint8"), (1, 2)).tolist() == [[1, 0]]
    assert resample_labels(np.array([[1, 0, 0, 1]], "uint8"), (1, 2)).tolist() == [[0, 1]]
    # Where three meet, 3 is nearest to the centre but lost to 1 and 2: the lowest of those.
    cube = np.array([3, 1, 1, 1, 2, 2, 2, 3], "uint8").reshape(2, 2, 2)
    assert resample_labels(cube, (1, 1, 1)).item() == 1


def test_a_tube_of_two_voxels_is_kept_when_halved():
    tube = np.zeros((16, 16, 16), "uint8")
    tube[:, 10:12, 11:13] = 1
    assert np.count_nonzero(resample_labels(tube, (8, 8, 8))) == 8


def test_of_two_slices_that_are_equally_near_the_one_further_along_is_taken():
    # As scipy.ndimage.map_coordinates does for nnU-Net, at 0.5 and 2.5.
    image = np.arange(4.0).reshape(4, 1, 1, 1)
    assert resample_image(image, (2, 1, 1), separate=0).ravel().tolist() == [1, 3]


def test_there_and_back_keeps_large_structures():
    labels = np.zeros((24, 24, 24), "uint8")
    labels[4:12, 4:20, 4:20] = 1
    labels[12:20, 4:20, 4:20] = 2
    back = resample_labels(resample_labels(labels, (36, 36, 36)), labels.shape)
    np.testing.assert_array_equal(back, labels)


def test_slices_along_a_thick_axis_do_not_mix():
    # Three slices of 0, 1, 0 become six: each old slice twice, no value between.
    image = np.zeros((3, 4, 4, 1))
    image[1] = 1
    found = resample_image(image, (6, 8, 8), separate=0)
    expected = np.broadcast_to(np.reshape([0, 0, 1, 1, 0, 0], (6, 1, 1, 1)), found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(resample_image(image, (6, 8, 8)))) > 2


@pytest.mark.parametrize("separate", [None, 0, 1])
@pytest.mark.parametrize("shape", [(40, 5, 9), (7, 12, 4)])
def test_slabs_equal_the_whole(separate, shape, monkeypatch):
    image = RNG.normal(size=(23, 8, 6, 2)).astype("float32")
    whole = resample_image(image, shape, separate)
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 300)
    out = np.empty((*shape, 2), np.float32)
    assert resample_image(image, shape, separate, out=out) is out
    np.testing.assert_allclose(out, whole, atol=1e-5)


def test_a_volume_larger_than_the_allowed_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(large_arrays, "IN_MEMORY_BYTES", 2**20)
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 2**16)
    image = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (200, 64, 64, 1))
    image[:] = np.arange(200, dtype=np.float32)[:, None, None, None]
    tracemalloc.start()
    out = resample_image(image, (400, 96, 96))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(out, np.memmap)  # of 15 MB; the image has 3 MB
    assert peak < 2.5e6
    np.testing.assert_allclose(out[20:-20:2, 7, 9, 0], np.arange(10, 190) - 0.25, rtol=1e-4)


def test_the_thick_axis_must_be_one():
    assert thick_axis((1, 1, 1)) is None
    assert thick_axis((0.5, 5, 0.5)) == 1
    assert thick_axis((1, 1, 1), (1, 1, 4)) == 2
    assert thick_axis((5, 1)) is None


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="`shape`. Expected 2"):
        resample_labels(np.zeros((3, 3), "uint8"), (3, 3, 3))
    with pytest.raises(ValueError, match="`shape`"):
        resample_image(np.zeros((3, 3, 1)), (3, 0))
