"""What the losses compute, against the papers' formulas and against each other."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust import losses
from tests.keras_robust.losses import formulas
from tests.keras_robust.losses.helpers import binary, flat, softmax, value

OF_IMAGES = ["t", *formulas.IMAGEWISE]
ALL = ["mae", "rce", "nce", "ngce", "gce", "sce", "ce", "focal", "nacl", *OF_IMAGES]
WITHOUT_BACKGROUND = ["dice", "squared_dice", "nr_dice", "ce+dice", "apl1", "apl2"]
PAPER_NAMES = [*ALL, "nce+rce", "ngce+mae", "ngce+rce", "ce+dice", "apl1", "apl2"]
SPATIAL = [(6, 5), (4, 3, 5)]


def one_hot(labels, classes):
    return np.eye(classes, dtype="float32")[labels]


def problem(seed, spatial=(6, 5), classes=3, batch=2):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (batch, *spatial))
    logits = rng.normal(0, 2, (batch, *spatial, classes)).astype("float32")
    return labels, logits


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("name", formulas.VOXELWISE)
def test_voxelwise_losses_follow_their_formulas(name, spatial):
    labels, logits = problem(0, spatial)
    q, p = flat(one_hot(labels, 3), softmax(logits.astype("float64")))
    expected = formulas.VOXELWISE[name](q, p)
    loss = losses.get(name, reduction="none", from_logits=True)
    actual = value(loss(labels, logits))
    assert actual.shape == labels.shape
    np.testing.assert_allclose(actual.reshape(expected.shape), expected, rtol=3e-5, atol=2e-6)
    mean = losses.get(name, from_logits=True)
    np.testing.assert_allclose(value(mean(labels, logits)), expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("absent", [None, 2])
@pytest.mark.parametrize("name", formulas.IMAGEWISE)
def test_losses_of_images_follow_their_formulas(name, absent):
    labels, logits = problem(1)
    labels[labels == absent] = 0
    q, p = flat(one_hot(labels, 3), softmax(logits.astype("float64")))
    loss = losses.get(name, from_logits=True, reduction="none")
    expected = formulas.IMAGEWISE[name](q, p)
    np.testing.assert_allclose(value(loss(labels, logits)), expected, rtol=1e-5)


def test_options_of_the_relatives_of_dice_and_of_cross_entropy():
    labels, logits = problem(1)
    q, p = flat(one_hot(labels, 3), softmax(logits.astype("float64")))
    options = {"from_logits": True, "reduction": "none"}

    def found(loss):
        return value(loss(labels, logits))

    squared = found(losses.SquaredDice(**options))
    np.testing.assert_allclose(found(losses.NoiseRobustDice(gamma=2, **options)), squared, 1e-4)
    sums = (q + p)[..., 1:].sum(1) + 1e-5
    published = ((np.abs(p - q) ** 1.5)[..., 1:].sum(1) / sums).mean(-1)
    plain = losses.NoiseRobustDice(squared=False, **options)
    np.testing.assert_allclose(found(plain), published, rtol=1e-5)
    weight = 1 / q.sum(1)
    simple = 2 * (weight * (q * p).sum(1)).sum(-1) / (weight * (q + p).sum(1)).sum(-1)
    loss = losses.GeneralizedDice(weight="simple", **options)
    np.testing.assert_allclose(found(loss), 1 - simple, rtol=1e-5)
    entropy = found(losses.CE(**options))
    np.testing.assert_allclose(found(losses.Focal(gamma=0, **options)), entropy, rtol=1e-5)
    np.testing.assert_allclose(found(losses.NACL(weight=0, **options)), entropy, rtol=1e-6)
    shares = np.where(labels > 0, 0.25, 0.75)
    for y, x in ((labels, logits), (labels > 0, logits[..., :1])):
        balanced, plain = (losses.Focal(alpha=a, **options) for a in (0.25, None))
        np.testing.assert_allclose(
            value(balanced(y, x)), shares * value(plain(y, x)), rtol=1e-5, atol=1e-6
        )


def test_the_penalty_of_nacl_is_the_distance_to_the_shares_of_the_neighbourhood():
    labels, logits = problem(2)
    options = {"from_logits": True, "reduction": "none"}
    entropy = value(losses.CE(**options)(labels, logits))
    penalty = value(losses.NACL(weight=0.5, **options)(labels, logits)) - entropy
    expected = 0.5 * formulas.nacl_penalty(one_hot(labels, 3), logits.astype("float64"))
    np.testing.assert_allclose(penalty, expected, rtol=1e-4, atol=1e-6)
    # What is ignored has no part in the shares of its neighbours.
    loss = losses.NACL(ignore_label=9, from_logits=True, reduction="none")
    marked = labels.copy()
    marked[:, 0] = 9
    found = value(loss(marked, logits))
    logits[:, 0] = 5.0
    np.testing.assert_array_equal(value(loss(marked, logits)), found)
    assert (found[:, 0] == 0).all()


def test_dice_of_a_batch_is_that_of_one_image():
    labels, logits = problem(1)
    q, p = flat(one_hot(labels, 3), softmax(logits.astype("float64")))
    pooled = losses.Dice(from_logits=True, batch=True)
    expected = formulas.dice(q.reshape(1, -1, 3), p.reshape(1, -1, 3))[0]
    np.testing.assert_allclose(value(pooled(labels, logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in PAPER_NAMES if n != "t"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_one_sigmoid_channel_equals_two_softmax_channels(name, seed):
    rng = np.random.default_rng(seed)
    y, p, two = binary(rng)
    loss = losses.get(name)
    np.testing.assert_allclose(value(loss(y, p)), value(loss(y, two)), rtol=1e-5)
    z = rng.normal(0, 3, (*y.shape, 1)).astype("float32")
    logits = losses.get(name, from_logits=True)
    both = np.concatenate([np.zeros_like(z), z], -1)
    np.testing.assert_allclose(value(logits(y, z)), value(logits(y, both)), rtol=1e-5)


@pytest.mark.parametrize("name", PAPER_NAMES)
@pytest.mark.parametrize("spatial", SPATIAL)
def test_all_target_forms_agree(name, spatial):
    labels, logits = problem(2, spatial)
    loss = losses.get(name, from_logits=True)
    reference = value(loss(labels, logits))
    for targets in (labels[..., None], one_hot(labels, 3), labels.astype("float32")):
        np.testing.assert_allclose(value(loss(targets, logits)), reference, rtol=1e-6)
    y = labels > 0
    z = logits[..., :1]
    reference = value(loss(y.astype("uint8"), z))
    for targets in (y, y[..., None], y.astype("float32")[..., None]):
        np.testing.assert_allclose(value(loss(targets, z)), reference, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in PAPER_NAMES if n != "nacl"])  # probabilities hide them
def test_logits_and_probabilities_agree(name):
    labels, logits = problem(3)
    p = softmax(logits.astype("float64")).astype("float32")
    with_logits = value(losses.get(name, from_logits=True)(labels, logits))
    np.testing.assert_allclose(value(losses.get(name)(labels, p)), with_logits, rtol=1e-5)


@pytest.mark.parametrize("base", [losses.VoxelLoss, losses.ImageLoss])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_loss_of_ones_own_is_given_probabilities(base, classes):
    class Squares(base):
        def values(self, targets, predictions, weights=None):
            squares = (targets - predictions) ** 2
            over = -1 if base is losses.VoxelLoss else (1, 2, 3)
            return keras.ops.mean(squares, axis=over)

    labels, logits = problem(9, classes=classes)
    p = 1 / (1 + np.exp(-logits)) if classes == 1 else softmax(logits)
    found = Squares(from_logits=True)(labels, logits)
    np.testing.assert_allclose(value(found), value(Squares()(labels, p)), rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in PAPER_NAMES if n != "nacl"])  # looks beyond the cut
@pytest.mark.parametrize("spatial", SPATIAL)
def test_ignored_voxels_are_as_if_they_were_not_there(name, spatial):
    """Every image loses the same voxels: ignoring them equals cutting them off."""
    labels, logits = problem(4, spatial)
    ignoring = labels.copy()
    ignoring[:, -2:] = 255
    options = {"from_logits": True}
    expected = value(losses.get(name, **options)(labels[:, :-2], logits[:, :-2]))
    actual = losses.get(name, ignore_label=255, **options)(ignoring, logits)
    np.testing.assert_allclose(value(actual), expected, rtol=1e-5)
    # What the model says there does not matter either.
    logits[:, -2:] = 77.0
    actual = losses.get(name, ignore_label=255, **options)(ignoring, logits)
    np.testing.assert_allclose(value(actual), expected, rtol=1e-5)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_voxel_weights_of_image_losses_count_voxels(name):
    labels, logits = problem(5)
    loss = losses.get(name, from_logits=True)
    twice = np.concatenate([labels, labels[:, :2]], 1)
    logits_twice = np.concatenate([logits, logits[:, :2]], 1)
    weights = np.ones(labels.shape, "float32")
    weights[:, :2] = 2
    np.testing.assert_allclose(
        value(loss(labels, logits, weights)), value(loss(twice, logits_twice)), rtol=1e-5
    )


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_weight_zero_drops_an_image_from_the_sum(name):
    labels, logits = problem(6)
    loss = losses.get(name, from_logits=True, reduction="sum")
    actual = value(loss(labels, logits, np.array([1.0, 0.0], "float32")))
    np.testing.assert_allclose(actual, value(loss(labels[:1], logits[:1])), rtol=1e-5)


@pytest.mark.parametrize("ignore_label", [None, 9])
def test_an_image_of_weight_zero_is_not_in_the_sums_of_the_batch(ignore_label):
    labels, logits = problem(7, batch=3)
    loss = losses.Dice(batch=True, from_logits=True, ignore_label=ignore_label)
    found = value(loss(labels, logits, np.array([1.0, 1.0, 0.0])))
    np.testing.assert_allclose(found, value(loss(labels[:2], logits[:2])), rtol=1e-6)
    twice = value(loss(labels, logits, np.array([2.0, 1.0, 0.0])))
    picked = value(loss(labels[[0, 0, 1]], logits[[0, 0, 1]]))
    np.testing.assert_allclose(twice, picked, rtol=1e-5)
    assert value(loss(labels, logits, np.zeros(3))) == 0


def test_voxel_weights_follow_keras():
    """As Keras's own cross entropy: the weighted sum over the number of voxels."""
    labels, logits = problem(7)
    weights = np.random.default_rng(0).uniform(0, 2, labels.shape).astype("float32")
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = losses.CE(from_logits=True)
    np.testing.assert_allclose(
        value(ours(labels, logits, weights)), value(theirs(labels, logits, weights)), rtol=1e-5
    )
    by_weight = losses.CE(from_logits=True, reduction="mean_with_sample_weight")
    per_voxel = value(losses.CE(from_logits=True, reduction="none")(labels, logits))
    np.testing.assert_allclose(
        value(by_weight(labels, logits, weights)),
        (per_voxel * weights).sum() / weights.sum(),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", [n for n in PAPER_NAMES if n not in ("t", *WITHOUT_BACKGROUND)])
def test_permuting_classes_changes_nothing(name):
    labels, logits = problem(8)
    order = np.array([2, 0, 1])
    loss = losses.get(name, from_logits=True)
    permuted = loss(np.argsort(order)[labels], logits[..., order])
    np.testing.assert_allclose(value(permuted), value(loss(labels, logits)), rtol=1e-5)


def test_hard_label_identities():
    rng = np.random.default_rng(9)
    y, p, _ = binary(rng)
    mae, rce = value(losses.MAE()(y, p)), value(losses.RCE()(y, p))
    np.testing.assert_allclose(rce, -np.log(1e-4) * mae, rtol=1e-5)
    np.testing.assert_allclose(value(losses.RCE()(y.astype("float32"), p)), rce, rtol=1e-5)
    np.testing.assert_allclose(value(losses.GCE(q=1)(y, p)), mae, rtol=1e-5)
    np.testing.assert_allclose(value(losses.NGCE(q=1)(y, p)), mae, rtol=1e-5)
    np.testing.assert_allclose(value(losses.GCE(q=1e-3)(y, p)), value(losses.CE()(y, p)), rtol=3e-3)
    sce = 0.1 * value(losses.CE()(y, p)) + rce
    np.testing.assert_allclose(value(losses.SCE()(y, p)), sce, rtol=1e-5)


def test_hand_drawn_masks():
    y = np.array([[[1, 0]]])
    p = np.array([[[[0.9], [0.2]]]], "float32")
    # p_y = 0.9 and 0.8
    expected = {
        "mae": (0.1 + 0.2) / 2,
        "rce": 9.21034037 * 0.15,
        "ce": -(np.log(0.9) + np.log(0.8)) / 2,
        "nce": (np.log(0.9) / np.log(0.9 * 0.1) + np.log(0.8) / np.log(0.8 * 0.2)) / 2,
        "dice": 1 - (2 * 0.9 + 1e-5) / (1 + 1.1 + 1e-5),
        "gce": (1 - 0.9**0.7 + 1 - 0.8**0.7) / 2 / 0.7,
        "focal": -(0.1**2 * np.log(0.9) + 0.2**2 * np.log(0.8)) / 2,
        # 0.9² + 0.2² + 1² = 1.85
        "squared_dice": 1 - 2 * 0.9 / 1.85,
        "nr_dice": (0.1**1.5 + 0.2**1.5) / 1.85,
        # One voxel of each class: weights 1, overlaps 0.9 and 0.8, sums 1.1 + 1 and 0.9 + 1.
        "generalized_dice": 1 - 2 * (0.9 + 0.8) / (2.1 + 1.9),
        # Shares 2/3 and 1/3 of the foreground; logits are log(1 - p) and log p.
        "nacl": -(np.log(0.9) + np.log(0.8)) / 2
        + 0.1
        * (1 / 3 - np.log(0.1) + 2 / 3 - np.log(0.9) + 2 / 3 - np.log(0.8) + 1 / 3 - np.log(0.2))
        / 4,
    }
    for name, number in expected.items():
        np.testing.assert_allclose(value(losses.get(name)(y, p)), number, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_soft_targets_are_accepted(name):
    rng = np.random.default_rng(10)
    _, logits = problem(10)
    q = rng.dirichlet(np.ones(3), logits.shape[:-1]).astype("float32")
    loss = losses.get(name, from_logits=True)
    assert np.isfinite(value(loss(q, logits)))
    z = logits[..., :1]
    soft = q[..., 0]
    both = np.stack([1 - soft, soft], -1)
    if name != "t":
        np.testing.assert_allclose(
            value(loss(soft, z)),
            value(loss(both, np.concatenate([np.zeros_like(z), z], -1))),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", [n for n in formulas.VOXELWISE if n != "rce"])
def test_soft_targets_follow_the_formulas(name):
    rng = np.random.default_rng(11)
    _, logits = problem(11)
    q = rng.dirichlet(np.ones(3), logits.shape[:-1]).astype("float32")
    qs, p = flat(q, softmax(logits.astype("float64")))
    actual = value(losses.get(name, from_logits=True)(q, logits))
    np.testing.assert_allclose(actual, formulas.VOXELWISE[name](qs, p).mean(), rtol=1e-5)


def test_sums_and_factors():
    labels, logits = problem(12)
    options = {"from_logits": True}
    nce, rce, dice = (losses.get(n, **options) for n in ("nce", "rce", "dice"))
    parts = [value(loss(labels, logits)) for loss in (nce, rce, dice)]
    total = nce + rce * 2 + 0.5 * dice
    np.testing.assert_allclose(
        value(total(labels, logits)), parts[0] + 2 * parts[1] + 0.5 * parts[2], rtol=1e-6
    )
    np.testing.assert_allclose(value(sum([nce, rce, dice])(labels, logits)), sum(parts), rtol=1e-6)
    np.testing.assert_allclose(
        value(losses.get("apl1", **options)(labels, logits)), sum(parts), rtol=1e-6
    )
    per_image = losses.get("apl1", reduction="none", **options)
    assert value(per_image(labels, logits)).shape == (2,)
    np.testing.assert_allclose(value(per_image(labels, logits)).mean(), sum(parts), rtol=1e-5)


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_config_round_trip(name):
    loss = losses.get(name, from_logits=True, ignore_label=7, dtype="float64")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert again.dtype == "float64"
    labels, logits = problem(13)
    np.testing.assert_allclose(value(again(labels, logits)), value(loss(labels, logits)))


@pytest.mark.parametrize("name", PAPER_NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_predictions_are_computed_in_float32(name, dtype):
    labels, logits = problem(14)
    half = keras.ops.cast(logits, dtype)
    loss = losses.get(name, from_logits=True)
    actual = loss(labels, half)
    assert keras.backend.standardize_dtype(actual.dtype) == "float32"
    np.testing.assert_allclose(
        value(actual), value(loss(labels, value(keras.ops.cast(half, "float32")))), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ((2, 4, 5), (2, 4, 6, 3)),
        ((2, 4, 5, 2), (2, 4, 5, 3)),
        ((3, 4, 5), (2, 4, 5, 1)),
        ((4,), (2, 4, 5, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_both_named(true, predicted):
    for name in ("mae", "t", "ce+dice"):
        with pytest.raises(ValueError, match="y_true of shape") as error:
            losses.get(name)(np.zeros(true, "int32"), np.zeros(predicted, "float32"))
        assert str(true) in str(error.value) and str(predicted) in str(error.value)


def test_weights_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"sample_weight.*\(2, 6, 5\).*\(7,\)"):
        losses.MAE()(*problem(15), sample_weight=np.ones(7, "float32"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.GCE(q=0), "`q`.*0 < q <= 1.*q=0"),
        (lambda: losses.NGCE(q=1.5), "`q`"),
        (lambda: losses.RCE(clamp=0), "`clamp`"),
        (lambda: losses.SCE(alpha=-1), "`alpha`"),
        (lambda: losses.Dice(smooth=0), "`smooth`"),
        (lambda: losses.MAE(reduction="median"), "`reduction`"),
        (lambda: losses.TLoss(epsilon=0), "`epsilon`"),
        (lambda: losses.TLoss(event="pixel"), "`event`"),
        (lambda: losses.TLoss(scale="mean"), "`scale`"),
        (lambda: losses.TLoss(nu_tilde=float("nan")), "`nu_tilde`"),
        (lambda: losses.get("tversky"), "`name`.*tversky"),
        (lambda: losses.NoiseRobustDice(gamma=2.5), "`gamma`"),
        (lambda: losses.GeneralizedDice(weight="cube"), "`weight`"),
        (lambda: losses.Focal(gamma=-1), "`gamma`"),
        (lambda: losses.Focal(alpha=2), "`alpha`"),
        (lambda: losses.NACL(weight=-1), "`weight`"),
        (lambda: losses.get("gce", exponent=0.5), "`options`.*exponent"),
    ],
)
def test_options_outside_their_range_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_names_and_options():
    assert losses.get("GCE", q=0.5).q == 0.5
    total = losses.get("ngce+rce", q=0.3, clamp=1e-3, from_logits=True)
    assert (total.losses[0].q, total.losses[1].clamp) == (0.3, 1e-3)
    assert all(term.from_logits for term in total.losses)
    loss = losses.TLoss()
    assert losses.get(loss) is loss


@pytest.mark.parametrize("reduction", ["sum", "none", None, "mean", "mean_with_sample_weight"])
def test_everything_ignored_is_zero(reduction):
    labels, logits = np.full((2, 4, 4), 255), np.zeros((2, 4, 4, 3), "float32")
    for name in PAPER_NAMES:
        loss = losses.get(name, from_logits=True, ignore_label=255, reduction=reduction)
        np.testing.assert_array_equal(value(loss(labels, logits)), 0, err_msg=name)


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_an_ignored_label_leaves_one_hot_targets_alone(name):
    """A channel may hold the number of the ignored label: only whole voxels are ignored."""
    labels, logits = problem(16)
    loss, ignoring = (losses.get(name, from_logits=True, ignore_label=i) for i in (None, 1))
    targets = one_hot(labels, 3)
    np.testing.assert_allclose(
        value(ignoring(targets, logits)), value(loss(targets, logits)), rtol=1e-6
    )


def test_images_without_a_channel_axis_are_refused():
    with pytest.raises(ValueError, match=r"channel axis.*y_pred\[\.\.\., None\]"):
        losses.MAE()(np.zeros((2, 4, 5)), np.zeros((2, 4, 5), "float32"))


@pytest.mark.parametrize("name", [*formulas.VOXELWISE, "dice"])
def test_float32_agrees_with_float64_on_two_thousand_squared(name):
    """4 million voxels, the mean of a formula in float64."""
    rng = np.random.default_rng(17)
    labels = rng.integers(0, 2, (1, 2048, 2048), "uint8")
    p = rng.uniform(0.01, 0.99, (1, 2048, 2048, 1)).astype("float32")
    exact = p.reshape(1, -1, 1).astype("float64")
    qs, ps = one_hot(labels, 2).reshape(1, -1, 2), np.concatenate([1 - exact, exact], -1)
    expected = {**formulas.VOXELWISE, "dice": formulas.dice}[name](qs, ps).mean()
    np.testing.assert_allclose(value(losses.get(name)(labels, p)), expected, rtol=1e-6)


def test_dice_of_more_voxels_than_float32_counts():
    """2e7 voxels in each of two classes: an ordinary float32 sum stops at 2**24."""
    full = np.ones((1, 4480, 4480), "uint8")
    p = np.zeros((1, 4480, 4480, 3), "float32")
    p[..., 1] = 1.0
    # Class 1 is right (0), class 2 is empty in both (0).
    assert value(losses.Dice()(full, p)) == 0.0
    p[..., 1] = 0.5
    p[..., 0] = 0.5
    # 1 - 2 (n / 2) / (n / 2 + n) = 1 / 3, and 0 for class 2: 1 / 6 on average
    np.testing.assert_allclose(value(losses.Dice()(full, p)), 1 / 6, rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("name", [*formulas.VOXELWISE, "dice"])
def test_float64_is_not_rounded_on_the_way(name, reduction):
    rng = np.random.default_rng(18)
    y, p, _ = binary(rng)
    p = p.astype("float64")
    exact = np.concatenate([1 - p, p], -1).reshape(len(p), -1, 2)
    of = {**formulas.VOXELWISE, "dice": formulas.dice}[name]
    expected = of(one_hot(y, 2).astype("float64").reshape(exact.shape), exact)
    expected = expected.sum() if reduction == "sum" else expected.mean()
    loss = losses.get(name, dtype="float64", reduction=reduction)
    np.testing.assert_allclose(value(loss(y, p)), expected, rtol=1e-14)
    ones = np.ones(y.shape)
    np.testing.assert_allclose(value(loss(y, p, ones)), expected, rtol=1e-14)
