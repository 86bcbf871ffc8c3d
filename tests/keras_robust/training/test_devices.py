import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from keras_robust.training import Run
from keras_robust.training.checkpoint import Checkpoints

CODE = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_robust.training import TrainConfig, train
train(TrainConfig.load(sys.argv[1]), sys.argv[2])
"""


def train_on_two_devices(config, folder):
    path = folder / "config.yaml"
    path.write_text(config.to_yaml())
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path), str(folder / "run")],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Run(folder / "run")


def test_two_devices_give_the_result_of_one(small_config, trained_run, tmp_path):
    run = train_on_two_devices(small_config, tmp_path)
    assert run.info["devices"] == 2 and trained_run.info["devices"] == 1
    for row, single in zip(run.history, trained_run.history, strict=True):
        for column in ("loss", "nu_tilde", "dice_train", "dice_test"):
            if single[column] is not None:
                assert abs(row[column] - single[column]) < 1e-4, column
    ours, theirs = (
        np.load(r.folder / "checkpoints" / "000003" / "state.npz") for r in (run, trained_run)
    )
    assert Checkpoints(run.folder / "checkpoints").numbers() == [2, 3]
    assert ours.files == theirs.files
    for key in ours.files:
        if key.startswith(("model", "loss")):
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-4, err_msg=key)


def test_a_step_on_two_devices_is_one_on_one():
    script = Path(__file__).parents[3] / "scripts" / "bench" / "devices.py"
    done = subprocess.run(
        [sys.executable, str(script), "--small"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
