"""Runs begun on TensorFlow go on, where TensorFlow is not installed, as they would have there."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_robust.training import Run

PROGRAM = """
import sys

class WithoutTensorFlow:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in ("tensorflow", "tensorboard")
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(WithoutTensorFlow, sys.meta_path)
from keras_robust.training import Run, train
for folder in sys.argv[1:]:
    config = Run(folder).config.model_copy(update={"tensorboard": True})  # as it is by default
    train(config, folder, resume=True)
assert "tensorflow" not in sys.modules
"""

QUICKLY = "--xla_backend_optimization_level=0"  # compiles in half the time


def cut(run, folder):
    """The run as it was before its last epoch."""
    copy = Run(shutil.copytree(run.folder, folder))
    shutil.rmtree(max((copy.folder / "checkpoints").glob("[0-9]*")))
    (copy.folder / "run.json").write_text(json.dumps({**run.info, "status": "interrupted"}))
    return copy


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_runs_go_on_without_tensorflow(backend, trained_run, planned_run, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    begun = (trained_run, planned_run)
    runs = [cut(run, tmp_path / str(number)) for number, run in enumerate(begun)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(run.folder) for run in runs)],
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": QUICKLY},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for run, there in zip(runs, begun, strict=True):
        assert backend in run.info["versions"] and run.status == "finished"
        for row, expected in zip(run.history, there.history, strict=True):
            for column in ("loss", "nu_tilde", "dice_train", "dice_test", "pseudo_dice_train"):
                if (value := expected.get(column)) is not None:
                    assert row[column] == pytest.approx(value, abs=2e-3), column
        name = max(path.name for path in (there.folder / "checkpoints").glob("[0-9]*"))
        ours, theirs = (
            np.load(r.folder / "checkpoints" / name / "state.npz") for r in (run, there)
        )
        assert ours.files == theirs.files  # ν among them
        for key in ours.files:
            np.testing.assert_allclose(ours[key], theirs[key], atol=2e-4, err_msg=key)
