"""Previews are the library's own results."""

from dataclasses import replace

import numpy as np
import pytest

from keras_robust.data import sample
from keras_robust.noise import KINDS, MISTAKES, Corruption, LabelNoise
from napari_plugin.noise_lab.histogram import dice_counts
from napari_plugin.noise_lab.preview import (
    corrupt_mask,
    corrupt_slice,
    corrupt_stack,
    dataset_log,
    replay,
)


def disc(size=48, radius=14, label=1):
    y, x = np.ogrid[:size, :size]
    mask = (y - size / 2) ** 2 + (x - size / 2) ** 2 < radius**2
    return mask.astype(np.uint8) * np.uint8(label)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_corrupted_as_in_a_dataset_where_it_is_chosen(kind):
    noise = LabelNoise(alpha=0.2, beta=0.6, seed=3, kinds=(kind,))
    found = corrupt_mask(disc(), noise, "a")
    expected, corruption = noise.corrupt(disc(), "a", kind)
    np.testing.assert_array_equal(found.mask, expected)
    assert found.log == (corruption,)


def test_the_kind_does_not_depend_on_alpha_and_is_that_of_the_plan():
    ids = [f"{number}" for number in range(30)]
    noise = LabelNoise(alpha=0.4, beta=0.5, seed=1)
    for id, kind in noise.plan(ids).items():
        if kind != "clean":
            assert corrupt_mask(disc(), noise, id).log[0].kind == kind
            assert corrupt_mask(disc(), replace(noise, alpha=0.0), id).log[0].kind == kind


def test_a_stack_is_its_slices_and_alpha_counts_over_them():
    stack = np.stack([disc(radius=radius) for radius in range(5, 15)])
    ids = [f"case {index}" for index in range(10)]
    noise = LabelNoise(alpha=0.3, beta=0.5)
    found = corrupt_stack(stack, noise, ids)
    expected, log = noise.apply(stack, ids)
    np.testing.assert_array_equal(found.mask, expected)
    assert list(found.log) == log and sum(done.kind != "clean" for done in log) == 3
    for index in range(10):
        one = corrupt_slice(stack, index, noise, ids)
        np.testing.assert_array_equal(one.mask, expected[index])


def test_the_ignored_region_stays():
    mask = disc()
    mask[:5] = 255
    for found in (
        corrupt_mask(mask, LabelNoise(alpha=1, beta=1.0), "a", 255),
        corrupt_mask(mask, LabelNoise(alpha=1, beta=1.0, kinds=("dilate",)), "a", 255),
    ):
        np.testing.assert_array_equal(found.mask == 255, mask == 255)
        assert list(found.log[0].parameters) == ["1"]


def test_replay_gives_the_same_bytes_for_masks_and_stacks():
    noise = LabelNoise(alpha=1, beta=0.7, seed=5)
    one = corrupt_mask(disc(), noise, "a")
    np.testing.assert_array_equal(replay(disc(), one.log, ["a"]).mask, one.mask)
    stack = np.stack([disc(), disc(radius=9)])
    many = corrupt_stack(stack, noise, ["x", "y"])
    np.testing.assert_array_equal(replay(stack, many.log[::-1], ["x", "y"]).mask, many.mask)
    with pytest.raises(ValueError, match="with labels"):
        replay(disc(label=2), one.log, ["a"])


def test_a_dataset_log_is_that_of_the_library_and_can_be_cancelled():
    dataset = sample().select(split="train")
    few = dataset.select(ids=dataset.ids[:6])
    noise = LabelNoise(alpha=0.5, beta=0.5)
    log = dataset_log(few, noise)
    assert log == noise.apply([few.read_mask(case) for case in few], few.ids)[1]
    counts = dice_counts(log)
    assert sum(map(sum, counts.values())) == 3
    everything = replace(noise, alpha=1.0, kinds=("all",))
    masks = [few.read_mask(case) for case in few]
    assert dataset_log(few, everything) == everything.apply(masks, few.ids)[1]

    class Stop(Exception):
        pass

    def stop(done, total):
        if (done, total) == (2, 6):
            raise Stop

    with pytest.raises(Stop):
        dataset_log(few, noise, stop)


def test_more_kinds_than_colours_are_counted_by_group():
    log = [Corruption("a", kind, dice=0.5) for kind in KINDS + MISTAKES]
    few = dice_counts(log[:7])
    assert len(few) == 7 and all(sum(bars) == 1 for bars in few.values())
    many = dice_counts(log)
    assert sum(map(sum, many.values())) == len(log) and len(many) == 7
    assert sum(many["Class"]) == 4
    assert list(dice_counts([Corruption("a", "boundary", dice=0.5)])) == []
