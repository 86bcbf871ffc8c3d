import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.annotators import majority, soft_consensus, staple
from keras_robust.metrics import dice

STACKS = st.integers(1, 5).flatmap(
    lambda count: arrays(np.uint8, (count, 4, 5), elements=st.integers(0, 2))
)
relations = settings(deadline=None, max_examples=60)


def annotators(truth, sensitivity, specificity, seed=0):
    """Masks that draw a share of the foreground and leave a share of the background."""
    generator = np.random.default_rng(seed)
    return [
        np.where(truth, generator.random(truth.shape) < p, generator.random(truth.shape) >= q)
        for p, q in zip(sensitivity, specificity, strict=True)
    ]


def disc(shape=(80, 100), radius=25):
    rows, columns = np.indices(shape)
    return np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < radius


# --- Majority and soft consensus ----------------------------------------------------------------


def test_majority_and_shares_by_hand():
    #        1  2  3  4
    masks = [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0]]
    np.testing.assert_array_equal(majority(masks), [1, 0, 0, 0])  # ties are background
    np.testing.assert_array_equal(soft_consensus(masks), [1, 0.5, 0.5, 0])
    np.testing.assert_array_equal(majority([[2, 2, 1], [2, 1, 0], [0, 1, 2]], classes=3), [2, 1, 0])
    shares = soft_consensus([[2, 0], [1, 0]], classes=3)
    np.testing.assert_array_equal(shares, [[0, 0.5, 0.5], [1, 0, 0]])


@given(STACKS)
@relations
def test_majority_is_where_the_share_is_greatest(stack):
    shares = soft_consensus(stack, classes=3)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(majority(stack, classes=3), shares.argmax(axis=-1))
    binary = soft_consensus(stack > 0)
    np.testing.assert_array_equal(majority(stack > 0), binary > 0.5)
    np.testing.assert_array_equal(majority(stack > 0), majority((stack > 0) * 255))


