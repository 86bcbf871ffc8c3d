"""`keras-robust view` without a window; with one it is tested with the plugin."""

import sys

from typer.testing import CliRunner

from keras_robust.audit.folder import audit_folder
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


def test_an_audit_is_written_where_the_review_looks(monkeypatch, tmp_path):
    written = []

    def stopped(dataset, output, *_, **__):
        written.append(output)
        raise ValueError("stopped")

    monkeypatch.setattr("keras_robust.audit.run.audit", stopped)
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["audit", str(sample_path())])
    assert written == [audit_folder(sample_path())] and written[0].parent != tmp_path
