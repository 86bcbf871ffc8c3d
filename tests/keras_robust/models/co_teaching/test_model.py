"""Co-teaching as a Keras model: who learns from what, and everything that Keras does with models.

Backend-neutral; what only TensorFlow has is in `test_co_teaching_tensorflow.py`.
"""

import keras
import numpy as np
import pytest

from keras_robust import losses
from keras_robust.losses import CE, Dice, TLoss
from keras_robust.models import (
    CoTeaching,
    DisagreementSelection,
    Selection,
    SmallLossSelection,
    StochasticSelection,
    UNet,
    robust_method,
    supervision_weights,
)
from keras_robust.training import NuLogger
from tests.keras_robust.losses.helpers import value

L = keras.layers
KEEP_ALL = SmallLossSelection(0.0)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def network(spatial=(6, 6), classes=1):
    """One convolution with its nonlinearity: small, and not linear in its weights."""

    def build():
        Conv = L.Conv2D if len(spatial) == 2 else L.Conv3D
        x = inputs = keras.Input((*spatial, 2))
        x = Conv(3, 3, padding="same", activation="tanh")(x)
        activation = "sigmoid" if classes == 1 else "softmax"
        return keras.Model(inputs, Conv(classes, 1, activation=activation, name="out")(x))

    return build


def data(spatial=(6, 6), classes=1, images=8):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(images, *spatial, 2)).astype("float32")
    y = np.digitize(x[..., 0], np.linspace(0, 1, max(classes, 2) + 1)[1:-1]).astype("uint8")
    flipped = rng.uniform(size=y.shape) < 0.2
    return x, np.where(flipped, (y + 1) % max(classes, 2), y).astype("uint8")


def weights(model):
    return [value(v.value) for v in model.variables]


def assert_equal(ours, theirs, **tolerance):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **({"atol": 1e-6} | tolerance))


def fit(model, x, y, epochs=2, **options):
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    return model.fit(x, y, epochs=epochs, **settings).history


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05),
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, global_clipnorm=0.1),
}


@pytest.mark.parametrize(
    ("name", "spatial", "classes", "optimizer"),
    [
        ("ce+dice", (6, 6), 3, "sgd"),
        ("t+dice", (4, 5, 4), 1, "adam"),
        ("svls-apl2", (4, 5, 4), 3, "adam"),
    ],
)
def test_peers_that_keep_all_train_as_two_networks_alone(spatial, classes, name, optimizer):
    x, y = data(spatial, classes)
    pair = CoTeaching(network(spatial, classes), KEEP_ALL)
    alone = [network(spatial, classes)() for _ in range(2)]
    for peer, other in zip(pair.peers, alone, strict=True):
        other.set_weights(peer.get_weights())
    pair.compile(OPTIMIZERS[optimizer](), losses.get(name))
    history = fit(pair, x, y, epochs=3)
    single = []
    for other in alone:
        other.compile(OPTIMIZERS[optimizer](), losses.get(name))
        single.append(fit(other, x, y, epochs=3)["loss"])
    np.testing.assert_allclose(history["loss"], np.mean(single, 0), rtol=1e-5)
    assert history["kept_a"] == history["kept_b"] == [1, 1, 1]
    for peer, other in zip(pair.peers, alone, strict=True):
        ours = [w for w in other.get_weights() if w.shape]  # without ν
        assert_equal(peer.get_weights(), ours, atol=1e-5)
    if name == "t+dice":
        nus = [next(loss.terms()).nu_tilde for loss in pair.losses_of_peers]
        theirs = [next(other.loss.terms()).nu_tilde for other in alone]
        assert nus == pytest.approx(theirs, abs=1e-5)
        assert nus[0] != 0 and nus[0] != nus[1]


class Fixed(Selection):
    """Each peer keeps a part of the image that is its own."""

    def __init__(self, masks):
        super().__init__()
        self.masks = masks

    def __call__(self, seen, peer, epoch, seed):
        shape = keras.ops.shape(seen.valid)
        return keras.ops.broadcast_to(keras.ops.convert_to_tensor(self.masks[peer]), shape)


