import inspect
import subprocess
import sys
from functools import partial

import pytest

from keras_robust import losses
from keras_robust.methods import METHODS, SELECTIONS, split_method
from keras_robust.models import robust_method
from keras_robust.models.co_teaching.selection import get_selection
from keras_robust.scheduling.grid import LossEntry


@pytest.mark.parametrize("selection", SELECTIONS.built_in)
def test_every_option_of_a_selection_goes_to_it(selection):
    options = inspect.signature(SELECTIONS[selection]).parameters
    loss, others, chosen = split_method(f"sce-{selection}", {**options, "clamp": 0.1})
    assert (loss, others, chosen) == (
        "sce",
        {"clamp": 0.1},
        {"name": selection, "options": options},
    )


def test_options_are_divided_without_keras():
    program = """
import sys
from keras_robust.methods import split_method
_, loss, selection = split_method("hrl", {"alpha": 4.0, "sigma": 0.5, "balanced": True})
assert (loss, selection["options"]) == ({"sigma": 0.5}, {"alpha": 4.0, "balanced": True})
print(*{"keras", "tensorflow"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


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
