"""Where mask and evidence part, on squares that are counted by hand."""

import numpy as np
import pytest

from keras_robust.suspicion import Judged, score_masks
from keras_robust.suspicion.judged import Comparison
from keras_robust.suspicion.kinds.places import MOST_PLACES, places_of


def compared(mask, truth, spacing=None, classes=2):
    said = np.where(truth, 0.9, 0.1)[..., None] if classes == 2 else np.eye(classes)[truth]
    return Comparison(Judged("x", mask, said, spacing), classes)


def squares():
    truth = np.zeros((40, 60), np.uint8)
    truth[10:30, 5:25] = 1
    truth[12:20, 40:48] = 1
    return truth


def test_each_place_has_its_own_kind_middle_box_and_area():
    truth = squares()
    mask = truth.copy()
    mask[12:20, 40:48] = 0  # 64 elements, an object of its own
    mask[15:21, 10:16] = 0  # 36 in the midst of the other
    mask[32:38, 30:36] = 1  # 36 where nothing is
    found = places_of(compared(mask, truth, (0.5, 2.0)), "missing object", 0.5)
    assert [place.kind for place in found[:1]] == ["missing object"]
    assert {place.kind for place in found} == {"missing object", "hole", "extra object"}
    first = found[0]
    assert first.centroid == (15.5, 43.5) and first.box == ((12, 20), (40, 48))
    assert first.volume == 64 * 0.5 * 2 and first.label == 1
    assert first.p_wrong == pytest.approx(0.5 * 0.9)


def test_doubt_about_the_outline_is_no_place_beside_a_real_one():
    truth = squares()
    mask = truth.copy()
    mask[10:30, 17:25] = 0
    mask[10:30, 5] = 0  # one element wide
    (place,) = places_of(compared(mask, truth), "part missing")
    assert place.box == ((10, 30), (17, 25))
    mask = truth.copy()
    mask[10:30, 5] = 0
    (place,) = places_of(compared(mask, truth), "too small")  # where there is nothing else
    assert place.volume == 20


def test_runs_of_slices_are_a_place_each():
    truth = np.zeros((20, 16, 16), np.uint8)
    truth[2:18, 4:12, 4:12] = 1
    mask = truth.copy()
    mask[[5, 6, 11]] = 0
    found = places_of(compared(mask, truth, (3.0, 1.0, 1.0)), "slices missing")
    assert [place.kind for place in found] == ["slices missing"] * 2
    assert [place.box[0] for place in found] == [(5, 7), (11, 12)]
    assert [place.volume for place in found] == [2 * 64 * 3, 64 * 3]


def test_places_of_several_classes_and_of_none():
    truth = squares()
    truth[:, 30:] *= 2
    mask = truth.copy()
    mask[mask == 2] = 1
    (place,) = places_of(compared(mask, truth, classes=3), "wrong class")
    assert (place.label, place.kind, place.volume) == (1, "wrong class", 64)
    assert places_of(compared(truth, truth, classes=3), "wrong class") == ()
    assert places_of(compared(mask, truth, classes=3), "none") == ()
    noise = (np.random.default_rng(0).random(truth.shape) < 0.3).astype(np.uint8)
    assert 1 <= len(places_of(compared(noise, truth, classes=3), "uncertain")) <= MOST_PLACES


def test_masks_that_are_probably_wrong_have_places_and_no_others():
    truth = squares()
    cut = truth.copy()
    cut[10:30, 12:25] = 0
    said = np.where(truth, 0.97, 0.03)[..., None]
    cases = [Judged(str(n), truth, said) for n in range(6)] + [Judged("cut", cut, said)]
    found = score_masks(lambda: cases, scores=["default"])
    assert [bool(one.places) for one in found] == [one.kind != "none" for one in found]
    assert found[-1].kind == "part missing" and found[-1].places[0].box == ((10, 30), (12, 25))