@pytest.mark.parametrize("name", ["ce+dice", "t", "svls-apl2"])
def test_a_peer_learns_only_from_what_the_other_one_kept(name):
    """As one network alone learns with all but these voxels ignored."""
    x, y = data(classes=3)
    masks = np.zeros((2, 6, 6), bool)
    masks[0, :2], masks[1, 2:] = True, True
    pair = CoTeaching(network(classes=3), Fixed(masks))
    before = [peer.get_weights() for peer in pair.peers]
    pair.compile("adam", losses.get(name))
    fit(pair, x, y, epochs=1)
    for peer, kept in ((0, masks[1]), (1, masks[0])):
        alone = network(classes=3)()
        alone.set_weights(before[peer])
        loss = losses.get(name)
        alone.compile("adam", lambda q, p, kept=kept, loss=loss: loss(q, p, None, spread(kept, p)))
        losses.attach(alone, loss)
        fit(alone, x, y, epochs=1)
        theirs = [w for w in alone.get_weights() if w.shape]
        assert_equal(pair.peers[peer].get_weights(), theirs)


def spread(kept, p):
    return keras.ops.broadcast_to(keras.ops.convert_to_tensor(kept), keras.ops.shape(p)[:-1])


def test_labels_that_the_other_peer_left_out_do_not_matter():
    x, y = data()
    masks = np.zeros((2, 6, 6), bool)
    masks[0, :2], masks[1, 2:] = True, True
    reached = []
    for labels in (y, np.where(masks[1], y, 1 - y)):
        keras.utils.set_random_seed(0)
        pair = CoTeaching(network(), Fixed(masks))
        pair.compile("adam", losses.get("ce+dice"))
        fit(pair, x, labels, epochs=1)
        reached.append([peer.get_weights() for peer in pair.peers])
    # B kept the lower rows, so A saw no upper label; B did.
    assert_equal(reached[0][0], reached[1][0])
    assert any(np.abs(v - w).max() > 1e-4 for v, w in zip(*(r[1] for r in reached), strict=True))


@pytest.mark.parametrize("name", ["ce+dice", "t", "svls-apl2"])
def test_rejecting_everything_changes_nothing_and_is_no_nan(name):
    x, y = data()
    pair = CoTeaching(network(), Fixed(np.zeros((2, 6, 6), bool)))
    before = [w for peer in pair.peers for w in peer.get_weights()]
    pair.compile("sgd", losses.get(name))
    history = fit(pair, x, y, epochs=1)
    assert history["loss"] == [0] and history["kept_a"] == [0]
    assert_equal([w for peer in pair.peers for w in peer.get_weights()], before, atol=0)


def test_kept_fractions_follow_the_schedule():
    """8 images of 36 voxels, 4 a batch: 144 voxels; ceil(144 R) of them are left out."""
    x, y = data()
    pair = CoTeaching(network(), SmallLossSelection(0.2, ramp_epochs=3))
    pair.compile("adam", CE())
    history = fit(pair, x, y, epochs=4)
    # R = 0, .1, .2, .2: 0, 15 and 29 of 144.
    expected = [1, 129 / 144, 115 / 144, 115 / 144]
    assert history["kept_a"] == pytest.approx(expected, abs=1e-6)
    assert history["kept_b"] == pytest.approx(expected, abs=1e-6)


def test_evaluation_shows_no_kept_fraction_and_is_of_the_mean():
    x, y = data()
    pair = CoTeaching(network(), SmallLossSelection(0.2, ramp_epochs=0))
    pair.compile("adam", CE(), metrics=[keras.metrics.MeanSquaredError(name="mse")])
    history = fit(pair, x, y[..., None].astype("float32"), validation_data=(x, y[..., None]))
    assert sorted(history) == ["kept_a", "kept_b", "loss", "mse", "val_loss", "val_mse"]
    assert history["kept_a"] == pytest.approx([115 / 144] * 2)
    mean = (pair.peer_a.predict(x, verbose=0) + pair.peer_b.predict(x, verbose=0)) / 2
    np.testing.assert_allclose(pair.predict(x, verbose=0), mean, atol=1e-6)
    expected = float(CE()(y, mean))
    assert pair.evaluate(x, y[..., None], verbose=0, return_dict=True)["loss"] == pytest.approx(
        expected, rel=1e-5
    )
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
    assert sorted(pair.test_on_batch(x, y[..., None], return_dict=True)) == ["loss", "mse"]


