import inspect
from functools import partial

import pytest

from keras_robust import losses
from keras_robust.methods import METHODS, SELECTION_OPTIONS, split_method
from keras_robust.models import robust_method
from keras_robust.models.co_teaching.selection import SELECTIONS, get_selection
from keras_robust.scheduling.grid import LossEntry


def test_options_are_those_of_the_selections():
    taken = {name: set(inspect.signature(made).parameters) for name, made in SELECTIONS.items()}
    assert taken == {name: set(options) for name, options in SELECTION_OPTIONS.items()}


def test_every_method_has_a_selection_and_a_loss():
    for loss, selection in METHODS.values():
        assert selection in SELECTIONS
        losses.get(loss)


def test_a_loss_and_a_selection_are_a_method():
    loss, options, selection = split_method("T+Dice-CoT+", {"warmup": 2, "nu_tilde": -1.0})
    assert (loss, options) == ("t+dice", {"nu_tilde": -1.0})
    assert selection == {"name": "cot+", "options": {"warmup": 2}}
    assert split_method("svls-apl2", {})[2] is None and split_method("-cot", {})[2] is None
    assert LossEntry(name="t-cot").slug == LossEntry(name="t", selection={"name": "cot"}).slug
    with pytest.raises(ValueError, match="Expected none beside a method with two peers"):
        LossEntry(name="t-cot", selection={"name": "cot"})


def test_it_is_made_by_name():
    method = robust_method("t+dice-stocot", alpha=4.0, nu_tilde=-1.0)
    assert isinstance(method.loss, losses.Sum) and method.selection.alpha == 4.0
    with pytest.raises(ValueError, match="None beside a name that is not among"):
        robust_method("t-cot", loss="ce")


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (partial(losses.get, "gce"), {"q": "a"}),
        (partial(losses.get, "svls"), {"sigma": None}),
        (partial(losses.get, "t"), {"nu_tilde": [1]}),
        (partial(get_selection, "cot"), {"ramp_epochs": "ten"}),
    ],
)
def test_options_of_a_wrong_type_are_told(make, options):
    with pytest.raises(ValueError, match=r"argument `options`.*takes\. Received.*right type"):
        make(**options)
