import numpy as np
import pytest

from keras_robust.training.patches import augmentation
from keras_robust.training.patches.augmentation import augment, is_flat, sample

SHAPE = (12, 14, 10)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(*SHAPE, 2)).astype(np.float32)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[3:8, 4:9, 2:7], LABELS[5:7, 6:9, 3:6] = 1, 2


class Scripted:
    """Draws what it is told to, then the middle of each range."""

    def __init__(self, *happens):
        self.happens = list(happens)

    def random(self):
        return self.happens.pop(0) if self.happens else 1.0

    def uniform(self, low, high):
        return (low + high) / 2


def only(monkeypatch, **probabilities):
    for name in ("NOISE", "BLUR", "BRIGHTNESS", "CONTRAST", "LOW_RESOLUTION", "MIRROR"):
        monkeypatch.setattr(augmentation, name, probabilities.get(name, 0.0))
    monkeypatch.setattr(augmentation, "INVERTED_GAMMA", probabilities.get("INVERTED_GAMMA", 0.0))
    monkeypatch.setattr(augmentation, "GAMMA", probabilities.get("GAMMA", 0.0))
    monkeypatch.setattr(augmentation, "PER_CHANNEL", 1.0)


def apply(seed=0, axes=(), image=IMAGE, keep_zero=False):
    return augment(image.copy(), LABELS, np.random.default_rng(seed), axes, keep_zero)


def test_how_often_each_happens(monkeypatch):
    """Against nnU-Net's probabilities: three standard deviations of 1000 patches are below .05."""
    draws, counts = 1000, dict.fromkeys(("turned", "noise", "flipped"), 0)
    only(monkeypatch, NOISE=0.1, MIRROR=0.5)
    for seed in range(draws):
        matrix = augmentation._draw_matrix(np.random.default_rng([1, seed]), SHAPE)
        counts["turned"] += matrix is not None
        image, labels = apply([0, seed], (0,))
        flipped = bool((labels != LABELS).any())
        counts["flipped"] += flipped
        counts["noise"] += bool(((image[::-1] if flipped else image) != IMAGE).any())
    assert counts["turned"] / draws == pytest.approx(1 - 0.8 * 0.8, abs=0.05)
    assert counts["flipped"] / draws == pytest.approx(0.5, abs=0.05)
    assert counts["noise"] / draws == pytest.approx(0.1, abs=0.03)


