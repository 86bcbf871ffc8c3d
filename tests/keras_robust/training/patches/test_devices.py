"""A run by a plan on two devices, and in half precision, equals the plain one."""

import io

import numpy as np
import pytest

from keras_robust.training import devices, train
from keras_robust.training.checkpoint import Checkpoints
from tests.keras_robust.training.test_devices import train_on_two_devices

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def agree(run, other, tolerance):
    for row, expected in zip(run.history, other.history, strict=True):
        for column in ("loss", "pseudo_dice_train_1", "pseudo_dice_train_ema", "dice_test"):
            if expected[column] is not None:
                assert row[column] == pytest.approx(expected[column], abs=tolerance), column


def test_two_devices_share_a_batch(planned_config, planned_run, tmp_path):
    run = train_on_two_devices(planned_config, tmp_path)
    assert run.info["devices"] == 2
    agree(run, planned_run, 1e-4)
    ours, theirs = run.load_model().get_weights(), planned_run.load_model().get_weights()
    for weight, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused(planned_config, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "replicas", lambda: 3)
    with pytest.raises(ValueError, match=r"`plan\.batch_size`. Expected a multiple of 3.*2$"):
        train(planned_config, tmp_path)


def test_half_precision_scales_the_loss(planned_config, planned_run, tmp_path):
    config = planned_config.model_copy(update={"precision": "mixed_float16"})
    run = train(config, tmp_path)
    agree(run, planned_run, 2e-3)
    assert run.load_model().output.dtype == "float32"
    _, files = Checkpoints(run.folder / "checkpoints").newest()
    with np.load(io.BytesIO(files["state.npz"])) as state:
        numbers = [float(state[k]) for k in state.files if k[:3] == "opt" and not state[k].shape]
    # No step overflowed, and a resumed run goes on from here: Keras begins with a scale of 2^15.
    assert 2.0**15 in numbers and 6 in numbers
