"""What losses do, and models for them, once per installed backend, each in its own process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

HERE = Path(__file__).parent
FILES = [
    *("test_values.py", "test_gradients.py", "test_student_t.py", "test_smoothed.py"),
    *("test_fit.py", "test_keras_private.py", "test_ownership.py", "test_label_check.py"),
    *("../models/test_model.py", "../models/test_probabilities.py"),
]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_losses_on(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("started by the TensorFlow run")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-p", "tests.keras_robust.losses.each_value_once"]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
