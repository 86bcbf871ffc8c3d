"""The second opinion of the default score: figures of a mask, and trees that learn from them."""

import numpy as np
import pytest

from keras_robust.metrics.ranking import auroc
from keras_robust.suspicion.detector import detect, share_of_wrong
from keras_robust.suspicion.features import FEATURES, features
from keras_robust.suspicion.structure import Structure


def case(wrong_share, seed, count=300):
    """Masks whose first figure says nothing and whose other two together say all."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(count) < wrong_share
    given, drawn = generator.normal(size=(count, 3)), generator.normal(size=(count, 3))
    given[:, 1] = np.where(wrong, 2, given[:, 2]) + 0.3 * generator.normal(size=count)
    drawn[:, 1] = 2 + 0.3 * generator.normal(size=count)
    return given, drawn, np.arange(count), wrong


@pytest.mark.parametrize("wrong_share", [0.2])
def test_wrong_masks_are_found_though_none_is_known(wrong_share):
    given, drawn, origin, wrong = case(wrong_share, seed=1)
    first = (given[:, 0] > np.quantile(given[:, 0], 0.7)).astype(float)  # says nothing
    found = detect(given, drawn, origin, first)
    assert auroc(found, wrong) > 0.9
    np.testing.assert_array_equal(found, detect(given, drawn, origin, first))
    share = share_of_wrong(found).mean()
    assert abs(share - wrong.mean()) < 0.1


def test_what_is_known_to_be_wrong_is_not_learned_as_right():
    given, drawn, origin, wrong = case(0.3, seed=2)
    informed = detect(given, drawn, origin, wrong.astype(float))
    assert auroc(informed, wrong) > 0.9


def test_figures_of_a_tiny_mask():
    # Odds of 9:1 for the middle 2x2 of 4x4, 1:9 elsewhere; the mask holds the left half of them.
    log_odds = np.full((4, 4), -np.log(9))
    log_odds[1:3, 1:3] = np.log(9)
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1] = True
    structure = Structure(log_odds, mask, (1.0, 1.0))
    shown = dict(
        zip(FEATURES, features(structure, structure.mask, structure.measure(mask)), strict=True)
    )
    # Two elements are missing: 2 log 9 by the 4 of the prediction.
    assert shown["evidence"] == pytest.approx(np.log(2 * np.log(9) / 4 + 0.005))
    assert shown["dice"] == pytest.approx(2 * 2 / (2 + 4))
    assert shown["relative size"] == pytest.approx(np.log(3 / 5))
    # Each share of two elements is at most one: the worst, log 9 against it.
    assert shown["worst 20%"] == pytest.approx(np.log(np.log(9) + 0.01))
    # No element is uncertain: log(0 + 1) - log(2 + 1) / 2.
    assert shown["uncertain outline"] == pytest.approx(-np.log(3) / 2)
    # 14 elements have a probability of .9 of their label, 2 of .1.
    weights = 14 * np.exp(1), 2 * np.exp(9)
    softmin = (0.9 * weights[0] + 0.1 * weights[1]) / sum(weights)
    assert shown["softmin"] == pytest.approx(softmin)
    assert np.isfinite(list(shown.values())).all()


def test_empty_masks_and_predictions_have_figures():
    for level in (-3.0, 3.0):
        structure = Structure(np.full((6, 6), level), np.zeros((6, 6), bool), (1.0, 1.0))
        empty = np.zeros_like(structure.mask)
        assert np.isfinite(features(structure, empty, structure.measure(empty))).all()
