"""What napari reads of the plugin before it runs: the manifest, and imports."""

import re
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points, metadata
from pathlib import Path

import pytest
from npe2 import PluginManifest

WIDGETS = ("Compare", "Noise lab", "Review", "Orthogonal views", "Train and predict")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("keras-robust")


def test_the_manifest_is_valid():
    run = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "keras-robust", "--imports"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_it_is_found_under_the_name_of_the_distribution(manifest):
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "keras-robust"]
    assert entry.value == "napari_plugin:napari.yaml"
    assert manifest.name == "keras-robust"


def test_what_napari_and_its_hub_show_is_there(manifest):
    """The hub takes name, icon and categories from the manifest, all else from the index."""
    assert manifest.display_name == "keras-robust"  # as in the menus that the pages name
    assert {"Annotation", "Segmentation"} <= {str(category) for category in manifest.categories}
    package, _, icon = manifest.icon.partition(":")
    assert resources.files(package).joinpath(icon).read_text(encoding="utf-8").startswith("<svg")
    assert "Framework :: napari" in metadata("keras-robust").get_all("Classifier")
    description = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\((https://[^)]+\.png)\)", description)
    assert any(url.endswith("docs/images/windows/review-queue-dark.png") for url in pictures)


def test_every_command_can_be_imported(manifest):
    from npe2._command_registry import CommandRegistry

    for command in manifest.contributions.commands:
        registry = CommandRegistry()
        registry.register(command.id, command.python_name)
        assert callable(registry.get(command.id)), command.id


def test_every_command_is_used(manifest):
    parts = manifest.contributions
    used = {item.command for item in [*parts.widgets, *parts.readers, *parts.writers]}
    used |= {item.command for item in parts.sample_data}
    assert {command.id for command in parts.commands} == used


@pytest.mark.parametrize("name", WIDGETS)
def test_every_widget_opens(make_napari_viewer, name):
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("keras-robust", name)
    assert widget.viewer.layers is not None and not dock.isHidden()


def test_importing_everything_loads_no_tensorflow():
    program = """
import importlib, pkgutil, sys
import napari_plugin
for module in pkgutil.walk_packages(napari_plugin.__path__, "napari_plugin."):
    importlib.import_module(module.name)
print(*sorted({"tensorflow", "keras", "jax", "torch"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ""
