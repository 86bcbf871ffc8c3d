"""Shared fixtures: where the optional data packs are."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, so that a change is judged by what it changes;
# HYPOTHESIS_PROFILE=default looks for others.
settings.register_profile("same", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Tests started in the background of a shell inherit an ignored SIGINT, and so would the processes
# whose Ctrl-C they test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def data_pack(name: str) -> Path:
    """Folder of a data pack; the calling test is skipped, by name, where the pack is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KERAS_ROBUST_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"data pack {name} is absent (set KERAS_ROBUST_DATA to the folder of packs)")
    return folder


@pytest.fixture(name="data_pack")
def data_pack_fixture():
    return data_pack
