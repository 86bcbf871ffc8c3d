import inspect

from keras_robust.training.co_teaching.selection import SELECTIONS
from keras_robust.training.method_names import METHODS, SELECTION_OPTIONS


def test_options_are_those_of_the_selections():
    taken = {name: set(inspect.signature(made).parameters) for name, made in SELECTIONS.items()}
    assert taken == {name: set(options) for name, options in SELECTION_OPTIONS.items()}


def test_every_method_has_a_selection_and_a_loss():
    from keras_robust import losses

    for loss, selection in METHODS.values():
        assert selection in SELECTIONS
        losses.get(loss)
