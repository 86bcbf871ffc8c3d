import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.data import sample
from keras_robust.metrics import dice
from keras_robust.noise import (
    BoundaryNoise,
    Corruption,
    dilate,
    erode,
    mean_dice_per_label,
    read_log,
    write_log,
)
from keras_robust.noise.boundary import resize_object

from .strategies import binary_masks, disk, label_maps


def head_and_tail(number):
    """Two blobs that touch, as of a hippocampus; a volume of 20 x 26 x 18 voxels."""
    z, y, x = np.mgrid[:20, :26, :18]
    wide = 4 + number % 3
    volume = np.zeros(z.shape, np.uint8)
    volume[((z - 9) / wide) ** 2 + ((y - 17) / 7) ** 2 + ((x - 8) / 5) ** 2 <= 1] = 2
    volume[((z - 9) / 5) ** 2 + ((y - 8) / 5) ** 2 + ((x - 8) / wide) ** 2 <= 1] = 1
    return volume


@pytest.mark.parametrize("mean_dice", [0.96, 0.85, 0.7])
@pytest.mark.parametrize("kind", ["lesions", "volumes"])
def test_the_mean_dice_of_every_class_is_the_one_asked_for(kind, mean_dice):
    if kind == "lesions":
        masks = [sample().read_mask(case, (96, 96)) for case in sample().cases[:40]]
    else:
        masks = [head_and_tail(number) for number in range(24)]
    classes = int(max(mask.max() for mask in masks)) + 1
    ids = [f"case{number}" for number in range(len(masks))]
    noisy, log = BoundaryNoise(mean_dice, seed=1).apply(masks, ids)
    measured = [
        np.atleast_1d(dice(a, b, classes=classes)) for a, b in zip(masks, noisy, strict=True)
    ]
    np.testing.assert_allclose(np.mean(measured, axis=0), mean_dice, atol=0.01)
    np.testing.assert_allclose([*mean_dice_per_label(log).values()], np.mean(measured, axis=0))
    grown = [values["operator"] == "dilate" for done in log for values in done.parameters.values()]
    assert 0.2 < np.mean(grown) < 0.8
    assert np.std(measured) > (1 - mean_dice) / 4  # some are drawn well, some badly


@settings(deadline=None, max_examples=60)
@given(st.lists(label_maps(), min_size=1, max_size=4), st.floats(0.5, 1), st.integers(0, 5))
def test_no_structure_vanishes_and_every_mask_is_replayed(masks, mean_dice, seed):
    ids = [f"case{number}" for number in range(len(masks))]
    noisy, log = BoundaryNoise(mean_dice, seed).apply(masks, ids)
    for mask, out, done in zip(masks, noisy, log, strict=True):
        assert set(np.unique(out)) | {0} == set(np.unique(mask)) | {0}
        assert out.dtype == mask.dtype
        again = Corruption.from_json(done.to_json())
        assert again.apply(mask).tobytes() == out.tobytes()
        for label, values in done.parameters.items():
            own, new = mask == int(label), out == int(label)
            assert np.count_nonzero(new) == values["voxels"]
            # One lies within the other: only the boundary has moved.
            larger, smaller = (new, own) if values["operator"] == "dilate" else (own, new)
            assert (larger | ~smaller).all()
            assert values["dice"] == pytest.approx(dice(own, new))


@settings(deadline=None, max_examples=60)
@given(binary_masks(), st.integers(1, 4))
def test_between_iterations_lie_parts_of_a_layer(mask, extra):
    area = int(mask.sum())
    if not area:
        return
    direction = [1.0] + [0.0] * (mask.ndim - 1)
    for larger in range(area + 1, min(area + 1 + extra, mask.size)):
        grown = resize_object(mask, None, "dilate", larger, direction)
        assert grown.sum() == larger and (grown | ~mask).all()
    for smaller in range(max(1, area - extra), area):
        shrunk = resize_object(mask, None, "erode", smaller, direction)
        assert shrunk.sum() == smaller and (mask | ~shrunk).all()


def test_whole_layers_are_iterations_of_the_cross():
    mask = disk(40, 10).astype(bool)
    for beta in (0.3, 0.7):
        grown, shrunk = dilate(mask, beta), erode(mask, beta)
        for operator, expected in (("dilate", grown), ("erode", shrunk)):
            found = resize_object(mask, None, operator, int(expected.sum()), (1.0, 0.0))
            np.testing.assert_array_equal(found, expected)


def test_what_happens_depends_on_seed_and_id_alone(tmp_path):
    masks = [disk(48, 6 + n) for n in range(12)]
    ids = [f"Ünïcode {n}" for n in range(12)]
    noisy, log = BoundaryNoise(0.85, seed=2).apply(masks, ids)
    turned, again = BoundaryNoise(0.85, seed=2).apply(masks[::-1], ids[::-1])
    assert again == log[::-1]
    other, _ = BoundaryNoise(0.85, seed=3).apply(masks, ids)
    assert any((a != b).any() for a, b in zip(noisy, other, strict=True))
    write_log(tmp_path / "noise.jsonl", log)
    assert read_log(tmp_path / "noise.jsonl") == log


def test_what_cannot_change_is_said():
    empty, full, dot = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8), disk(5, 0.5)
    notes = set()
    for seed in range(6):
        noisy, log = BoundaryNoise(0.6, seed).apply([empty, full, dot], ["a", "b", "c"])
        assert not noisy[0].any() and noisy[1].any() and noisy[2].any()
        assert log[0].note == "unchanged: the mask is empty"
        notes |= {done.note for done in log[1:]}
    assert "unchanged: no room to grow, or too small to shrink" in notes


@pytest.mark.parametrize("arguments", [{"mean_dice": 0.4}, {"mean_dice": 1.1}, {"seed": -1}])
def test_senseless_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`"):
        BoundaryNoise(**{"mean_dice": 0.9, **arguments})
