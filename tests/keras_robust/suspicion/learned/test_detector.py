"""Learning to tell given masks from planted mistakes, and how many of them are wrong."""

import numpy as np
import pytest

from keras_robust.metrics.ranking import auroc
from keras_robust.suspicion.learned.detector import detect, share_of_wrong


def case(wrong_share, seed, count=200):
    """Masks whose first figure is evidence, whose second says nothing, and whose third excuses."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(count) < wrong_share
    given, planted = (generator.normal(size=(count, 3)) for _ in range(2))
    given[:, 0] += np.where(wrong, 3, 0) + given[:, 2]
    planted[:, 0] += 3 + planted[:, 2]
    return given, planted, np.arange(count), wrong


@pytest.mark.parametrize("wrong_share", [0.05, 0.2])
def test_wrong_masks_are_found_though_none_is_known(wrong_share):
    given, planted, origin, wrong = case(wrong_share, seed=1)
    found = detect(given, planted, origin, evidence=1, plain=[0])
    assert auroc(found.given, wrong) > 0.93
    assert abs(share_of_wrong(found.given) - wrong.mean()) < 0.1
    np.testing.assert_array_equal(found.given, detect(given, planted, origin, 1, [0]).given)


def test_where_no_mask_is_wrong_few_seem_to_be():
    given, planted, origin, _ = case(0.0, seed=2)
    found = detect(given, planted, origin, evidence=1, plain=[0])
    assert share_of_wrong(found.given) < 0.05


def test_more_evidence_than_was_ever_planted_is_more_suspicious():
    given, planted, origin, _ = case(0.1, seed=3)
    planted[:, 0] = np.minimum(planted[:, 0], 3)
    steps = np.zeros((4, 3))
    steps[:, 0] = [0, 3, 6, 12]
    found = detect(np.concatenate([given, steps]), planted, origin, evidence=1, plain=[0]).given[
        -4:
    ]
    assert (np.diff(found) > 0).all()


def test_without_planted_mistakes_nothing_is_known():
    found = detect(np.ones((3, 2)), np.ones((0, 2)), np.zeros(0, int), evidence=1, plain=[0])
    assert found.given.tolist() == [0, 0, 0] and found.planted.size == 0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_few_masks_are_enough_to_learn_from(count):
    given, planted, _, _ = case(0.0, seed=4)
    found = detect(given[:count], planted, np.arange(len(planted)) % count, evidence=1, plain=[0])
    assert np.isfinite(found.given).all() and np.isfinite(found.planted).all()
    assert np.median(found.planted) > 0
