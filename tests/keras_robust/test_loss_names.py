"""The menu of losses offers what training knows."""

import subprocess
import sys

import pytest

from keras_robust.methods import LOSS_NAMES, METHODS, PEER_NAMES, find_method


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_name_is_a_loss(name):
    from keras_robust import losses

    assert losses.get(name) is not None


def test_no_single_loss_is_left_out():
    from keras_robust import losses
    from keras_robust.losses.registry import LOSSES

    assert set(losses.names()) - set(LOSSES.own()) <= set(LOSS_NAMES)  # others' own aside


def test_no_method_with_two_peers_is_left_out():
    assert set(METHODS) <= set(PEER_NAMES)


@pytest.mark.parametrize("name", PEER_NAMES)
def test_every_method_has_a_loss_and_a_selection(name):
    from keras_robust.models import robust_method

    assert find_method(name) is not None
    assert robust_method(name).selection is not None


def test_it_needs_no_framework():
    program = """
import sys
from keras_robust.methods import LOSS_NAMES
print(*{"keras", "tensorflow"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.strip() == ""