def test_inference_by_the_first_peer():
    x, _ = data()
    pair = CoTeaching(network(), KEEP_ALL)
    mean = pair.predict(x, verbose=0)
    pair.inference = "a"  # after the mean was compiled
    of_first = pair.predict(x, verbose=0)
    np.testing.assert_array_equal(of_first, pair.peer_a.predict(x, verbose=0))
    assert abs(of_first - mean).max() > 0.01
    with pytest.raises(ValueError, match="`inference`"):
        pair.inference = "b"


def test_peers_that_differ_by_their_weights_alone_are_loaded(tmp_path):
    """As two networks that were trained before, with initialisers of a fixed seed."""

    def build():
        kernel = keras.initializers.HeNormal(seed=1)
        inputs = keras.Input((6, 6, 2))
        outputs = L.Conv2D(1, 1, activation="sigmoid", kernel_initializer=kernel)(inputs)
        return keras.Model(inputs, outputs)

    peers = build(), build()
    peers[1].set_weights([array + 1 for array in peers[1].get_weights()])
    CoTeaching(peers, KEEP_ALL).save(tmp_path / "pair.keras")
    loaded = keras.saving.load_model(tmp_path / "pair.keras")
    assert_equal(weights(loaded.peer_b), weights(peers[1]))
    with pytest.raises(ValueError, match="different weights"):
        CoTeaching(build, KEEP_ALL)


def supervised(spatial, classes):
    strides = [(2,) * len(spatial)] * 3
    return lambda: UNet((*spatial, 1), classes, features=2, strides=strides, deep_supervision=True)


def supervised_data(spatial, classes):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(4, *spatial, 1)).astype("float32")
    fine = (x[..., 0] * max(classes, 2)).astype("uint8")
    every_other = (slice(None), *[slice(None, None, 2)] * len(spatial))
    pair = CoTeaching(supervised(spatial, classes), SmallLossSelection(0.25, ramp_epochs=0))
    return x, [fine, fine[every_other]], pair


def test_deep_supervision_chooses_for_each_output():
    x, y, pair = supervised_data((16, 16), 3)
    names = pair.output_names
    factors = supervision_weights(2)
    pair.compile("adam", [losses.get("ce+dice")] * 2, loss_weights=factors)
    # Of each output a quarter is left out, whatever the other has.
    history = fit(pair, x, y, epochs=1, batch_size=2)
    assert history["kept_a"] == pytest.approx([0.75])
    parts = [history[f"{name}_loss"][0] for name in names]
    assert history["loss"][0] == pytest.approx(np.dot(factors, parts), rel=1e-5)
    assert all(
        p.shape[1:-1] == t.shape[1:] for p, t in zip(pair.predict(x, verbose=0), y, strict=True)
    )


def test_deep_supervision_of_volumes_by_names():
    x, y, pair = supervised_data((16, 16, 16), 1)
    names = pair.output_names
    pair.compile(
        "adam",
        {name: losses.get("ce+dice") for name in names},
        loss_weights=dict(zip(names, supervision_weights(2), strict=True)),
    )
    history = fit(pair, x, dict(zip(names, y, strict=True)), epochs=1, batch_size=2)
    assert np.isfinite(history["loss"][0]) and history["kept_b"] == pytest.approx([0.75])


def test_outputs_in_a_dict_keep_their_own_losses():
    x, y = data()

    def build():
        inputs = keras.Input((6, 6, 2))
        head = {n: L.Conv2D(1, 1, activation="sigmoid", name=n)(inputs) for n in ("deep", "fine")}
        return keras.Model(inputs, head)

    pair = CoTeaching(build, SmallLossSelection(0.5, ramp_epochs=0))
    nu = TLoss()
    pair.compile("adam", {"deep": nu, "fine": CE()}, loss_weights={"deep": 0.5, "fine": 2.0})
    history = fit(pair, x, {"deep": y, "fine": y}, epochs=1)
    expected = 0.5 * history["deep_loss"][0] + 2 * history["fine_loss"][0]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert nu.nu_tilde != 0
    with pytest.raises(ValueError, match="fine"):
        fit(pair, x, {"deep": y}, epochs=1)