@given(STACKS)
@relations
def test_order_of_annotators_does_not_matter(stack):
    # Three steps only: where masks contradict each other in full, the last digit decides the rest.
    one, other = (staple(m, classes=3, max_iterations=3) for m in (stack, stack[::-1]))
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
    np.testing.assert_allclose(one.confusion, other.confusion[::-1], atol=1e-6)
    np.testing.assert_allclose(one.probabilities.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(one.confusion.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("consensus", [majority, lambda m, **o: staple(m, **o).labels])
@given(mask=arrays(np.uint8, (4, 5), elements=st.integers(0, 2)), count=st.integers(1, 4))
@relations
def test_all_alike_is_the_consensus(consensus, mask, count):
    np.testing.assert_array_equal(consensus([mask] * count, classes=3), mask)


def test_votes_of_many_annotators_many_classes_and_many_elements():
    # 300 votes need more than a byte, labels above 127 more than a signed one.
    masks = [[0, 200]] * 140 + [[3, 200]] * 160
    np.testing.assert_array_equal(majority(masks, classes=256), [3, 200])
    np.testing.assert_allclose(
        soft_consensus(masks, classes=256)[0, [0, 3]], [140 / 300, 160 / 300]
    )
    wide = np.tile([[0, 1, 2, 1], [0, 1, 1, 2], [0, 2, 1, 0]], 50_000)
    np.testing.assert_array_equal(majority(wide, classes=3), np.tile([0, 1, 1, 0], 50_000))


def test_ignored_is_no_vote():
    masks = np.array([[1, 9, 9, 9], [1, 1, 0, 9], [0, 1, 0, 9]], np.uint8)
    np.testing.assert_array_equal(majority(masks, ignore_label=9), [1, 1, 0, 9])
    np.testing.assert_allclose(soft_consensus(masks[:, :3], ignore_label=9), [2 / 3, 1, 0])
    np.testing.assert_array_equal(staple(masks[:, :3], ignore_label=9).labels, [1, 1, 0])
    nothing = staple(masks[:, 3:], ignore_label=9)
    assert nothing.probabilities.tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="1 elements that all of them ignore"):
        soft_consensus(masks, ignore_label=9)


# --- STAPLE -------------------------------------------------------------------------------------


def test_staple_by_hand():
    # Two annotators, ten elements: one drew 1 to 4, the other 3 to 6: the prior is 8 / 20 = .4.
    # They start at 1 - 1e-5, so that only both together are foreground, and one alone is
    # .4 * a * 1e-5 : .6 * a * 1e-5, that is .4 of one. Foreground weights then 2 + 4 * .4 = 3.6,
    # of which each drew 2 + 2 * .4 = 2.8; of the background 6.4 each left 4 + 2 * .6 = 5.2.
    one = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    other = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    first = staple([one, other], max_iterations=1)
    expected = [0.4, 0.4, 1, 1, 0.4, 0.4, 0, 0, 0, 0]
    np.testing.assert_allclose(first.probabilities[:, 1], expected, atol=1e-4)
    np.testing.assert_allclose(first.confusion[:, 1, 1], 2.8 / 3.6, atol=1e-4)
    np.testing.assert_allclose(first.confusion[:, 0, 0], 5.2 / 6.4, atol=1e-4)
    assert not first.converged and first.iterations == 1


def test_staple_finds_how_reliable_annotators_are():
    truth = disc()
    sensitivity, specificity = (0.98, 0.9, 0.75, 0.6, 0.55), (0.98, 0.95, 0.9, 0.7, 0.8)
    masks = annotators(truth, sensitivity, specificity)
    found = staple(masks)
    assert found.converged
    np.testing.assert_allclose(found.confusion[:, 1, 1], sensitivity, atol=0.04)
    np.testing.assert_allclose(found.confusion[:, 0, 0], specificity, atol=0.02)
    assert dice(found.labels, truth) > 0.97 > dice(majority(masks), truth) + 0.02


def test_staple_of_three_labels():
    truth = disc(radius=35).astype(np.uint8) + disc(radius=20)
    generator = np.random.default_rng(0)
    masks = []
    for right in (0.95, 0.9, 0.7, 0.4):
        guess = generator.integers(0, 3, truth.shape)
        masks.append(np.where(generator.random(truth.shape) < right, truth, guess))
    found = staple(masks, classes=3)
    by_majority = np.mean(majority(masks, classes=3) == truth)
    assert np.mean(found.labels == truth) > max(by_majority, 0.97)
    # A guess is right once in three times: .4 + .6 / 3 = .6.
    np.testing.assert_allclose(found.confusion[3].diagonal(), 0.6, atol=0.05)


def test_staple_of_many_annotators_stays_finite():
    masks = annotators(disc(), [0.8] * 60, [0.8] * 60)
    found = staple(masks)
    assert np.isfinite(found.probabilities).all() and dice(found.labels, disc()) > 0.99


def test_staple_of_nothing_drawn_is_nothing():
    found = staple(np.zeros((3, 4, 4), int), classes=3)
    assert not found.labels.any() and found.converged
    assert staple(np.ones((2, 4, 4), int)).labels.all()


@pytest.mark.parametrize("volume", [False, True])
def test_staple_is_that_of_simpleitk(volume):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is absent; STAPLE is not compared")
    truth = disc((40, 50), 14)
    if volume:
        truth = np.stack([np.zeros_like(truth), truth, np.roll(truth, 3, axis=0)])
    for seed in range(4):
        generator = np.random.default_rng(seed)
        quality = generator.uniform(0.6, 0.98, (2, 4))
        masks = annotators(truth, *quality, seed)
        images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
        itk = sitk.STAPLEImageFilter()
        itk.SetForegroundValue(1.0)
        expected = sitk.GetArrayFromImage(itk.Execute(images))
        found = staple(masks)
        np.testing.assert_allclose(found.probabilities[..., 1], expected, atol=1e-4)
        np.testing.assert_allclose(found.confusion[:, 1, 1], itk.GetSensitivity(), atol=1e-4)
        np.testing.assert_allclose(found.confusion[:, 0, 0], itk.GetSpecificity(), atol=1e-4)


def test_multi_label_staple_is_that_of_simpleitk():
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is absent; STAPLE is not compared")
    truth = disc((40, 50), 16).astype(np.uint8) + disc((40, 50), 8)
    generator = np.random.default_rng(0)
    masks = [
        np.where(
            generator.random(truth.shape) < right, truth, generator.integers(0, 3, truth.shape)
        ).astype(np.uint8)
        for right in (0.95, 0.85, 0.7, 0.6)
    ]
    itk = sitk.MultiLabelSTAPLEImageFilter()
    itk.SetTerminationUpdateThreshold(1e-9)
    expected = sitk.GetArrayFromImage(itk.Execute([sitk.GetImageFromArray(m) for m in masks]))
    found = staple(masks, classes=3)
    np.testing.assert_array_equal(found.labels, expected)
    for own, number in zip(found.confusion, range(len(masks)), strict=True):
        table = np.reshape(itk.GetConfusionMatrix(number), (-1, 3))[:3]
        np.testing.assert_allclose(own, table, atol=1e-4)


@pytest.mark.parametrize("consensus", [majority, soft_consensus, staple])
def test_errors_say_what_was_expected(consensus):
    with pytest.raises(ValueError, match=r"all of one shape.*\(2,\), \(3,\)"):
        consensus([[0, 1], [0, 1, 1]])
    with pytest.raises(ValueError, match="one mask or more.*none"):
        consensus([])
    with pytest.raises(ValueError, match="integer labels.*float64"):
        consensus([[0.5, 1.0]])
    for label in (7, 2**16 + 1):
        with pytest.raises(ValueError, match=f"labels from 0 to 2.*0 to {label}"):
            consensus([[0, label]], classes=3)
