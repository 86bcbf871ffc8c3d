"""Smoothed targets: by hand, against a plain convolution, and under every loss."""

import keras
import numpy as np
import pytest
from scipy.ndimage import convolve

from keras_robust import losses
from keras_robust.losses import CE, SVLS, Dice, TLoss, smooth_targets
from tests.keras_robust.losses.helpers import value

SHAPES = [(5, 6), (4, 5, 6)]


def kernel(sigma, center, rank):
    """The 3^rank Gaussian of the papers; the published code sets its centre to the others' sum."""
    distance = np.sum(np.square(np.indices((3,) * rank) - 1), axis=0)
    weights = np.exp(-distance / (2 * sigma**2))
    if center == "svls":
        middle = (1,) * rank
        weights[middle] = 0
        weights[middle] = weights.sum()
    return weights / weights.sum()


def one_hot(shape, classes=3, seed=0):
    labels = np.random.default_rng(seed).integers(0, classes, (2, *shape))
    return labels, np.eye(classes, dtype="float32")[labels]


@pytest.mark.parametrize("center", ["gaussian", "svls"])
def test_a_single_voxel_by_hand(center):
    """A 3 x 3 image with one foreground voxel in the middle; e = exp(-1/2) = 0.6065 for σ = 1."""
    targets = np.zeros((1, 3, 3, 1), "float32")
    targets[0, 1, 1] = 1
    e = np.exp(-0.5)
    if center == "gaussian":
        # W = 1, e (sides), e² (corners), sum (1 + 2e)² = 4.898.
        total = (1 + 2 * e) ** 2
        middle, side, corner = 1 / total, e / total, e * e / total
    else:
        # Neighbours weigh 4e + 4e² = 3.898, the middle as much: 1/2, and e / 7.795 at the sides.
        total = 2 * (4 * e + 4 * e * e)
        middle, side, corner = 0.5, e / total, e * e / total
    expected = [[corner, side, corner], [side, middle, side], [corner, side, corner]]
    found = value(smooth_targets(targets, 1.0, center=center))[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("sigma", "face", "edge", "corner"),
    [(1.0, 0.0308, 0.0187, 0.0113), (0.5, 0.0643, 0.0087, 0.0012), (2.0, 0.0219, 0.0193, 0.0171)],
)
def test_the_weights_of_the_published_code_in_3d(sigma, face, edge, corner):
    targets = np.zeros((1, 3, 3, 3, 1), "float32")
    targets[0, 1, 1, 1] = 1
    found = value(smooth_targets(targets, sigma, center="svls"))[0, ..., 0]
    # Replicated borders do not reach the weights of the middle voxel's neighbours.
    assert found[1, 1, 1] == pytest.approx(0.5)
    assert found[0, 1, 1] == pytest.approx(face, abs=5e-5)
    assert found[0, 0, 1] == pytest.approx(edge, abs=5e-5)
    assert found[0, 0, 0] == pytest.approx(corner, abs=5e-5)


