"""Which voxels each selection keeps, by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_robust.losses import CE, Dice, get
from keras_robust.models import DisagreementSelection, SmallLossSelection, StochasticSelection
from keras_robust.models.co_teaching.label_trust import Labelled, look
from tests.keras_robust.losses.helpers import softmax, value

SEED = np.array([5, 7], "int32")
NOW = {"ramp_epochs": 0}


def seen(trust, label=None, disagree=None, valid=None, other=None):
    trust = ops.convert_to_tensor(np.asarray(trust, "float32"))
    label = np.zeros(trust.shape, "int32") if label is None else np.asarray(label, "int32")
    disagree = np.zeros(trust.shape, bool) if disagree is None else np.asarray(disagree, bool)
    valid = np.ones(trust.shape, bool) if valid is None else np.asarray(valid, bool)
    pair = (trust, trust if other is None else ops.convert_to_tensor(np.asarray(other, "float32")))
    masks = [ops.convert_to_tensor(m) for m in (disagree, valid, label)]
    return Labelled(pair, *masks, int(label.max()) + 2)


def kept(selection, batch, peer=0, epoch=100, seed=SEED):
    seed = ops.convert_to_tensor(seed, dtype="uint32" if keras.backend.backend() == "jax" else None)
    return value(selection(batch, peer, epoch, seed))


# Two images of five voxels; the smallest is in the first image, the next two in the second.
TRUST = [[0.05, 0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.95, 0.85, 0.75]]


@pytest.mark.parametrize(
    ("rate", "left_out"),
    [
        (0.0, []),
        (0.1, [0.05]),  # 1 of 10
        (0.3, [0.05, 0.1, 0.2]),  # 3 of 10, not 4, whatever 0.3 x 10 is in float32
        (0.31, [0.05, 0.1, 0.2, 0.6]),  # ceil(3.1)
        (0.95, [0.05, 0.1, 0.2, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9]),  # min_kept = .1 keeps one
    ],
)
def test_small_losses_of_the_whole_batch(rate, left_out):
    found = kept(SmallLossSelection(rate, **NOW), seen(TRUST))
    np.testing.assert_array_equal(found, ~np.isin(np.float32(TRUST), np.float32(left_out)))


def test_each_peer_by_its_own_trust_and_images_apart():
    other = np.asarray(TRUST)[::-1]
    batch = seen(TRUST, other=other)
    a, b = (kept(SmallLossSelection(0.3, **NOW), batch, peer) for peer in (0, 1))
    np.testing.assert_array_equal(b, a[::-1])
    assert a.shape == (2, 5) and (a != b).any()


def test_ignored_voxels_are_neither_kept_nor_counted():
    """Without the four of smallest trust six are left; half of them stay."""
    valid = np.asarray(TRUST) > 0.65
    found = kept(SmallLossSelection(0.5, **NOW), seen(TRUST, valid=valid))
    np.testing.assert_array_equal(found, np.asarray(TRUST) > 0.82)
    nothing = kept(SmallLossSelection(0.5, **NOW), seen(TRUST, valid=np.zeros((2, 5))))
    assert not nothing.any()


def test_ties_stay():
    assert kept(SmallLossSelection(0.5, **NOW), seen(np.full((2, 5), 0.3))).all()


def test_balanced_leaves_out_as_much_of_each_class():
    """Foreground, 2 of 10, is trusted less: rejecting 20 % of all would leave none of it."""
    label = [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    overall = kept(SmallLossSelection(0.2, **NOW), seen(TRUST, label))
    balanced = kept(SmallLossSelection(0.2, balanced=True, **NOW), seen(TRUST, label))
    foreground = np.asarray(label) == 1
    assert not overall[foreground].any() and overall[~foreground].all()
    # ceil(.2 x 2) = 1 of the foreground (.05), ceil(.2 x 8) = 2 of the background (.2 and .6).
    left_out = np.isin(np.float32(TRUST), np.float32([0.05, 0.2, 0.6]))
    np.testing.assert_array_equal(balanced, ~left_out)


def test_disagreement():
    disagree = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]], bool)
    batch = seen(TRUST, disagree=disagree)
    # Of the four disputed voxels (.05, .9, .1, .2), the least trusted half goes.
    found = kept(DisagreementSelection(0.5, warmup=0, **NOW), batch)
    np.testing.assert_array_equal(found, np.isin(np.float32(TRUST), np.float32([0.9, 0.2])))
    # Before the warm-up ends, and where the peers agree, as in co-teaching.
    plain = kept(SmallLossSelection(0.5, **NOW), batch)
    early = kept(DisagreementSelection(0.5, warmup=101, **NOW), batch)
    agreed = kept(DisagreementSelection(0.5, warmup=0, **NOW), seen(TRUST))
    rare = kept(DisagreementSelection(0.5, warmup=0, min_kept=0.5, **NOW), batch)
    for other in (early, agreed, rare):
        np.testing.assert_array_equal(other, plain)


@pytest.mark.parametrize(
    ("trust", "rate", "expected"),
    [
        # F(x) = 3x² - 2x³ for Beta(2, 2)
        (0.5, 1.0, 0.5),
        (0.25, 1.0, 3 / 16 - 2 / 64),
        (0.25, 0.5, 0.5),  # thresholds are halved
        (0.75, 0.5, 1.0),
    ],
)
def test_stochastic_keeps_by_the_distribution_of_the_thresholds(trust, rate, expected):
    selection = StochasticSelection(2, 2, warmup=10, ramp=10)
    epoch = 10 + 10 * rate  # r = 0, .1, .2, ..., .9 over 10 epochs, then 1
    assert float(selection.rate(epoch)) == pytest.approx(rate)
    found = kept(selection, seen(np.full((4, 100, 100), trust)), epoch=epoch)
    # 40,000 draws: a standard deviation of at most .0025
    assert found.mean() == pytest.approx(expected, abs=0.01)


def test_the_schedule_is_that_of_the_published_code():
    """nnUNetStoCoT: 20 epochs of 0, 20 of k/20 for k = 0, ..., 19, then 1."""
    published = [0.0] * 20 + [k / 20 for k in range(20)] + [1.0] * 10
    selection = StochasticSelection(2, 2)
    found = [float(selection.rate(epoch)) for epoch in range(50)]
    np.testing.assert_allclose(found, published, atol=1e-6)
    sudden = StochasticSelection(2, 2, warmup=3, ramp=0)
    assert [float(sudden.rate(epoch)) for epoch in (2, 3, 4)] == [0, 1, 1]


def test_thresholds_are_a_function_of_the_seed_and_differ_between_draws():
    batch = seen(np.full((2, 30, 30), 0.5))
    selection = StochasticSelection(2, 2, warmup=0, ramp=0)
    first = kept(selection, batch)
    np.testing.assert_array_equal(kept(selection, batch), first)
    for other in ([5, 8], [6, 7]):
        assert (kept(selection, batch, seed=np.array(other, "int32")) != first).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("epoch", [0, 19, 20])
def test_warm_up_keeps_even_what_is_impossible(epoch):
    assert kept(StochasticSelection(8, 0.5), seen(np.zeros((2, 6))), epoch=epoch).all()


def test_the_schedule_of_co_teaching():
    """Ten epochs from 0 to the fraction that is left out in the end."""
    rates = [float(SmallLossSelection(0.08).rate(epoch)) for epoch in range(12)]
    np.testing.assert_allclose(rates, list(np.linspace(0, 0.08, 10)) + [0.08] * 2, atol=1e-6)


def test_a_floor_under_what_is_kept():
    """No label is believed: the most trusted tenth stays, of each class where balanced."""
    trust = np.linspace(0, 1e-4, 100).reshape(1, 10, 10)
    label = np.zeros((1, 10, 10))
    label[0, :2] = 1  # the 20 least trusted
    options = {"warmup": 0, "ramp": 0}
    found = kept(StochasticSelection(32, 2, **options), seen(trust, label))
    np.testing.assert_array_equal(found, trust >= trust.ravel()[90])
    found = kept(StochasticSelection(32, 2, balanced=True, **options), seen(trust, label))
    assert found[0, :2].sum() == 2 and found[0, 2:].sum() == 8
    # At least: of 7 voxels a tenth is one, a half four.
    for fraction, expected in ((0.1, 1), (0.5, 4)):
        floor = StochasticSelection(32, 2, min_kept=fraction, **options)
        assert kept(floor, seen(np.linspace(0, 1e-4, 7)[None])).sum() == expected


def test_trust_is_the_probability_of_the_label():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 2, 3, 3)).astype("float32")
    p, y = softmax(logits), rng.integers(0, 3, (2, 3))
    expected = np.take_along_axis(p[0], y[..., None], -1)[..., 0]
    y = y[None]
    for loss, scores in ((CE(), p), (CE(from_logits=True) + Dice(from_logits=True), logits)):
        for targets in (y, np.eye(3)[y]):
            found = look(loss, targets, (scores[:1], scores[1:]))
            np.testing.assert_allclose(value(found.trust[0])[0], expected, atol=1e-6)
            np.testing.assert_array_equal(value(found.label), y)
            differ = p[:1].argmax(-1) != p[1:].argmax(-1)
            np.testing.assert_array_equal(value(found.disagree), differ)
    # One sigmoid channel: p of the foreground, 1 - p of the background; soft labels in between.
    p = np.array([0.8, 0.8, 0.3, 0.3]).reshape(1, 4, 1)
    labels = np.array([1, 0, 1, 0.5]).reshape(1, 4, 1)
    found = look(get("t+dice"), labels, (p, 1 - p))
    np.testing.assert_allclose(value(found.trust[0]), [[0.8, 0.2, 0.3, 0.5]], atol=1e-6)
    assert value(found.disagree).all() and found.classes == 2


def test_what_counts():
    p = np.full((2, 3, 1), 0.5)
    labels = np.array([[0, 1, 255], [1, 1, 0]])
    loss = CE(ignore_label=255)
    for weight, expected in (
        (None, [[1, 1, 0], [1, 1, 1]]),
        (np.array([0.0, 2.0]), [[0, 0, 0], [1, 1, 1]]),
        (np.array([[0.0, 1, 1], [0.5, 0, 1]]), [[0, 1, 0], [1, 0, 1]]),
    ):
        found = look(loss, labels, (p, p), weight)
        np.testing.assert_array_equal(value(found.valid), np.array(expected, bool))


def test_config_round_trips():
    for selection in (
        SmallLossSelection(0.07, 3, balanced=True, min_kept=0.2),
        DisagreementSelection(0.02, 4, warmup=2),
        StochasticSelection(0.5, 8, warmup=1, ramp=2, balanced=True, min_kept=0.3),
    ):
        config = keras.saving.serialize_keras_object(selection)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(selection) and again.get_config() == selection.get_config()


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: SmallLossSelection(1.0), "forget_rate"),
        (lambda: SmallLossSelection(0.1, ramp_epochs=-1), "ramp_epochs"),
        (lambda: SmallLossSelection(0.1, min_kept=0), "min_kept"),
        (lambda: DisagreementSelection(0.1, warmup=-1), "warmup"),
        (lambda: StochasticSelection(0, 1), "alpha"),
        (lambda: StochasticSelection(1, float("inf")), "beta"),
        (lambda: StochasticSelection(1, 1, ramp=-1), "ramp"),
    ],
)
def test_errors(make, argument):
    with pytest.raises(ValueError, match=f"Invalid value for argument `{argument}`"):
        make()
