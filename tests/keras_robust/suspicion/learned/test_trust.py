"""How probable it is that masks are wrong, and how far to trust it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from keras_robust.suspicion import Judged, judge_masks
from keras_robust.suspicion.learned.trust import Found, is_blind, trust_in

SHAPE = (40, 40)


def nested(centre, radius):
    """Three classes: a core in a ring, and a neighbour."""
    distance = np.hypot(*(axis - c for axis, c in zip(np.indices(SHAPE), centre, strict=True)))
    labels = np.where(distance < 0.6 * radius, 3, np.where(distance < radius, 2, 0))
    beside = np.hypot(
        *(axis - c for axis, c in zip(np.indices(SHAPE), centre - [0, 12], strict=True))
    )
    labels[(beside < 0.7 * radius) & (labels == 0)] = 1
    return labels.astype(np.uint8)


def dataset(count, off, seed=0):
    """Right masks, and predictions that are off by some elements."""
    generator = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        centre, radius = generator.uniform([17, 22], [23, 28]), generator.uniform(6, 9)
        wrong = nested(centre + off * generator.normal(size=2), radius)
        p = np.stack([gaussian_filter((wrong == k).astype(float), 1.5) for k in range(4)], -1)
        cases.append(
            (
                f"case {number}",
                nested(centre, radius),
                (p + 0.02) / (p + 0.02).sum(-1, keepdims=True),
            )
        )
    return cases


def judged(cases, classes=4):
    if classes == 2:
        cases = [
            (id, np.uint8(mask > 0), p[..., 1:].sum(-1, keepdims=True)) for id, mask, p in cases
        ]
    return judge_masks(
        lambda: [Judged(*case) for case in cases], classes=classes, scores=["default"]
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_without_a_wrong_mask_hardly_one_is_flagged(classes):
    found = judged(dataset(60, off=0.8), classes)
    assert sum(one.p_wrong > 0.5 for one in found.masks) <= 0.05 * 60
    assert not found.trust.blind and found.trust.wrong_share < 0.1


def test_wrong_masks_are_flagged_and_are_the_first():
    cases = dataset(60, off=0.5)
    for number in range(0, 60, 10):
        id, mask, p = cases[number]
        cases[number] = (id, np.roll(mask, 9, axis=0), p)
    found = judged(cases)
    p_wrong = np.array([one.p_wrong for one in found.masks])
    first = np.argsort(-p_wrong)[:6]
    assert set(first) == set(range(0, 60, 10)) and (p_wrong[first] > 0.5).all()
    score = [one.scores["default"] for one in found.masks]
    np.testing.assert_allclose(p_wrong, 1 - np.exp(-np.array(score)))
    assert 0.05 < found.trust.wrong_share < 0.2
    assert found.trust.found and found.trust.found[-1].first > 0.5


def test_where_the_model_knows_nothing_the_audit_says_so_and_flags_nothing():
    cases = dataset(40, off=0.5)
    shuffled = [p for _, _, p in cases]
    generator = np.random.default_rng(1)
    noise = [generator.dirichlet(np.ones(4), SHAPE) for _ in shuffled]
    found = judged([(id, mask, p) for (id, mask, _), p in zip(cases, noise, strict=True)])
    assert found.trust.blind and "blind" in found.trust.sentences()[0]
    assert max(one.p_wrong for one in found.masks) <= 0.5
    assert {one.kind for one in found.masks} == {"none"}
    assert found.trust.unexplained() == [1, 2, 3]


def test_found_by_size_counted_by_hand():
    # Of ten masks the first is at 9; of four mistakes of about 20 %, three are above 8.1, the
    # 90th percentile, and two are probably wrong where 9.5 is taken off.
    trust = trust_in(
        np.arange(10.0),
        np.array([8.5, 9.6, 12.0, 0.0, 20.0]),
        np.array([0.2, 0.16, 0.25, 0.2, 0.9]),
        offset=-9.5,
        blind=False,
        wrong_share=0.1,
        dice={1: 0.8},
    )
    assert trust.found == (Found(0.2, 4, 0.75, 0.5),)
    assert trust.to_json()["found"][0]["first"] == 0.75 and trust.unexplained() == []


def test_blind_where_plain_mistakes_are_no_more_suspicious():
    generator = np.random.default_rng(0)
    given, planted = generator.normal(size=100), generator.normal(size=100)
    half, agreed = np.full(100, 0.5), np.full(100, 0.9)
    assert is_blind(given, planted, half, agreed)
    assert not is_blind(given, planted + 2, half, agreed)
    assert is_blind(given, planted + 2, half, agreement=np.full(100, 0.2))
    assert not is_blind(given, planted, np.full(100, 0.95), agreed)  # too small for anybody


def test_trust_without_planted_mistakes():
    (empty,) = judge_masks(
        lambda: [Judged("a", np.zeros(SHAPE, np.uint8), np.zeros((*SHAPE, 1)))], scores=["default"]
    ).masks
    assert empty.p_wrong < 0.5
    trust = judge_masks(lambda: [], scores=["default"]).trust
    assert trust.found == () and trust.to_json()["planted_auroc"] is None
