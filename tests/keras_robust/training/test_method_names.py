import inspect
from functools import partial

import pytest

from keras_robust import losses
from keras_robust.training.co_teaching.selection import SELECTIONS, get_selection
from keras_robust.training.method_names import METHODS, SELECTION_OPTIONS


def test_options_are_those_of_the_selections():
    taken = {name: set(inspect.signature(made).parameters) for name, made in SELECTIONS.items()}
    assert taken == {name: set(options) for name, options in SELECTION_OPTIONS.items()}


def test_every_method_has_a_selection_and_a_loss():
    for loss, selection in METHODS.values():
        assert selection in SELECTIONS
        losses.get(loss)


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
