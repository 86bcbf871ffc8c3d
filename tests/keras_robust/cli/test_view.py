"""`keras-robust view` without a window; with one it is tested with the plugin."""

import sys

from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import sample_path


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    monkeypatch.delitem(sys.modules, "napari_plugin.view", raising=False)
    result = CliRunner().invoke(app, ["view", str(sample_path())])
    assert result.exit_code == 2
    assert "pip install 'keras-robust[napari]'" in result.output


def test_a_folder_without_dataset_is_said_before_a_window_opens(tmp_path):
    result = CliRunner().invoke(app, ["view", str(tmp_path)])
    assert result.exit_code == 2 and "manifest.csv" in result.output
