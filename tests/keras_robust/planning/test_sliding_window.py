import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from keras_robust.planning.sliding_window import gaussian_weights, sliding_window, window_starts

RNG = np.random.default_rng(0)


def identity(patches):
    return patches


@st.composite
def images(draw):
    rank = draw(st.integers(2, 3))
    shape = draw(st.tuples(*[st.integers(1, 13)] * rank))
    patch = draw(st.tuples(*[st.integers(1, 8)] * rank))
    return RNG.normal(size=(*shape, 2)).astype("float32"), patch


@given(images(), st.sampled_from([0.0, 0.5, 0.75]), st.integers(1, 4))
def test_a_prediction_of_each_voxel_alone_is_reassembled(case, overlap, batch_size):
    image, patch = case
    found = sliding_window(identity, image, patch, overlap=overlap, batch_size=batch_size)
    np.testing.assert_allclose(found, image, rtol=1e-5, atol=1e-6)


@given(images())
def test_every_window_lies_in_the_image_and_every_voxel_in_a_window(case):
    image, patch = case
    for size, edge in zip(image.shape, patch, strict=False):
        starts = window_starts(size, edge)
        assert starts[0] == 0 and starts == sorted(set(starts))
        assert starts[-1] == max(size - edge, 0)
        assert all(b - a <= max(edge / 2, 1) + 1 for a, b in zip(starts, starts[1:], strict=False))


def test_one_window_is_the_forward_pass_bit_for_bit():
    image = RNG.normal(size=(9, 11, 3)).astype("float32")

    def network(patches):
        return np.stack([uniform_filter(patch, 3) for patch in patches]) / 3

    found = sliding_window(network, image, (9, 11))
    np.testing.assert_array_equal(found, network(image[np.newaxis])[0])


def test_windows_are_averaged_with_the_weights():
    # Two windows of 2 over 3 voxels; predictions 0 and 1 meet at the voxel in the middle, which is
    # the second of the first window (weight w[1]) and the first of the second (w[0]).
    predictions = iter([0.0, 1.0])
    found = sliding_window(
        lambda patches: np.full((*patches.shape[:-1], 1), next(predictions)),
        np.zeros((3, 1)),
        (2,),
    )
    weights = gaussian_weights((2,))
    expected = weights[0] / (weights[0] + weights[1])
    np.testing.assert_allclose(found[:, 0], [0, expected, 1], rtol=1e-6)


def test_weights_are_nnunets_gaussian():
    # A unit impulse at the centre, smoothed with σ = edge / 8 and scaled to 10.
    impulse = np.zeros((16, 24))
    impulse[8, 12] = 1
    smoothed = gaussian_filter(impulse, (2, 3), truncate=20, mode="constant")
    np.testing.assert_allclose(gaussian_weights((16, 24)), smoothed * 10 / smoothed.max(), 1e-4)
    assert gaussian_weights((128, 128)).min() > 0


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2)])
def test_mirroring_makes_an_even_network_of_any(axes):
    image = RNG.normal(size=(4, 5, 6, 1)).astype("float32")

    def shifted(patches):
        return np.roll(patches, 1, axis=(1, 2, 3))

    found = sliding_window(shifted, image, (4, 5, 6), mirror_axes=axes)
    mirrored = sliding_window(shifted, np.flip(image, axes), (4, 5, 6), mirror_axes=axes)
    np.testing.assert_allclose(found, np.flip(mirrored, axes), atol=1e-6)


def test_each_patch_is_predicted_once_in_batches_of_the_size():
    sizes, seen = [], []

    def network(patches):
        sizes.append(len(patches))
        return patches

    sliding_window(
        network,
        np.zeros((10, 10, 1)),
        (4, 4),
        batch_size=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    # Starts 0, 2, 4, 6 along each axis: rows of 4 windows in batches of 3 and 1.
    assert sizes == [3, 1] * 4
    assert seen[-1] == (16, 16)


def test_a_volume_larger_than_the_allowed_memory(tmp_path):
    shape = (200, 128, 128)
    image = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (*shape, 1))
    image[:] = np.arange(200, dtype=np.float32)[:, None, None, None]
    image.flush()
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (*shape, 2))
    tracemalloc.start()
    sliding_window(lambda p: np.concatenate([p, -p], -1), image, (16, 64, 64), out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 26 MB of output; a slab of 16 slices is 2.1 MB of sums and 1 MB of weights, and batches come.
    assert peak < 12e6
    np.testing.assert_allclose(out[:, 5, 7, 0], np.arange(200), rtol=1e-5)
    np.testing.assert_allclose(out[:, 127, 0, 1], -np.arange(200), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": (4,)}, "`patch_size`. Expected 2"),
        ({"patch_size": (4, 0)}, "`patch_size`"),
        ({"patch_size": (4, 4), "overlap": 1}, "`overlap`"),
        ({"patch_size": (4, 4), "mirror_axes": (2,)}, "`mirror_axes`. Expected axes from 0 to 1"),
        ({"patch_size": (4, 4), "predict": lambda p: p[:, :2]}, "`predict`"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        sliding_window(**{"predict": identity, "image": np.zeros((9, 9, 1)), **options})
