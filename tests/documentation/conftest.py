"""The installed wheel, made once and shared by the processes that run tests."""

from pathlib import Path

import pytest

from keras_robust.common.files import locked
from tests.documentation.installed import Installed, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory, worker_id) -> Installed:
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "wheel"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        ready = folder / "ready"
        if not ready.is_file():
            install(folder)
            ready.touch()
    return Installed(Path(folder) / "environment")
