"""The plugin's tests run in a process of their own, under Xvfb: no TensorFlow beside OpenGL."""

import os
import sys
import warnings

import pytest

os.environ.setdefault("QT_API", "pyqt6")
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what napari's own imports warn of is not ours
    pytest.importorskip("napari", reason="the extra keras-robust[napari] is not installed")
    import napari.qt
    import napari.viewer  # noqa: F401


@pytest.fixture(autouse=True)
def no_tensorflow():
    """Every test of the plugin: TensorFlow and Keras stay out of the window's process."""
    yield
    assert not {"tensorflow", "keras"} & set(sys.modules)


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory, monkeypatch):
    """Nothing is read from or written to the developer's own folders."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def viewer_model():
    """A viewer without a window, for what needs none."""
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return ViewerModel()


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer that is not shown."""
    return make_napari_viewer()
