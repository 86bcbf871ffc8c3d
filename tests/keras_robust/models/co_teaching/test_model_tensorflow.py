"""Co-teaching in TensorFlow's execution modes."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("needs the TensorFlow backend", allow_module_level=True)

import tensorflow as tf

from keras_robust import losses
from keras_robust.models import CoTeaching, SmallLossSelection, StochasticSelection
from keras_robust.training import TrainConfig, train
from tests.keras_robust.models.co_teaching.test_model import data, fit, network, weights


@pytest.mark.parametrize(
    "options",
    [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}],
    ids=lambda options: next(iter(options)),
)
def test_every_execution_mode_trains_alike(options):
    x, y = data(classes=3)
    reached = []
    for mode in ({}, options):
        keras.utils.set_random_seed(0)
        model = CoTeaching(network(classes=3), SmallLossSelection(0.4, ramp_epochs=2))
        model.compile(keras.optimizers.Adam(0.01), losses.get("svls-t+dice"), **mode)
        history = fit(model, x, y)
        reached.append((history["kept_a"], history["kept_b"], weights(model)))
    # 144 voxels a batch, ceil(57.6) left out
    assert reached[0][0] == reached[0][1] == pytest.approx([1, 86 / 144])
    np.testing.assert_allclose(reached[1][:2], reached[0][:2], atol=0.01)
    for ours, theirs in zip(reached[0][2], reached[1][2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_stochastic_selection_compiles_with_xla():
    """With the floor under what is kept, and class by class."""
    x, y = data(classes=3)
    selection = StochasticSelection(8, 0.5, warmup=1, ramp=0, balanced=True, min_kept=0.2)
    model = CoTeaching(network(classes=3), selection)
    model.compile("adam", losses.get("svls-apl2"), jit_compile=True)
    history = fit(model, x, y)
    assert history["kept_a"][0] == 1 and 0.2 <= history["kept_a"][1] < 0.9


def test_mixed_float16_scales_the_loss_and_ends_near_float32():
    x, y = data()
    reached = []
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            model = CoTeaching(network(), SmallLossSelection(0.1, ramp_epochs=0))
        finally:
            keras.config.set_dtype_policy("float32")
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9, global_clipnorm=1.0), losses.get("t+dice")
        )
        history = fit(model, x, y, epochs=3)
        if policy == "mixed_float16":
            assert type(model.optimizer).__name__ == "LossScaleOptimizer"
        # 144 voxels a batch, ceil(14.4) left out; equal probabilities in half precision may stay
        assert history["kept_a"] == pytest.approx([129 / 144] * 3, abs=0.03)
        reached.append(history["loss"])
    np.testing.assert_allclose(reached[1], reached[0], atol=0.01)


def test_mirrored_strategy_on_two_virtual_cpus():
    """Two replicas train, and choose voxels, as one device with the same global batch."""
    script = """
        import numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
        import keras
        from keras_robust import losses
        from keras_robust.models import CoTeaching, SmallLossSelection, StochasticSelection
        from tests.keras_robust.models.co_teaching.test_model import data, fit, network

        x, y = data()
        both = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

        def train(strategy, selection, loss):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                model = CoTeaching(network(), selection)
                model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
            return fit(model, x, y, epochs=3), model

        # 144 voxels in both halves together: ceil(28.8) = 29 left out, wherever they are.
        for selection in SmallLossSelection(0.2, ramp_epochs=0), StochasticSelection(2, 2, 1, 0):
            reached = []
            for strategy in both:
                history, model = train(strategy, selection, losses.get("t+dice"))
                figures = [history[name] for name in ("loss", "kept_a", "kept_b")]
                reached.append([*figures, *model.get_weights()])
            for a, b in zip(*reached, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-4)
            kept = history["kept_a"]
            expected = [115 / 144] * 3 if selection.rate(0) else [1, kept[1], kept[2]]
            np.testing.assert_allclose(kept, expected, atol=1e-6)
            assert max(kept[1:]) < 0.9
        assert float(model.epoch.numpy()) == 2 and int(model.step.numpy()) == 6
        print("equal")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


def test_a_run_with_peers_resumes_exactly(small_config, tmp_path):
    """By the field `selection` of a training configuration, to predictions."""
    selection = {"name": "stocot", "options": {"warmup": 1, "ramp": 0}}
    fields = {**small_config.model_dump(), "selection": selection, "loss": "t+dice"}
    config = TrainConfig(**fields)
    whole = train(config, tmp_path / "whole")

    def interrupt(stage, done, total, figures):
        if (stage, done) == ("step", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "resumed", progress=interrupt)
    resumed = train(config, tmp_path / "resumed", resume=True)
    for ours, theirs in zip(resumed.history, whole.history, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    assert whole.history[0]["kept_a"] == 1 and whole.history[2]["kept_b"] < 1
    assert whole.history[2]["nu_tilde"] != whole.history[2]["nu_tilde_2"]
    model = whole.load_model()
    assert isinstance(model, CoTeaching) and model.output_shape == (None, 32, 32, 1)
    wrong = TrainConfig(**{**fields, "selection": {"name": "cot", "options": {"alpha": 1}}})
    with pytest.raises(ValueError, match="among .*forget_rate"):
        train(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_peers_of_known_input_are_exported_as_one_model(tmp_path):
    x, _ = data()
    model = CoTeaching(network(), SmallLossSelection(0.1))
    expected = model.predict(x, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(x), expected, atol=1e-6)
