"""The example script trains, measures, and saves a model that `predict` can load."""

import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"


def test_one_small_epoch(tmp_path, monkeypatch, capsys):
    from keras_robust.inference import Predictor

    path = tmp_path / "model.keras"
    arguments = ["--epochs", "1", "--size", "32", "--output", str(path)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    output = capsys.readouterr().out
    assert "nu_tilde: " in output and "Dice against clean test masks: 0." in output
    assert Predictor.load(path).model.input_shape == (None, 32, 32, 3)
