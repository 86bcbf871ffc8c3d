"""What was trained on TensorFlow predicts on the other backends, each in a process of its own."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_robust.inference import Predictor
from keras_robust.models import UNet

PROGRAM = """
import sys
import numpy as np
from keras_robust.inference import Predictor

folder = sys.argv[1]
images = np.load(f"{folder}/images.npy")
for number, path in enumerate(sys.argv[2:]):
    predictor = Predictor.load(path)
    np.save(f"{folder}/{number}.npy", np.stack([predictor.probabilities(i) for i in images]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_and_a_model_file_predict_the_same_on(backend, trained_run, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    keras.utils.set_random_seed(0)
    model = tmp_path / "model.keras"
    UNet((16, 16, 3), classes=3, features=4, depth=1).save(model)
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    paths = [str(trained_run.folder), str(model)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *paths],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for number, path in enumerate(paths):
        here = Predictor.load(path)
        expected = np.stack([here.probabilities(image) for image in images])
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), expected, atol=1e-5)