def test_the_same_numbers_give_the_same_patch():
    for seed in range(8):
        for a, b in zip(apply(seed, (0, 1, 2)), apply(seed, (0, 1, 2)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_patch_that_is_not_turned_is_read_as_it_is():
    generator = Scripted(1.0, 1.0)
    image, labels = sample(IMAGE, LABELS, (2, -1, 3), (6, 6, 6), generator)
    np.testing.assert_array_equal(image[:, 1:], IMAGE[2:8, :5, 3:9])
    np.testing.assert_array_equal(labels[:, 1:], LABELS[2:8, :5, 3:9])
    assert not image[:, 0].any()


def test_turned_by_nothing_is_not_turned():
    # The middle of the angles is 0: the whole way of interpolation, and the patch as it was.
    turned, labels = sample(IMAGE, LABELS, (2, -1, 3), (6, 6, 6), Scripted(0.0, 1.0))
    plain, same = sample(IMAGE, LABELS, (2, -1, 3), (6, 6, 6), Scripted(1.0, 1.0))
    np.testing.assert_allclose(turned, plain, atol=1e-5)
    np.testing.assert_array_equal(labels, same)


def test_a_quarter_turn_and_a_half_scale_by_hand(monkeypatch):
    matrix = np.array([[0.0, -1.0], [1.0, 0.0]])
    monkeypatch.setattr(augmentation, "_draw_matrix", lambda *_: matrix)
    image = np.arange(16.0, dtype=np.float32).reshape(4, 4, 1)
    labels = image[..., 0].astype(np.uint8)
    turned, same = sample(image, labels, (0, 0), (4, 4), Scripted())
    np.testing.assert_allclose(turned[..., 0], np.rot90(image[..., 0], -1), atol=1e-5)
    np.testing.assert_array_equal(same, np.rot90(labels, -1))
    # Every second voxel is beyond the next: of 0 1 2 3 about 1.5 at -1.5, .5, 2.5, 4.5.
    monkeypatch.setattr(augmentation, "_draw_matrix", lambda *_: 2 * np.eye(1))
    ramp = np.arange(4.0, dtype=np.float32)[:, None]
    scaled, _ = sample(ramp, np.zeros(4, np.uint8), (0,), (4,), Scripted())
    np.testing.assert_allclose(scaled[:, 0], [0, 0.5, 2.5, 0], atol=1e-6)


@pytest.mark.parametrize("turned", [0.0, 1.0])
def test_shares_of_one_label_each_are_turned_as_labels_are(monkeypatch, turned):
    angles = iter([20, -10, 15, 20, -10, 15])
    monkeypatch.setattr(Scripted, "uniform", lambda *_: next(angles))
    levels = np.stack([LABELS == 1, LABELS == 2], axis=-1) * np.uint8(255)
    image, labels = sample(IMAGE, LABELS, (2, -1, 3), (6, 8, 6), Scripted(turned, 1.0))
    same, shares = sample(IMAGE, levels, (2, -1, 3), (6, 8, 6), Scripted(turned, 1.0))
    np.testing.assert_array_equal(image, same)
    assert shares.dtype == np.float32 and shares.sum(axis=-1).max() <= 1 + 1e-6
    every = np.concatenate([1 - shares.sum(axis=-1, keepdims=True), shares], axis=-1)
    np.testing.assert_array_equal(every.argmax(axis=-1), labels)
    assert bool(((every > 0.01) & (every < 0.99)).any()) != bool(turned)


def test_slices_of_a_flat_patch_stay_slices():
    flat = (4, 16, 16)
    assert is_flat(flat) and not is_flat((8, 16, 16)) and not is_flat((4, 16))
    for seed in range(30):
        matrix = augmentation._draw_matrix(np.random.default_rng(seed), flat)
        if matrix is not None:
            np.testing.assert_array_equal(matrix[0], [1, 0, 0])
            np.testing.assert_array_equal(matrix[:, 0], [1, 0, 0])


@pytest.mark.parametrize("name", ["INVERTED_GAMMA", "GAMMA"])
def test_gamma_keeps_order_mean_and_deviation(monkeypatch, name):
    only(monkeypatch, **{name: 1.0})
    image, labels = apply()
    assert np.abs(image - IMAGE).max() > 0.01
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_allclose(image.mean((0, 1, 2)), IMAGE.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(image.std((0, 1, 2)), IMAGE.std((0, 1, 2)), rtol=1e-4)
    for channel in range(2):
        order = IMAGE[..., channel].argsort(axis=None)
        assert (np.diff(image[..., channel].ravel()[order]) >= -1e-6).all()


def test_contrast_keeps_the_range_and_brightness_scales(monkeypatch):
    only(monkeypatch, CONTRAST=1.0)
    image, _ = apply()
    assert (image.min((0, 1, 2)) >= IMAGE.min((0, 1, 2))).all()
    assert (image.max((0, 1, 2)) <= IMAGE.max((0, 1, 2))).all()
    only(monkeypatch, BRIGHTNESS=1.0)
    factors = apply()[0] / IMAGE
    assert np.ptp(factors, (0, 1, 2)).max() < 1e-3
    assert (np.abs(factors.mean((0, 1, 2)) - 1) <= 0.25).all()


@pytest.mark.parametrize("name", ["BLUR", "LOW_RESOLUTION"])
def test_what_is_constant_stays_and_the_rest_becomes_smoother(monkeypatch, name):
    only(monkeypatch, **{name: 1.0})
    constant = np.full((*SHAPE, 1), 3.0, np.float32)
    np.testing.assert_allclose(apply(image=constant)[0], constant, rtol=1e-5)
    assert apply()[0].std() < IMAGE.std()


def test_a_coarser_grid_by_hand():
    # Half the resolution of 0 1 2 3: its voxels 1 and 3, at .5 and 2.5, and linearly between.
    coarse = augmentation._low_resolution(np.arange(4.0, dtype=np.float32), 0.5, None)
    np.testing.assert_allclose(coarse, [1, 1.5, 2.5, 3])


def test_zeros_can_be_kept(monkeypatch):
    only(monkeypatch, NOISE=1.0)
    image = IMAGE.copy()
    image[:3] = 0
    assert apply(image=image)[0][:3].any()
    assert not apply(image=image, keep_zero=True)[0][:3].any()


def test_image_and_labels_are_mirrored_alike(monkeypatch):
    only(monkeypatch, MIRROR=1.0)
    image, labels = apply(axes=(0, 2))
    np.testing.assert_array_equal(image, IMAGE[::-1, :, ::-1])
    np.testing.assert_array_equal(labels, LABELS[::-1, :, ::-1])