@pytest.mark.parametrize("center", ["gaussian", "svls"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 2.0])
def test_equals_a_convolution_with_repeated_borders(shape, sigma, center):
    _, targets = one_hot(shape)
    found = value(smooth_targets(targets, sigma, center=center))
    weights = kernel(sigma, center, len(shape))
    for image, smoothed in zip(targets.astype("float64"), found, strict=True):
        for k in range(3):
            expected = convolve(image[..., k], weights, mode="nearest")
            np.testing.assert_allclose(smoothed[..., k], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_sigma_is_the_identity_and_leaves_the_published_centre_at_a_half(shape):
    _, targets = one_hot(shape)
    for sigma in (1e-3, 0.05, 0.1):
        np.testing.assert_allclose(value(smooth_targets(targets, sigma)), targets, atol=1e-6)
    # The other half goes to the nearest neighbours alone, the faces.
    faces = kernel(0.1, "svls", len(shape))
    found = value(smooth_targets(targets, 1e-3, center="svls"))
    expected = convolve(targets[0, ..., 0].astype("float64"), faces, mode="nearest")
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("center", ["gaussian", "svls"])
@pytest.mark.parametrize("shape", SHAPES)
def test_invalid_targets_take_no_part(shape, center):
    """Normalised by what is valid, and the same whatever the invalid targets hold."""
    _, targets = one_hot(shape)
    valid = np.random.default_rng(1).uniform(size=(2, *shape)) < 0.7
    found = value(smooth_targets(targets, 0.8, center=center, valid=valid))
    weights = kernel(0.8, center, len(shape))
    share = convolve(valid[0].astype("float64"), weights, mode="nearest")
    for k in range(3):
        sums = convolve(targets[0, ..., k] * valid[0].astype("float64"), weights, mode="nearest")
        np.testing.assert_allclose((found[0, ..., k] * share)[valid[0]], sums[valid[0]], atol=1e-6)
    other = np.where(valid[..., None], targets, 1 - targets)
    again = value(smooth_targets(other, 0.8, center=center, valid=valid))
    np.testing.assert_allclose(again, found, atol=1e-6)


def test_a_sigmoid_head_and_two_softmax_channels_agree():
    labels, _ = one_hot((5, 6), classes=2)
    p = np.random.default_rng(2).uniform(0.05, 0.95, (2, 5, 6, 1)).astype("float32")
    for name in ("ce", "svls", "svls-apl2", "svls-gce", "svls-mae"):
        loss = losses.get(name)
        two = np.concatenate([1 - p, p], -1)
        assert float(loss(labels, p)) == pytest.approx(float(loss(labels, two)), rel=1e-5), name


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["ce", "ce+dice", "apl1", "apl2", "t", "t+dice", "sce", "gce"])
def test_a_loss_on_smoothed_targets_is_the_loss_of_the_smoothed_targets(name, shape):
    labels, targets = one_hot(shape)
    p = np.random.default_rng(2).dirichlet(np.ones(3), (2, *shape)).astype("float32")
    smoothed = value(smooth_targets(targets, 0.7))
    plain, loss = losses.get(name), losses.get(f"svls-{name}", sigma=0.7)
    weight = np.array([1.0, 3.0], "float32")
    for w in (None, weight, np.random.default_rng(3).uniform(size=(2, *shape))):
        expected = float(plain(smoothed, p, w))
        assert float(loss(labels, p, w)) == pytest.approx(expected, rel=1e-5)
        assert float(loss(targets, p, w)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["ce", "dice", "ce+dice", "apl2", "t"])
def test_ignored_voxels_count_for_nothing(name):
    """Neither in the loss nor, through the smoothing, in the targets of their neighbours."""
    labels, _ = one_hot((6, 7))
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.ones(3), (2, 6, 7)).astype("float32")
    labels[:, :, 5:] = 255
    loss = losses.get(f"svls-{name}", ignore_label=255)
    assert loss.ignore_label == 255
    other = p.copy()
    other[:, :, 5:] = rng.dirichlet(np.ones(3), (2, 6, 2))
    assert float(loss(labels, p)) == pytest.approx(float(loss(labels, other)), rel=1e-6)
    # What is left shares the weight of an ignored neighbour. Where the labels of a row are equal,
    # so is the result to that of an image without these columns.
    flat = np.zeros_like(labels)
    flat[:, 3:] = 1
    whole = np.where(labels == 255, 255, flat)
    assert float(loss(whole, p)) == pytest.approx(
        float(loss(flat[:, :, :5], p[:, :, :5])), rel=1e-5
    )


def test_all_ignored_is_zero():
    labels = np.full((2, 4, 4), 255)
    p = np.full((2, 4, 4, 1), 0.3, "float32")
    for name in ("svls", "svls-apl1", "svls-t"):
        assert float(losses.get(name, ignore_label=255)(labels, p)) == 0


def test_names_and_options():
    loss = losses.get("svls", sigma=0.4, center="svls", from_logits=True)
    assert (loss.sigma, loss.center) == (0.4, "svls")
    assert [type(term) for term in loss.terms()] == [CE, Dice]
    assert all(term.from_logits for term in loss.terms())
    assert losses.get("svls-apl2", q=0.3).loss.losses[0].q == 0.3
    assert "svls" in losses.names()
    with pytest.raises(ValueError, match="sigma"):
        losses.get("apl2", sigma=1.0)
    with pytest.raises(ValueError, match="Expected sigma > 0"):
        SVLS(CE(), sigma=0.0)
    with pytest.raises(ValueError, match="center"):
        SVLS(CE(), center="box")
    with pytest.raises(ValueError, match="terms of one ignore_label"):
        SVLS(CE(ignore_label=3) + Dice())
    with pytest.raises(ValueError, match="a keras_robust loss"):
        SVLS(keras.losses.BinaryCrossentropy())


