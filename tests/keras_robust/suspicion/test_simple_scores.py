"""The scores that are formulas of one image, and those of cleanlab."""

import builtins

import numpy as np
import pytest

from keras_robust.suspicion import SCORES, Judged, error_map, score_masks
from keras_robust.suspicion.t_scores import most_likely_nu


def disc(shape=(24, 24), radius=6.0, centre=None):
    centre = [(size - 1) / 2 for size in shape] if centre is None else centre
    grid = np.indices(shape)
    squares = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
    return (squares <= radius**2).astype(np.uint8)


def soft(mask, sure=0.95):
    return np.where(mask, sure, 1 - sure)[..., np.newaxis].astype(np.float32)


def scored(*cases, **options):
    return score_masks(lambda: list(cases), **options)


def all_scores(cases, **options):
    return [found.scores for found in scored(*cases, **options)]


def test_worked_example_of_every_formula():
    # Four pixels, given 1 1 0 0 with foreground probabilities .9 .2 .1 .4.
    probabilities = np.array([[0.9, 0.2, 0.1, 0.4]])[..., np.newaxis]
    case = Judged("a", np.array([[1, 1, 0, 0]], np.uint8), probabilities, (1.0, 1.0))
    (found,) = scored(case, nu=2.0)
    residual = 0.1**2 + 0.8**2 + 0.1**2 + 0.4**2
    assert found.scores["t_residual"] == pytest.approx(residual / 4)
    assert found.scores["t_weight"] == pytest.approx((2 + residual) / (2 + 4))
    assert found.scores["soft_dice"] == pytest.approx(1 - 2 * (0.9 + 0.2) / (2 + 1.6))
    given = np.array([0.9, 0.2, 0.9, 0.6])
    weights = np.exp((1 - given) / 0.1)
    assert found.scores["softmin"] == pytest.approx(1 - given @ weights / weights.sum(), rel=1e-5)
    # Predicted is the first pixel only: areas 2 and 1.
    assert found.classes[0].area == 2 and found.classes[0].predicted_area == 1
    assert found.classes[0].dice == pytest.approx(2 / 3)
    assert found.classes[0].surface_offset > 0


@pytest.mark.parametrize("shape", [(24, 24), (16, 16, 16)])
def test_identical_masks_score_least_by_every_score(shape):
    right = disc(shape)
    others = [disc(shape, radius) for radius in (2, 4, 8)]
    others += [disc(shape, centre=[4] * len(shape)), np.zeros_like(right), np.ones_like(right)]
    cases = [Judged(str(i), mask, soft(right)) for i, mask in enumerate([right, *others])]
    found = all_scores(cases)
    for name in SCORES:
        values = [one[name] for one in found]
        assert values[0] == min(values), name
        assert values.index(min(values)) == 0 and values.count(values[0]) == 1, name


def test_confident_learning_equals_cleanlab():
    rng = np.random.default_rng(0)
    filter_ = pytest.importorskip("cleanlab.segmentation.filter")
    rank = pytest.importorskip("cleanlab.segmentation.rank")
    labels = rng.integers(0, 3, (5, 12, 10)).astype(np.uint8)
    probabilities = rng.dirichlet(np.ones(3) * 0.5, labels.shape).astype(np.float32)
    probabilities += 1.5 * np.eye(3, dtype=np.float32)[labels]
    probabilities[0] = np.roll(probabilities[0], 1, axis=-1)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    moved = np.moveaxis(probabilities, -1, 1)
    issues = filter_.find_label_issues(labels, moved, n_jobs=1, verbose=False)
    softmin, _ = rank.get_label_quality_scores(labels, moved, n_jobs=1, verbose=False)
    cases = [
        Judged(str(i), *pair) for i, pair in enumerate(zip(labels, probabilities, strict=True))
    ]
    found = all_scores(cases, classes=3)
    assert issues.any()
    shares = [one["confident_learning"] for one in found]
    np.testing.assert_allclose(shares, issues.mean(axis=(1, 2)), atol=1e-12)
    np.testing.assert_allclose([1 - one["softmin"] for one in found], softmin, rtol=1e-5)


def test_cleanlab_is_optional_and_named_where_it_is_asked_for(monkeypatch):
    genuine = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "cleanlab":
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    case = Judged("a", disc(), soft(disc()))
    (found,) = scored(case)
    assert set(found.scores) == set(SCORES) - {"softmin", "confident_learning"}
    with pytest.raises(ImportError, match=r"keras-robust\[quality\]"):
        scored(case, scores=["default", "softmin"])


def test_nu_is_the_fixed_point_of_the_loss():
    # METHODS-like table of T-Loss: a constant mean squared error of .01 settles at ln ν = -3.90.
    d = np.full(3, 128.0**2)
    assert np.log(most_likely_nu(0.01 * d, d)) == pytest.approx(-3.90, abs=0.05)
    assert np.log(most_likely_nu(0.10 * d, d)) == pytest.approx(-1.44, abs=0.05)