def test_sample_weights_reach_the_loss_and_weight_0_is_not_chosen_from():
    """Half of each image has weight 0: of 4 x 18 voxels that count, half are kept."""
    x, y = data()
    w = np.zeros((8, 6, 6), "float32")
    w[:, :3] = 2.0
    pair = CoTeaching(network(), SmallLossSelection(0.5, ramp_epochs=0))
    pair.compile("adam", CE())
    history = fit(pair, x, y, epochs=1, sample_weight=w)
    assert history["kept_a"] == pytest.approx([0.5])
    ignoring = CoTeaching(network(), SmallLossSelection(0.5, ramp_epochs=0))
    ignoring.compile("adam", CE(ignore_label=255))
    history = fit(ignoring, x, np.where(w > 0, y, 255), epochs=1)
    assert history["kept_a"] == pytest.approx([0.5])


def test_regularisation_counts_once_per_peer():
    def build():
        inputs = keras.Input((6, 6, 2))
        conv = L.Conv2D(1, 1, activation="sigmoid", kernel_regularizer=keras.regularizers.L2(0.5))
        return keras.Model(inputs, conv(inputs))

    x, y = data()
    pair = CoTeaching(build, KEEP_ALL)
    alone = build()
    alone.set_weights(pair.peer_a.get_weights())
    for model in (pair, alone):
        model.compile(keras.optimizers.SGD(0.1), CE())
        fit(model, x, y)
    assert_equal(pair.peer_a.get_weights(), alone.get_weights())


def test_nu_of_both_peers_is_in_the_history():
    x, y = data()
    pair = CoTeaching(network(), StochasticSelection(2, 2, warmup=0, ramp=0))
    pair.compile(keras.optimizers.Adam(0.05), losses.get("t+dice"))
    history = fit(pair, x, y, callbacks=[NuLogger()])
    ours, theirs = (next(loss.terms()) for loss in pair.losses_of_peers)
    assert history["nu_tilde"][-1] == ours.nu_tilde != 0
    assert history["nu_tilde_2"][-1] == theirs.nu_tilde != ours.nu_tilde


@pytest.mark.parametrize(
    ("event", "spatial", "classes"),
    [("image", (4, 6, 4), 3), ("image", (6, 6), 1), ("voxel", (4, 6, 4), 1), ("voxel", (6, 6), 3)],
)
def test_t_loss_under_stochastic_selection(spatial, classes, event):
    """What is left out is no dimension of the event: D is the number of values that are kept."""
    x, y = data(spatial, classes)
    pair = CoTeaching(network(spatial, classes), StochasticSelection(2, 2, warmup=1, ramp=0))
    pair.compile(keras.optimizers.Adam(0.05), TLoss(event=event))
    history = fit(pair, x, y, epochs=3)
    assert history["kept_a"][0] == 1 and 0.09 < history["kept_a"][-1] < 0.95
    assert np.isfinite(history["loss"]).all()
    assert all(abs(loss.nu_tilde) > 0.05 for loss in pair.losses_of_peers)


def make(optimizer=None, selection=None, loss="t+dice"):
    selection = selection or StochasticSelection(2, 2, warmup=1, ramp=2)
    model = CoTeaching(network(), selection, seed=3)
    model.compile(optimizer or keras.optimizers.Adam(0.02), losses.get(loss))
    return model


def test_saving_and_loading_goes_on_exactly(tmp_path):
    x, y = data()
    model = make()
    fit(model, x, y)
    model.save(tmp_path / "pair.keras")
    again = keras.models.load_model(tmp_path / "pair.keras")
    assert isinstance(again.selection, StochasticSelection)
    assert again.selection.get_config() == model.selection.get_config()
    assert_equal(weights(again), weights(model), atol=0)
    assert_equal(
        [value(v.value) for v in again.optimizer.variables],
        [value(v.value) for v in model.optimizer.variables],
        atol=0,
    )
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    ours = fit(model, x, y, epochs=4, initial_epoch=2)
    theirs = fit(again, x, y, epochs=4, initial_epoch=2)
    assert theirs["kept_a"] == ours["kept_a"] and ours["kept_a"][-1] < 1
    assert_equal(weights(again), weights(model), atol=1e-6)


