import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.models import class_probabilities, labels_of

NESTED = ((1, (1, 2, 3)), (3, (2, 3)), (2, (2,)))  # kidney and masses, masses, tumour
APART = ((1, (1, 2, 3)), (2, (2,)), (3, (3,)))  # two kinds of lesion in an organ


def painted(probabilities, regions):
    """nnU-Net's rule to the letter, for one element."""
    label = 0
    for probability, (number, _) in zip(probabilities, regions, strict=True):
        label = number if probability > 0.5 else label
    return label


@given(st.sampled_from([NESTED, APART]), st.tuples(*[st.integers(0, 16)] * 3))
def test_labels_are_those_that_are_painted(regions, sixteenths):
    """Also where the network finds a region less probable than one in it."""
    if regions is APART:  # where it finds an organ less probable than both lesions, these tell
        sixteenths = (max(sixteenths[0], sum(sixteenths[1:])), *sixteenths[1:])
    marginals = np.array([sixteenths], np.float32) / 16
    found = class_probabilities(marginals, regions, 4)
    assert labels_of(found, regions)[0] == painted(marginals[0], regions)
    assert (found >= 0).all() and found.sum() >= 1


@given(st.lists(st.integers(0, 16), min_size=3, max_size=3))
def test_nested_regions_keep_their_probabilities(sixteenths):
    marginals = np.sort(np.array([sixteenths], np.float32) / 16)[:, ::-1]
    found = class_probabilities(marginals, NESTED, 4)
    assert found.sum() == 1
    for number, (_, members) in enumerate(NESTED):
        assert found[0, list(members)].sum() == marginals[0, number]


def test_by_hand():
    # Masses .75 of which tumour .25, so .5 for what is painted 3; kidney alone .125.
    found = class_probabilities(np.float32([[[0.875, 0.75, 0.25]]]), NESTED, 4)
    assert found.tolist() == [[[0.125, 0.125, 0.25, 0.5]]]
    assert labels_of(found, NESTED).tolist() == [[3]]
