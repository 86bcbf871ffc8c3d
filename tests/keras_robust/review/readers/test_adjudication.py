"""A third reader between two: what is in dispute, and that nobody's log is touched."""

import numpy as np
import pytest

from keras_robust.data import Dataset
from keras_robust.review import ReviewSession, disputes, merged

from ..conftest import IDS, disc


@pytest.fixture
def two(home):
    """anna and ben agree on 0; on 1 decisions differ, on 2 masks; 3 is anna's alone."""
    with ReviewSession(home, "anna") as anna:
        anna.decide(IDS[0], "accept")
        anna.decide(IDS[1], "accept", "sharp")
        anna.decide(IDS[2], "repair", mask=disc(32, 12))
        anna.decide(IDS[3], "reject")
    with ReviewSession(home, "ben") as ben:
        ben.decide(IDS[0], "accept")
        ben.decide(IDS[1], "reject", "blurred")
        ben.decide(IDS[2], "repair", mask=disc(32, 6))
    return home


def test_differing_decisions_and_masks_are_in_dispute(two):
    dataset = Dataset.open(two)
    found = disputes(dataset, two, "anna", "ben")
    assert tuple(found) == (IDS[1], IDS[2]) and IDS[0] not in found
    anna, ben = found[IDS[1]]
    assert (anna.reviewer, anna.decision, anna.comment) == ("anna", "accept", "sharp")
    assert anna.mask.any() and ben.mask is None and ben.comment == "blurred"
    anna, ben = found[IDS[2]]
    assert anna.mask.sum() > ben.mask.sum()
    assert tuple(disputes(dataset, two, "anna", "ben", least_dice=0.1)) == (IDS[1],)
    with pytest.raises(ValueError, match="another reader"):
        disputes(dataset, two, "anna", "anna")
    with pytest.raises(ValueError, match="review log"):
        disputes(dataset, two, "anna", "nobody")


def test_the_third_reader_writes_a_log_of_their_own(two):
    logs = [two / "reviews" / name / "review.jsonl" for name in ("anna", "ben")]
    before = [log.read_bytes() for log in logs]
    with ReviewSession(two, "carla", annotator="clinic") as carla:
        anna, ben = disputes(carla.dataset, carla.home, "anna", "ben")[IDS[2]]
        both = merged(anna.mask, ben.mask, carla.load(IDS[2]).labels)
        carla.decide(IDS[2], "repair", "between", mask=both)
        assert np.array_equal(carla.log.final_mask(IDS[2]), disc(32, 7))  # as the clinic drew it
    assert [log.read_bytes() for log in logs] == before
