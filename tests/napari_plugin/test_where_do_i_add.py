"""The tool that the documentation shows how to add, made of the files that it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "where-do-i-add.md"
OWN = "KERAS_ROBUST_TEST_OF_ITS_OWN"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The files of the page, as installed."""
    shown = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE.read_text(), re.M | re.S)
    for name, text in shown:
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    manifest = PluginManifest.from_file(tmp_path / "napari.yaml")
    PluginManager.instance().discover()
    PluginManager.instance().register(manifest)
    yield manifest.name
    PluginManager.instance().unregister(manifest.name)
    sys.modules.pop("my_tools")


def test_it_works_as_shown():
    """In a process of its own: napari's commands are registered once for all viewers of one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        [*command, "-k", "it_opens"], env=os.environ | {OWN: "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


@pytest.mark.skipif(OWN not in os.environ, reason="runs within the test above")
def test_it_opens_and_does_what_it_says(make_napari_viewer, tool):
    viewer = make_napari_viewer()
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 0
    layer = viewer.add_labels(np.pad(ring, 2))
    _, widget = viewer.window.add_plugin_dock_widget(tool, "Fill holes")
    widget()
    assert layer.data.sum() == 25 and layer.data[0, 0] == 0
    layer.undo()
    assert layer.data.sum() == 24
