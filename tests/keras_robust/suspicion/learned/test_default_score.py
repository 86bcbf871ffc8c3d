"""The project's own score and the kind of error, on masks whose error is known."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, gaussian_filter

from keras_robust.metrics.ranking import auroc, spearman
from keras_robust.suspicion import KINDS, Judged, score_masks
from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.learned.recalibration import Recalibration
from keras_robust.suspicion.structure import MOST_ELEMENTS, Structure


def disc(shape, radius, centre=None):
    centre = [(size - 1) / 2 for size in shape] if centre is None else centre
    grid = np.indices(shape)
    squares = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
    return squares <= radius**2


def sigmoid_of_distance(mask, width=1.0):
    distance = distance_transform_edt(mask) - distance_transform_edt(~mask)
    return 1 / (1 + np.exp(-distance / width))


def right_cases(shape=(32, 32), count=12, offset=0.0):
    """Discs with masks that differ from the prediction as those of a careful person would."""
    generator = np.random.default_rng(0)
    cases = []
    for number in range(count):
        centre = [size / 2 + generator.uniform(-2, 2) for size in shape]
        radius = generator.uniform(0.2, 0.28) * shape[0]
        mask = disc(shape, radius + generator.normal() * 0.3, centre)
        prediction = sigmoid_of_distance(disc(shape, radius + offset, centre))
        cases.append(Judged(f"right {number}", mask.astype(np.uint8), prediction[..., None]))
    return cases


def judge(cases, **options):
    return score_masks(lambda: cases, scores=["default"], **options)


def values(cases, **options):
    return [found.scores["default"] for found in judge(cases, **options)]


@pytest.mark.parametrize("shape", [(32, 32), (20, 20, 20)])
def test_score_grows_with_the_dilation_and_with_the_erosion(shape):
    truth = disc(shape, 6)
    prediction = sigmoid_of_distance(truth)[..., None]
    cross = [truth]
    for operate in (binary_dilation, binary_erosion):
        masks = cross + [operate(truth, iterations=n) for n in (1, 2, 3, 4)]
        cases = [Judged(str(n), mask, prediction) for n, mask in enumerate(masks)]
        found = values(right_cases(shape) + cases)[12:]
        # Each is judged by a model that has not seen it, so that small doubts may change places.
        assert spearman(found, range(5)) >= 0.7 and found[-2] < found[-1], operate


def test_score_grows_with_the_shift():
    truth = disc((40, 40), 7)
    cases = [
        Judged(str(n), np.roll(truth, n, axis=0), sigmoid_of_distance(truth)[..., None])
        for n in range(0, 10, 2)
    ]
    found = values(right_cases() + cases)[12:]
    assert spearman(found, range(5)) >= 0.7 and found[-2] < found[-1]


def test_order_of_cases_changes_nothing():
    cases = right_cases() + [Judged("bad", disc((32, 32), 12), right_cases()[0].probabilities)]
    forward, backward = judge(cases), judge(cases[::-1])[::-1]
    assert [found.kind for found in forward] == [found.kind for found in backward]
    np.testing.assert_allclose(values(cases), values(cases[::-1])[::-1], rtol=1e-4)


def test_the_units_of_the_spacing_change_nothing():
    def spaced(scale):
        return [
            Judged(case.id, case.labels, case.probabilities, (scale, 2 * scale))
            for case in right_cases()
        ]

    np.testing.assert_allclose(values(spaced(1.0)), values(spaced(0.037)), rtol=1e-6)


def test_a_habitual_offset_is_no_error():
    # The model always draws two pixels too large; one mask follows it, and that is the odd one.
    cases = right_cases(count=40, offset=2.0)
    odd = Judged("odd", cases[0].probabilities[..., 0] > 0.5, cases[0].probabilities)
    found = judge([*cases, odd])
    score = [one.scores["default"] for one in found]
    assert score[-1] == max(score) and score[-1] > 2 * np.median(score)
    plain = [1 - one.classes[0].dice for one in found]
    assert plain[-1] == min(plain)


def test_uncertain_predictions_excuse_disagreement():
    truth, mask = disc((32, 32), 7), disc((32, 32), 9)
    cases = [
        Judged("sure", mask, sigmoid_of_distance(truth, 0.5)[..., None]),
        Judged("unsure", mask, sigmoid_of_distance(truth, 4.0)[..., None]),
    ]
    sure, unsure = values(right_cases() + cases)[12:]
    assert sure > unsure


def test_noisy_masks_come_first_in_a_dataset_with_uncertain_outlines():
    generator = np.random.default_rng(3)
    cases, wrong = [], []
    for number in range(60):
        field = gaussian_filter(generator.normal(size=(40, 40)), 4)
        field = field / field.std() - (np.hypot(*(np.indices((40, 40)) - 19.5)) - 10) / 2
        truth, prediction = field > 0, 1 / (1 + np.exp(-(field + generator.normal() * 0.3)))
        bad = number % 4 == 0
        mask = truth
        if bad:
            mask = [
                binary_dilation(truth, iterations=3),
                binary_erosion(truth, iterations=3),
                np.roll(truth, 5, axis=0),
            ][number % 3]
        wrong.append(bad)
        cases.append(Judged(str(number), mask, prediction[..., None]))
    assert auroc(values(cases), wrong) > 0.95


def test_kinds_are_those_that_are_listed():
    found = {found.kind for found in judge(right_cases())}
    assert found <= set(KINDS) and KINDS[0] == "none"


@pytest.mark.parametrize("shape", [(16, 16), (8, 8, 8)])
@pytest.mark.parametrize("foreground", [0.0, 1.0])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks_and_predictions(shape, foreground, value):
    mask = np.full(shape, value, np.uint8)
    (found,) = judge([Judged("a", mask, np.full((*shape, 1), foreground))])
    assert np.isfinite(found.scores["default"]) and found.scores["default"] >= 0
    if value == foreground:
        assert found.kind == "none"


def test_a_mask_that_is_judged_alone_is_judged():
    truth = disc((32, 32), 7)
    probabilities = sigmoid_of_distance(truth)[..., None]
    (right,) = judge([Judged("a", truth, probabilities)])
    (wrong,) = judge([Judged("a", np.roll(truth, 9, axis=1), probabilities)])
    assert np.isfinite([right.scores["default"], wrong.scores["default"]]).all()


# The parts.


def test_gains_of_the_outlines_are_the_log_likelihoods_counted_by_hand():
    # Log-odds along a line; the best mask is the middle three: 2 + 3 + 2 = 7.
    log_odds = np.array([[-1.0, -1.0, 2.0, 3.0, 2.0, -1.0, -1.0]])

    def measured(*indices):
        mask = np.zeros(log_odds.shape, bool)
        mask[0, list(indices)] = True
        return Structure(log_odds, mask, (1.0, 1.0)).measure(mask)

    best = measured(2, 3, 4)
    assert (best.evidence, best.shrinking, best.growing, best.moving) == (0, 0, 0, pytest.approx(0))
    large = measured(1, 2, 3, 4, 5)  # two elements too many, of five
    assert large.evidence == pytest.approx(2 / 5)
    assert large.shrinking == pytest.approx(2 / 5)
    assert large.growing == 0
    small = measured(3)  # lacks 2 + 2, and the object is three elements
    assert small.evidence == small.growing == pytest.approx(4 / 3)
    assert small.shrinking == 0
    moved = measured(3, 4, 5)  # 3 + 2 - 1 = 4 rather than 7
    assert moved.evidence == moved.moving == pytest.approx(3 / 3)


def test_calibration_follows_the_masks_where_there_are_many():
    # Of all pixels that are predicted at 44.5/64 = .695, one in ten is foreground.
    predicted = 44.5 / 64
    generator = np.random.default_rng(0)
    recalibration = Recalibration(2)

    def probability(*values):
        foreground = np.float32(values)
        return recalibration.probabilities(np.stack([1 - foreground, foreground]))[1]

    before = probability(0.7, 0.2)
    assert before[0] > 0.5 > before[1]
    for number in range(200):
        labels = (generator.random((20, 20)) < 0.1).astype(np.uint8)
        recalibration.add(
            Comparison(Judged(str(number), labels, np.full((20, 20, 1), predicted)), 2)
        )
    # The prediction counts like ten images: .1 * 200/210 + .695 * 10/210 = .128.
    assert probability(predicted)[0] == pytest.approx(0.128, abs=0.01)
    assert (np.diff(probability(*np.linspace(0, 1, 101))) >= -1e-6).all()


def test_large_images_are_judged_at_a_lower_resolution():
    mask = disc((700, 700), 250)
    structure = Structure(sigmoid_of_distance(mask, 5.0) * 2 - 1, mask, (1.0, 1.0))
    assert structure.mask.size <= MOST_ELEMENTS
    assert structure.measure(structure.mask).evidence < 0.01
