import os

import pytest

from keras_robust.training import devices
from keras_robust.training.devices import choose_devices, require_chosen


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A machine of two GPUs that the backend sees; its variables come back afterwards."""
    for name in (devices.VARIABLE, "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    monkeypatch.setattr(devices, "_gpus_of_machine", lambda: 2)
    monkeypatch.setattr(devices, "_gpus_of_backend", lambda: 2)
    monkeypatch.setattr(devices, "_backend", lambda: "tensorflow")


def test_a_choice_is_what_this_process_and_its_children_see():
    choose_devices("1, 0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,0"
    require_chosen()
    choose_devices("cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and os.environ["JAX_PLATFORMS"] == "cpu"
    require_chosen()


@pytest.mark.parametrize("chosen", [None, "all"])
def test_all_is_as_it_was(chosen):
    choose_devices(chosen)
    require_chosen()
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("chosen", ["gpu", "", "0,0", "-1", "0;1"])
def test_what_is_no_choice_is_refused(chosen):
    with pytest.raises(ValueError, match="'cpu', 'all' or numbers of GPUs"):
        choose_devices(chosen)


def test_gpus_that_there_are_not_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="numbers from 0 to 1, since this machine has 2 NVIDIA"):
        choose_devices("0,2")
    monkeypatch.setattr(devices, "_gpus_of_machine", lambda: 0)
    with pytest.raises(ValueError, match="'cpu', since this machine has no NVIDIA GPU"):
        choose_devices("0")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_backend_without_the_chosen_gpus_does_not_go_on(monkeypatch):
    choose_devices("0")
    monkeypatch.setattr(devices, "_gpus_of_backend", lambda: 0)
    with pytest.raises(ValueError, match=r"it sees 0 of the chosen 1.*tensorflow\[and-cuda\]"):
        require_chosen()