def test_config_round_trip():
    loss = SVLS(0.5 * CE(ignore_label=7) + TLoss(nu_tilde=1.0, ignore_label=7), sigma=0.3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    assert again.ignore_label == 7 and again.loss.weights == [0.5, 1.0]
    labels, _ = one_hot((4, 5))
    p = np.random.default_rng(2).dirichlet(np.ones(3), (2, 4, 5)).astype("float32")
    assert float(again(labels, p)) == float(loss(labels, p))


def test_no_reduction():
    labels, _ = one_hot((4, 5))
    p = np.random.default_rng(2).dirichlet(np.ones(3), (2, 4, 5)).astype("float32")
    unreduced = value(SVLS(CE(reduction="none"))(labels, p))
    assert unreduced.shape == (2, 4, 5)
    assert float(SVLS(CE())(labels, p)) == pytest.approx(unreduced.mean(), rel=1e-6)


def test_nu_trains_beneath_the_smoothing():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    loss = losses.get("svls-t+dice")
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    x = np.random.default_rng(0).uniform(size=(4, 6, 6, 1)).astype("float32")
    model.fit(x, (x > 0.5).astype("float32"), epochs=2, verbose=0)
    assert next(loss.terms()).nu_tilde != 0.0


@pytest.mark.parametrize("name", ["ce", "dice", "t", "rce", "apl2", "svls", "svls-apl2"])
def test_kept_voxels_count_as_if_the_others_were_ignored(name):
    """`kept` is what a selection of voxels hands to a loss."""
    labels, _ = one_hot((5, 6))
    p = np.random.default_rng(2).dirichlet(np.ones(3), (2, 5, 6)).astype("float32")
    kept = np.random.default_rng(5).uniform(size=labels.shape) < 0.6
    found = float(losses.get(name)(labels, p, None, kept))
    if name.startswith("svls"):
        # Left-out voxels still tell the targets of their neighbours.
        inner = losses.get(name.partition("-")[2] or "ce+dice")
        smoothed = smooth_targets(np.eye(3, dtype="float32")[labels])
        expected = float(inner(smoothed, p, None, kept))
    else:
        ignoring = losses.get(name, ignore_label=9)
        expected = float(ignoring(np.where(kept, labels, 9), p))
    assert found == pytest.approx(expected, rel=1e-5)
    assert float(losses.get(name)(labels, p, None, np.zeros_like(kept))) == 0
    everything = float(losses.get(name)(labels, p, None, np.ones_like(kept)))
    assert everything == pytest.approx(float(losses.get(name)(labels, p)), rel=1e-5)


@pytest.mark.parametrize("event", ["image", "voxel"])
def test_the_t_loss_of_kept_voxels_is_that_of_an_image_of_these_voxels(event):
    """D is the number of values that are kept, and S their sum of squared errors."""
    rng = np.random.default_rng(0)
    for spatial, k in (((4, 5, 6), 1), ((4, 5, 6), 3), ((5, 6), 3)):
        labels = rng.integers(0, max(k, 2), (1, *spatial))
        p = (
            rng.dirichlet(np.ones(k), (1, *spatial))
            if k > 1
            else rng.uniform(size=(1, *spatial, 1))
        )
        kept = rng.uniform(size=labels.shape) < 0.5
        for scale in ("per_dimension", "total"):
            loss = TLoss(event=event, scale=scale)
            found = float(loss(labels, p, None, kept))
            expected = float(loss(labels[kept][None, :], p[kept][None, :]))
            assert found == pytest.approx(expected, rel=1e-5)


# Paper 2, eq. 1 to 6, written down for one voxel of three classes with p = (.2, .5, .3), y = 1.
APL = {
    # NCE: ln .5 / (ln .2 + ln .5 + ln .3) = .6931 / 3.5066; RCE: -ln(1e-4) (.2 + .3)
    "apl1": np.log(0.5) / np.log([0.2, 0.5, 0.3]).sum() - np.log(1e-4) * 0.5,
    # NGCE, w = .4: (1 - .5^w) / (3 - .2^w - .5^w - .3^w)
    "apl2": (1 - 0.5**0.4) / (3 - (0.2**0.4 + 0.5**0.4 + 0.3**0.4)) - np.log(1e-4) * 0.5,
}


@pytest.mark.parametrize("name", APL)
def test_the_active_passive_losses_of_the_paper(name):
    options = {"q": 0.4} if name == "apl2" else {}
    p = np.array([0.2, 0.5, 0.3]).reshape(1, 1, 1, 3)
    # Soft Dice over the two foreground classes: of class 1 2 x .5 / (1 + .5), of class 2 0 / .3.
    dice = 1 - (1 / 1.5 + 0) / 2
    loss = losses.get(name, **options)
    assert float(loss(np.array([[[1]]]), p)) == pytest.approx(APL[name] + dice, abs=1e-4)
    assert loss.weights == [1.0, 1.0, 1.0]
