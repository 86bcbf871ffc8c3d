"""The figures that masks are judged by, and the mistakes and grids that they are taken on."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_robust.suspicion.learned.evidence import CIRCUMSTANCES, EVIDENCE, Evidence
from keras_robust.suspicion.learned.planting import NO_MISTAKE, Planter
from keras_robust.suspicion.learned.working_grid import MOST_ELEMENTS, WorkingGrid, working_grid

NAMES = (*EVIDENCE, *CIRCUMSTANCES)


def grid_of(probabilities, labels=None):
    shape = probabilities.shape[1:]
    mask = np.zeros(shape, np.uint8) if labels is None else labels.astype(np.uint8)
    return WorkingGrid(mask, probabilities.astype(np.float32), np.ones(shape, bool))


def measured(probabilities, labels):
    found = Evidence(grid_of(probabilities), probabilities.astype(np.float32)).measure(labels)
    return dict(zip(NAMES, found, strict=True))


def of_foreground(p):
    return np.stack([1 - p, p])


def scene(seed, classes, shape=(12, 14)):
    generator = np.random.default_rng(seed)
    p = np.moveaxis(generator.dirichlet(np.full(classes, 0.5), shape), -1, 0)
    return p, generator.integers(0, classes, shape).astype(np.uint8)


def test_figures_of_a_tiny_mask():
    # .9 for the middle 2x2 of 4x4, .1 elsewhere; the mask holds the left half of them.
    p = np.full((4, 4), 0.1)
    p[1:3, 1:3] = 0.9
    mask = np.zeros((4, 4), np.uint8)
    mask[1:3, 1] = 1
    shown = measured(of_foreground(p), mask)
    # Two elements are missing, each log .9/.1 = log 9, by the 4 of the prediction.
    assert shown["evidence"] == pytest.approx(np.log(2 * np.log(9) / 4 + 0.005))
    assert shown["Dice"] == pytest.approx(1 - 2 * 2 / (2 + 4))
    # The probabilities sum up to 4 * .9 + 12 * .1 = 4.8, of which the mask holds 1.8.
    assert shown["soft Dice"] == pytest.approx(1 - 2 * 1.8 / (2 + 4.8))
    assert shown["usual soft Dice"] == pytest.approx(1 - 2 * 3.6 / (4 + 4.8))
    # 14 elements have a probability of .9 of their label, 2 of .1.
    weights = 14 * np.exp(1), 2 * np.exp(9)
    softmin = (0.1 * weights[0] + 0.9 * weights[1]) / sum(weights)
    assert shown["softmin"] == pytest.approx(softmin, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 4))
@example(2722, 4)  # two classes are equally common
def test_no_class_is_special(seed, classes):
    p, mask = scene(seed, classes)
    order = np.random.default_rng(seed).permutation(classes)
    renamed = np.argsort(order)[mask]
    one, other = measured(p, mask), measured(p[order], renamed)
    for name in NAMES:
        assert one[name] == pytest.approx(other[name], abs=1e-4), name


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16), st.booleans())
def test_the_best_mask_has_the_least_evidence(seed, volume):
    p, mask = scene(seed, 3, (6, 8, 7) if volume else (12, 14))
    best, other = measured(p, p.argmax(axis=0)), measured(p, mask)
    for name in ("evidence", "Dice", "worst 10%", "mean distance"):
        assert best[name] <= other[name] + 1e-6, name


@pytest.mark.parametrize("shape", [(6, 6), (4, 5, 6)])
@pytest.mark.parametrize("predicted", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks_and_predictions_have_figures(shape, predicted, value):
    p = of_foreground(np.full(shape, predicted))
    assert np.isfinite(list(measured(p, np.full(shape, value, np.uint8)).values())).all()


def test_a_filled_mask_of_what_fills_most_of_the_image_has_evidence_against_it():
    p = np.full((20, 20), 0.95)
    p[::5] = 0.05  # four walls
    right, full = (measured(of_foreground(p), mask) for mask in (p > 0.5, np.ones_like(p, bool)))
    for name in ("evidence", "soft Dice", "Dice", "softmin", "length of the outline"):
        assert full[name] > right[name] + 0.1, name


def test_ignored_elements_tell_nothing():
    p, mask = scene(0, 2)
    grid = grid_of(of_foreground(np.full((12, 14), 0.2)))
    grid.known[:, 7:] = False
    evidence = Evidence(grid, p.astype(np.float32))
    mask[:, 7:] = 0
    other = p.copy()
    other[:, :, 7:] = p[::-1, :, 7:]
    same = Evidence(grid, other.astype(np.float32))
    figures = dict(zip(NAMES, evidence.measure(mask) - same.measure(mask), strict=True))
    assert figures["evidence"] == 0 and figures["Dice"] == 0


@pytest.mark.parametrize("shape", [(500, 420), (60, 70, 80)])
def test_large_images_are_cut_and_joined(shape):
    squares = sum(
        (axis - size / 2) ** 2 for axis, size in zip(np.indices(shape), shape, strict=True)
    )
    mask = (squares < (0.3 * min(shape)) ** 2).astype(np.uint8)
    small = working_grid(grid_of(of_foreground(np.where(mask, 0.9, 0.1)), mask))
    assert small.labels.size <= MOST_ELEMENTS[len(shape)]
    assert small.probabilities.shape == (2, *small.labels.shape) == (2, *small.known.shape)
    share = mask.mean() * mask.size / small.labels.mean() / small.labels.size
    assert share == pytest.approx(np.round(share), abs=0.4 * share) and share > 1


def test_thin_structures_are_not_joined_away():
    mask = np.zeros((256, 256), np.uint8)
    mask[::16] = 1
    small = working_grid(grid_of(of_foreground(np.where(mask, 0.9, 0.1)), mask))
    assert small.labels.sum() > 0.8 * mask.sum()


@pytest.mark.parametrize("shape", [(40, 40), (14, 20, 20)])
def test_mistakes_of_many_kinds_are_planted_and_repeat(shape):
    squares = sum(
        (axis - size / 2) ** 2 for axis, size in zip(np.indices(shape), shape, strict=True)
    )
    mask = (squares < (0.3 * min(shape)) ** 2).astype(np.uint8)
    mask[squares < (0.15 * min(shape)) ** 2] = 2
    planted = list(Planter().plant(mask, "a", np.random.default_rng(0), 12))
    again = list(Planter().plant(mask, "a", np.random.default_rng(0), 12))
    assert len(planted) == 12 and len({one.kind for one in planted}) > 8
    for one, other in zip(planted, again, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        assert (one.labels != mask).any() and one.dice <= NO_MISTAKE


def test_nothing_is_planted_into_an_empty_mask():
    planter = Planter()
    assert not list(planter.plant(np.zeros((9, 9), np.uint8), "a", np.random.default_rng(0), 3))
