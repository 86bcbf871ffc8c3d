"""Kinds of error on masks whose error is known, and what no name may contradict."""

import numpy as np
import pytest

from keras_robust.audit.truth import kind_of_noise
from keras_robust.noise import LabelNoise
from keras_robust.suspicion.judged import Comparison, Judged
from keras_robust.suspicion.kinds.naming import KINDS, TOO_LITTLE, TOO_MUCH, kind_of_error
from keras_robust.suspicion.kinds.others import Others
from keras_robust.suspicion.kinds.transforms import orientations, turned


def blob(shape, radii, centre):
    grid = np.indices(shape)
    squares = [((a - c) / r) ** 2 for a, c, r in zip(grid, centre, radii, strict=True)]
    return (sum(squares) < 1).astype(np.uint8)


# An ellipse with a bulge, so that its mirror images and turns are others, and a small disc.
FLAT = np.maximum(
    np.maximum(blob((72, 80), (14, 24), (38, 36)), blob((72, 80), (9, 8), (27, 50))),
    blob((72, 80), (6, 6), (10, 12)),
)
DEEP = np.maximum(
    blob((24, 36, 40), (8, 9, 14), (12, 20, 17)), blob((24, 36, 40), (6, 5, 6), (14, 12, 26))
)
# Two classes side by side: the left and the right half.
CLASSES = DEEP * np.where(np.arange(40) < 18, 1, 2).astype(np.uint8)


def sure(labels, classes=2):
    if classes == 2:
        return np.where(labels, 0.95, 0.05)[..., None]
    return np.eye(classes)[labels] * 0.94 + 0.06 / classes


def compared(mask, truth, classes=2, id="x", spacing=None):
    return Comparison(Judged(id, mask, sure(truth, classes), spacing), classes)


def planted(truth, noise, beta=0.5):
    other = np.roll(np.flip(truth, 0), 9, axis=-1)
    return LabelNoise(alpha=1, beta=beta, seed=1).corrupt(truth, "a", noise, lambda: other)


FAMILIES = ["dilate", "erode", "affine", "cut", "hole", "leak", "mirror", "grid"]


@pytest.mark.parametrize("noise", [*FAMILIES, "object_missing", "object_added", "rotate", "brush"])
def test_kinds_of_images(noise):
    mask, _ = planted(FLAT, noise)
    assert kind_of_error(compared(mask, FLAT)) == kind_of_noise(noise)


def test_a_polygon_of_few_corners_is_coarse():
    round_ = blob((72, 80), (25, 30), (36, 40))
    mask, _ = planted(round_, "polygon")
    assert kind_of_error(compared(mask, round_)) == "coarse"


SLICES = ["slices_missing", "slices_repeated", "slices_shifted", "neighbour_slice"]


@pytest.mark.parametrize("noise", [*FAMILIES, *SLICES])
def test_kinds_of_volumes(noise):
    mask, _ = planted(DEEP, noise)
    assert kind_of_error(compared(mask, DEEP)) == kind_of_noise(noise)


@pytest.mark.parametrize("noise", ["class_changed", "class_swapped", "class_part", "hole", "erode"])
def test_kinds_of_two_classes(noise):
    mask, done = planted(CLASSES, noise)
    assert kind_of_error(compared(mask, CLASSES, 3)) == kind_of_noise(noise, done.whole)


def test_labels_that_moved_on_are_permuted():
    # 1 became background, 2 became 1: the next lower label each.
    off_by_one = np.array([0, 0, 1], np.uint8)[CLASSES]
    assert kind_of_error(compared(off_by_one, CLASSES, 3)) == "labels permuted"
    three = CLASSES.copy()
    three[:, 20:][three[:, 20:] == 2] = 3
    turned_over = np.array([0, 2, 3, 1], np.uint8)[three]
    assert kind_of_error(compared(turned_over, three, 4)) == "labels permuted"


@pytest.mark.parametrize("truth, classes", [(FLAT, 2), (CLASSES, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_no_name_contradicts_the_volumes(truth, classes, seed):
    """Whatever was done: smaller in every class is never too much, larger never too little."""
    generator = np.random.default_rng(seed)
    lost = generator.random(truth.shape) < 0.3 * generator.random()
    cut = tuple(slice(*sorted(generator.integers(0, n, 2))) for n in truth.shape)
    smaller = np.where(lost, 0, truth).astype(np.uint8)
    smaller[cut] = 0
    assert kind_of_error(compared(smaller, truth, classes)) not in TOO_MUCH
    assert kind_of_error(compared(truth, smaller, classes)) not in TOO_LITTLE


def test_skipped_slices_and_bands_are_never_too_large():
    truth = blob((48, 48, 18), (17, 17, 7), (24, 24, 9))
    mask = truth.copy()
    mask[:, :, 7:10] = 0
    skipped = compared(mask, truth, spacing=(0.8, 0.8, 5.0))
    assert kind_of_error(skipped) == "slices missing"
    band = FLAT.copy()
    band[:, 34:42] = 0
    assert kind_of_error(compared(band, FLAT)) == "part missing"


def test_a_mask_without_fault_and_one_without_explanation():
    assert kind_of_error(compared(FLAT, FLAT)) == "none"
    scattered = np.random.default_rng(0).random(FLAT.shape) < 0.5
    said = kind_of_error(compared(scattered.astype(np.uint8), FLAT))
    assert said in KINDS and said != "none"


def others_of(masks):
    others = Others()
    for number, mask in enumerate(masks):
        others.add(compared(mask, mask, id=str(number)))
    return others


def test_the_mask_of_another_case_is_known_by_that_case():
    masks = [np.roll(np.roll(FLAT, 3 * n, 0), -4 * n, 1) for n in range(-3, 4)]
    others = others_of(masks)
    swapped = compared(masks[5], masks[1], id="1")
    found = others.fit(swapped)
    # The masks lie so that those of 1 and 5 differ, and a case is no other of itself.
    assert found.copied == found.other == "5" and found.best == 1 > found.own
    assert kind_of_error(swapped, fit=found) == "other case's mask"
    right = others.fit(compared(masks[1], masks[1], id="1"))
    assert right.own == 1 and right.copied == "" and right.better == 0


def test_small_copies_fit_whatever_the_size():
    others = others_of([FLAT])
    doubled = np.kron(FLAT, np.ones((2, 2), np.uint8))
    empty = np.zeros_like(doubled)
    assert others.fit(compared(doubled, empty, id="x")).copied == "0"
    assert others.fit(compared(empty, empty, id="x")).other == ""


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5), (4, 4)])
def test_every_orientation_is_another_and_stays_on_the_grid(shape):
    array = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    found = [turned(array, order, reverse) for _, order, reverse in orientations(shape)]
    assert all(one.shape == shape for one in found)
    assert len({one.tobytes() for one in [array, *found]}) == len(found) + 1
