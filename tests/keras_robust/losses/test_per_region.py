import keras
import numpy as np
import pytest

from keras_robust.losses import CE, SVLS, Dice, PerRegion, TLoss, get

REGIONS = [(1, 2, 3), (2, 3), (2,)]
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, (2, 5, 6, 1)).astype(np.uint8)
PREDICTED = RNG.uniform(0.05, 0.95, (2, 5, 6, 3)).astype(np.float32)


def binary(number):
    return np.isin(LABELS, REGIONS[number]).astype(np.uint8), PREDICTED[..., [number]]


@pytest.mark.parametrize(
    "loss", [CE() + Dice(), Dice(batch=True), SVLS(CE(), sigma=0.7), TLoss(), get("apl2")]
)
def test_the_mean_of_binary_problems(loss):
    expected = np.mean([float(loss(*binary(number))) for number in range(3)])
    assert float(PerRegion(loss, REGIONS)(LABELS, PREDICTED)) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_and_dice_by_hand():
    # Label 1 and label 0: in the outer region 1, 0; in the inner 0, 0. All predicted 0.5.
    # Cross entropy ln 2; Dice 1 - 2 x 0.5 / (1 + 1) = 0.5 outside, 1 - 0 / 1 = 1 inside.
    loss = PerRegion(CE() + Dice(), [(1, 2), (2,)])
    found = loss(np.array([[1, 0]]), np.full((1, 2, 2), 0.5, np.float32))
    assert float(found) == pytest.approx(np.log(2) + 0.75, abs=1e-4)


def test_ignored_voxels_count_nowhere():
    labels = LABELS.copy()
    labels[:, 2:] = 255
    loss = PerRegion(get("ce+dice", ignore_label=255), REGIONS)
    cut = PerRegion(get("ce+dice"), REGIONS)(LABELS[:, :2], PREDICTED[:, :2])
    assert float(loss(labels, PREDICTED)) == pytest.approx(float(cut), rel=1e-5)


def test_ignored_shares_count_nowhere():
    loss = PerRegion(CE(ignore_label=255), [(1, 2), (2,)])
    shares = np.array([[[0.2, 0.3, 0.5], [255, 255, 255]]], np.float32)
    predicted = np.full((1, 2, 2), 0.6, np.float32)
    alone = PerRegion(CE(), loss.regions)(shares[:, :1], predicted[:, :1])
    assert float(loss(shares, predicted)) == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize("label", [255, -1, 256])
def test_a_label_that_booleans_and_bytes_cannot_hold_is_nowhere(label):
    y, p = (LABELS > 1), PREDICTED[..., :1]
    for loss in (CE(), PerRegion(CE(), [(1,)])):
        expected = float(loss(y.astype(np.uint8), p))
        for dtype in (bool, np.uint8, np.int32):
            ignoring = CE(ignore_label=label)
            if isinstance(loss, PerRegion):
                ignoring = PerRegion(ignoring, [(1,)])
            assert float(ignoring(y.astype(dtype), p)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [CE() + Dice(), SVLS(CE(), sigma=0.7), TLoss(), get("apl2")])
def test_one_hot_classes_are_labels(loss):
    one_hot = np.eye(4, dtype=np.float32)[LABELS[..., 0]]
    loss = PerRegion(loss, REGIONS)
    assert float(loss(one_hot, PREDICTED)) == pytest.approx(
        float(loss(LABELS, PREDICTED)), rel=1e-5
    )


def test_a_region_has_the_sum_of_its_shares():
    # Shares .2, .3, .5: the outer region has .8, the inner .5. At .5 any share costs ln 2, at
    # .8 and .5 the outer costs its entropy, -.8 ln .8 - .2 ln .2 = .5004.
    loss = PerRegion(CE(), [(1, 2), (2,)])
    found = loss([[[0.2, 0.3, 0.5]]], [[[0.8, 0.5]]])
    assert float(found) == pytest.approx((0.5004 + np.log(2)) / 2, abs=1e-4)
    with pytest.raises(ValueError, match="at least 3, one per class"):
        loss([[[0.2, 0.8]]], [[[0.8, 0.5]]])


def test_weights_and_images():
    loss = PerRegion(CE() + Dice(), REGIONS)
    of_images = np.asarray(loss.image_values(LABELS, PREDICTED))
    assert of_images.mean() == pytest.approx(float(loss(LABELS, PREDICTED)), rel=1e-5)
    first = loss(LABELS, PREDICTED, sample_weight=np.array([2.0, 0.0], np.float32))
    assert float(first) == pytest.approx(of_images[0], rel=1e-5)


def test_it_is_copied_with_its_regions():
    loss = PerRegion(TLoss(ignore_label=9) + Dice(ignore_label=9), REGIONS)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.regions == REGIONS and copy.ignore_label == 9
    assert float(copy(LABELS, PREDICTED)) == pytest.approx(float(loss(LABELS, PREDICTED)))
    assert len(loss.trainable_variables) == 1


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="`regions`"):
        PerRegion(CE(), [(1,), ()])
    with pytest.raises(ValueError, match="`loss`"):
        PerRegion("ce", REGIONS)
    with pytest.raises(ValueError, match="predictions of 3, one per region"):
        PerRegion(CE(), REGIONS)(LABELS, PREDICTED[..., :2])
