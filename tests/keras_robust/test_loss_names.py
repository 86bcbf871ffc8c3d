"""The menu of losses offers what training knows."""

import subprocess
import sys

import pytest

from keras_robust.common.errors import options_of
from keras_robust.methods import (
    LOSS_NAMES,
    LOSS_SUMS,
    METHODS,
    NETWORK_NAMES,
    PEER_NAMES,
    find_method,
    stray_options,
)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_name_is_a_loss(name):
    from keras_robust import losses

    assert losses.get(name) is not None


def test_no_single_loss_is_left_out():
    from keras_robust import losses
    from keras_robust.losses.registry import LOSSES

    assert set(losses.names()) - set(LOSSES.own()) <= set(LOSS_NAMES)  # others' own aside


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_options_that_no_term_takes_are_known_without_keras(name):
    """Equal to what the classes take: an option of any loss is stray where `get` refuses it."""
    from keras_robust.losses import SVLS
    from keras_robust.losses.registry import LOSSES

    taken = {loss: set(options_of(LOSSES[loss])) for loss in LOSSES.built_in}
    options = set().union(*taken.values(), {"sigma", "center", "x"})
    terms = "ce+dice" if name == "svls" else LOSS_SUMS.get(name, name)
    mine = set().union(*(taken[term] for term in terms.split("+")))
    if name == "svls":
        mine |= {"sigma", "center"} & set(options_of(SVLS))
    assert set(stray_options(name, options)) == options - mine
    assert stray_options(f"{name}+mine", options) == []  # a loss of somebody's own may take any


def test_no_network_is_left_out():
    from keras_robust.models.registry import NETWORKS

    assert tuple(NETWORKS.built_in) == NETWORK_NAMES


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
