"""Measures and differences without a window."""

import csv
import io
import math

import numpy as np
import pytest

from keras_robust.metrics import dice, iou, surface_metrics
from napari_plugin.compare import measures
from napari_plugin.compare.difference import difference, tally
from napari_plugin.compare.measures import Comparer, label_pair, to_csv
from tests.napari_plugin.masks import squares


def blobs(shape, classes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, classes, shape).astype(np.uint8) for _ in range(2)]


@pytest.mark.parametrize("shape", [(17, 23), (7, 9, 8)])
@pytest.mark.parametrize("classes", [2, 4])
def test_measures_are_those_of_the_library(shape, classes):
    a, b = blobs(shape, classes)
    spacing = (2.0, 1.0, 0.5)[: len(shape)]
    for row in Comparer()(a, b, spacing, 1.0):
        one, other = a == row.label, b == row.label
        surface = surface_metrics(one, other, spacing, 1.0)
        assert row.dice == dice(one, other) and row.iou == iou(one, other)
        assert row.average == pytest.approx(surface.average_mm)
        assert row.hausdorff95 == pytest.approx(surface.hausdorff95_mm)
        assert row.surface_dice == pytest.approx(surface.surface_dice)
        assert row.size_a == one.sum() * math.prod(spacing)
    assert row.label == classes - 1


def test_only_classes_that_changed_are_measured_again(monkeypatch):
    measured = []
    real = measures._measure

    def counting(label, *arguments):
        measured.append(label)
        return real(label, *arguments)

    monkeypatch.setattr(measures, "_measure", counting)
    a, b = np.zeros((2, 20, 20), np.uint8)
    a[1:5, 1:5] = b[1:5, 1:6] = 1
    a[10:15, 10:15] = b[10:15, 10:16] = 2
    comparer = Comparer()
    first = comparer(a, b, (1.0, 1.0), 1.0)
    a[12, 12] = 0
    second = comparer(a, b, (1.0, 1.0), 1.0)
    assert measured == [1, 2, 2] and first[0] is second[0]
    comparer(a, b, (1.0, 0.5), 1.0)
    comparer(a, b, (1.0, 0.5), 2.0)
    assert measured == [1, 2, 2, 1, 2, 1, 2]
    # The same shape elsewhere has other distances to the other mask.
    moved = np.roll(a, 1, axis=0)
    assert comparer(moved, b, (1.0, 1.0), 1.0) == Comparer()(moved, b, (1.0, 1.0), 1.0)


def test_a_class_in_one_mask_only_has_no_distance():
    a, b = np.zeros((2, 8, 8), np.uint8)
    a[2:4, 2:4] = 3
    (row,) = Comparer()(a, b, (1.0, 1.0), 1.0)
    assert (row.label, row.dice, row.size_a, row.size_b) == (3, 0.0, 4.0, 0.0)
    assert math.isinf(row.average)
    assert Comparer()(b, b, (1.0, 1.0), 1.0) == []


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (np.zeros((4, 4), int), np.zeros((4, 5), int), "differ in shape: 4 × 4 and 4 × 5"),
        (np.zeros(4, int), np.zeros(4, int), "2 or 3 axes"),
        (np.full((4, 4), 300), np.zeros((4, 4), int), "from 300 to 300"),
        (np.full((4, 4), -1), np.zeros((4, 4), int), "from -1 to -1"),
        (np.zeros((4, 4)), np.zeros((4, 4), int), "float64"),
    ],
)
def test_masks_that_cannot_be_compared_are_named(a, b, expected):
    with pytest.raises(ValueError, match=expected):
        label_pair(a, b)


def test_255_alone_is_foreground_but_a_class_among_others():
    only, _ = label_pair([[0, 255]], [[0, 1]])
    among, _ = label_pair([[1, 255]], [[0, 1]])
    assert only.tolist() == [[0, 1]] and among.tolist() == [[1, 255]]


def test_difference_of_hand_drawn_squares():
    a, b = squares()
    counts = {found.code: found.elements for found in tally(difference(a, b), (1.0, 1.0))}
    # 16 and 20 pixels with 8 in common: 8 only in A, 12 only in B.
    assert counts == {1: 8, 2: 8, 3: 12, 4: 0}
    b[b == 1] = 2
    counts = {found.code: found.size for found in tally(difference(a, b), (2.0, 0.5))}
    assert counts == {1: 0, 2: 8, 3: 12, 4: 8}


def test_swapping_the_masks_swaps_the_codes():
    a, b = blobs((30, 30), 3)
    swapped = np.array([0, 1, 3, 2, 4], np.uint8)
    np.testing.assert_array_equal(swapped[difference(a, b)], difference(b, a))


def test_csv_reads_back_with_names_that_hold_commas():
    a, b = squares()
    rows = Comparer()(a, b, (2.0, 0.5), 1.0)
    names = {"image": 'a,"b"', "a": "x\ny", "b": "z"}
    text = to_csv(
        rows, names=names, unit="mm", ndim=2, tolerance=1.0, class_names=("background", "a, b")
    )
    (read,) = csv.DictReader(io.StringIO(text))
    assert {key: read[key] for key in names} == names
    assert (read["class"], read["name"]) == ("1", "a, b")
    # Dice = 2 * 8 / (16 + 20)
    assert float(read["dice"]) == pytest.approx(16 / 36)
    assert float(read["area_a_mm2"]) == 16 and float(read["asd_mm"]) == rows[0].average