def test_weights_alone_move_between_models(tmp_path):
    x, y = data()
    model = make()
    fit(model, x, y)
    model.save_weights(tmp_path / "pair.weights.h5")
    other = make()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "pair.weights.h5")
    assert_equal(weights(other), weights(model), atol=0)
    peer = network()()
    peer.set_weights(model.peer_a.get_weights())
    np.testing.assert_array_equal(peer.predict(x, verbose=0), model.peer_a.predict(x, verbose=0))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    x, y = data()
    whole = make()
    expected = fit(whole, x, y, epochs=4)

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    keras.utils.set_random_seed(0)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(make(), x, y, epochs=4, callbacks=[backup, Crash()])
    keras.utils.set_random_seed(99)
    resumed = make()
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = fit(resumed, x, y, epochs=4, callbacks=[backup])
    assert history["kept_a"] == expected["kept_a"][2:]
    assert_equal(weights(resumed), weights(whole))


def test_selections_depend_on_the_seed_and_the_step_alone():
    x, y = data()
    kept = []
    for number in (3, 3, 4):
        keras.utils.set_random_seed(0)
        model = CoTeaching(network(), StochasticSelection(2, 2, warmup=0, ramp=0), seed=number)
        model.compile(keras.optimizers.SGD(0.0), CE())
        model.predict(x, verbose=0)
        history = fit(model, x, y, epochs=2)
        kept.append(history["kept_a"])
    assert kept[0] == kept[1] != kept[2]
    assert kept[0][0] != kept[0][1]  # anew in each step


def test_compiling_anew_starts_from_the_same_weights():
    x, y = data()
    model = make()
    fit(model, x, y)
    count = len(model.trainable_variables)
    model.compile("adam", CE())
    assert len(model.trainable_variables) == count - 2
    assert np.isfinite(fit(model, x, y)["loss"]).all()


def test_errors():
    same = keras.initializers.Constant(0.1)

    def equal():
        inputs = keras.Input((6, 6, 2))
        return keras.Model(inputs, L.Conv2D(1, 1, kernel_initializer=same)(inputs))

    with pytest.raises(ValueError, match="start from different weights"):
        CoTeaching(equal, KEEP_ALL)
    shared = network()()
    with pytest.raises(ValueError, match="a new model at each call"):
        CoTeaching(lambda: shared, KEEP_ALL)
    with pytest.raises(ValueError, match="`selection`"):
        CoTeaching(network(), "small")
    with pytest.raises(ValueError, match="`inference`"):
        CoTeaching(network(), KEEP_ALL, inference="b")
    with pytest.raises(ValueError, match="two models"):
        CoTeaching([network()()], KEEP_ALL)
    with pytest.raises(ValueError, match="keras_robust losses"):
        CoTeaching(network(), KEEP_ALL).compile("adam", "mse")
    x, y = data()
    mixed = CoTeaching(network(), KEEP_ALL)
    mixed.compile("adam", CE(from_logits=True) + Dice())
    with pytest.raises(ValueError, match="terms of one from_logits"):
        fit(mixed, x, y)


def test_methods_by_name():
    hrl = robust_method("hrl", alpha=3.0, beta=0.5, sigma=0.4, q=0.2, warmup=0, ramp=0)
    assert hrl.loss.sigma == 0.4
    assert [type(term).__name__ for term in hrl.loss.terms()] == ["NGCE", "RCE", "Dice"]
    assert next(hrl.loss.terms()).q == 0.2
    model = hrl.model(network(classes=3), seed=5)
    assert model.selection.beta == 0.5 and model.seed == 5
    model.compile("adam", hrl.loss)
    x, y = data(classes=3)
    history = fit(model, x, y, epochs=1)
    assert 0.1 <= history["kept_a"][0] < 1 and np.isfinite(history["loss"][0])
    assert type(robust_method("cot", forget_rate=0.1).selection) is SmallLossSelection
    assert type(robust_method("CoT+").selection) is DisagreementSelection
    assert type(next(robust_method("stocot", loss="t+dice").loss.terms())) is TLoss
    plain = robust_method("apl1")
    assert plain.selection is None and not isinstance(plain.model(network()), CoTeaching)
    for wrong in ({"name": "cotx"}, {"name": "ce", "loss": "t"}, {"name": "cot", "alpha": 1.0}):
        with pytest.raises(ValueError, match="Invalid value for argument"):
            robust_method(**wrong)