def test_spacing_scales_surfaces_alone():
    mask, wrong = disc(), disc(radius=9)
    plain = all_scores([Judged("a", wrong, soft(mask))])[0]
    scaled = all_scores([Judged("a", wrong, soft(mask), (0.5, 0.5))])[0]
    assert scaled["surface"] == pytest.approx(plain["surface"] / 2)
    for name in set(SCORES) - {"surface"}:
        assert scaled[name] == pytest.approx(plain[name]), name


def test_eight_bits_are_as_good_as_floats():
    levels = np.random.default_rng(0).integers(0, 256, (24, 24, 1)).astype(np.uint8)
    as_floats = Judged("a", disc(), levels / 255)
    one, other = all_scores([as_floats]), all_scores([Judged("a", disc(), levels)])
    for name in SCORES:
        assert one[0][name] == pytest.approx(other[0][name], rel=1e-5), name


def test_two_softmax_channels_are_one_foreground_channel():
    p = soft(disc())
    one = scored(Judged("a", disc(radius=8), p))
    two = scored(Judged("a", disc(radius=8), np.concatenate([1 - p, p], axis=-1)))
    for name in SCORES:
        assert one[0].scores[name] == pytest.approx(two[0].scores[name], rel=1e-5), name


def test_ignored_elements_count_for_nothing():
    mask, hole = disc(radius=8).astype(np.int16), np.zeros((24, 24), bool)
    hole[:, 15:] = True
    wrong = mask.copy()
    wrong[hole] = 1
    ignored = [np.where(hole, 255, kind) for kind in (mask, wrong)]
    one, other = (scored(Judged("a", m, soft(disc())), ignore_label=255) for m in ignored)
    assert one == other
    (nothing,) = scored(Judged("a", np.full((24, 24), 255), soft(disc())), ignore_label=255)
    assert nothing.kind == "none"
    default = nothing.scores["default"]  # as probably wrong as any other: nobody knows
    assert set(nothing.scores.values()) == {0.0, default} and 0 < default < 0.1
    assert not error_map(np.full((24, 24), 255), soft(disc()), ignore_label=255).any()


@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_ignored_might_as_well_be_cut_away(classes):
    """In half of the image nothing is known, and the model sees a large object there."""
    mask = np.full((24, 48), 255)
    mask[:, :24] = disc(radius=5, centre=(7, 7))
    predicted = np.ones((24, 48), np.uint8)
    predicted[:, :24] = disc(radius=5, centre=(14, 14))
    p = soft(predicted)
    p = np.concatenate([1 - p - 0.02, p, 0 * p + 0.02], axis=-1) if classes == 3 else p
    names = ["soft_dice", "surface", "t_residual"]
    whole, cut = (
        scored(case, classes=classes, scores=names, ignore_label=255)[0]
        for case in (Judged("a", mask, p), Judged("a", mask[:, :24], p[:, :24]))
    )
    assert whole.classes[0] == cut.classes[0] and whole.kind == cut.kind
    assert whole.scores == pytest.approx(cut.scores) and whole.scores["surface"] > 3


def test_error_map_is_one_minus_the_probability_of_the_label():
    p = np.array([[[0.5, 0.25, 0.25], [0.0, 0.2, 0.8]]])
    assert error_map(np.array([[1, 2]]), p, classes=3).tolist() == [[191, 51]]


@pytest.mark.parametrize(
    ("labels", "probabilities", "options", "argument"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4)), {}, "probabilities"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5, 1)), {}, "probabilities"),
        (np.zeros((4, 4), np.uint8), np.full((4, 4, 1), 3.0), {}, "probabilities"),
        (np.zeros((4, 4), np.uint8), np.full((4, 4, 1), np.nan), {}, "probabilities"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1)), {"classes": 3}, "probabilities"),
        (np.zeros((4, 4), float), np.zeros((4, 4, 1)), {}, "labels"),
        (np.zeros(4, np.uint8), np.zeros((4, 1)), {}, "labels"),
        (np.full((4, 4), 7), np.full((4, 4, 3), 1 / 3), {"classes": 3}, "labels"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1)), {"scores": ["dise"]}, "scores"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1)), {"scores": []}, "scores"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1)), {"nu": 0.0}, "nu"),
    ],
)
def test_bad_input_is_named(labels, probabilities, options, argument):
    with pytest.raises(ValueError, match=f"Invalid value for argument `{argument}`"):
        scored(Judged("case", labels, probabilities), **options)


def test_progress_counts_every_pass():
    seen = []
    cases = [Judged(str(i), disc(), soft(disc())) for i in range(3)]
    score_masks(lambda: cases, scores=["soft_dice"], progress=lambda *now: seen.append(now))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_no_cases_give_no_scores():
    assert scored() == []
