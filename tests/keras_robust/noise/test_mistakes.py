"""The second family: what all its kinds have in common."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.noise import (
    KINDS,
    MISTAKES,
    NOISES,
    Corruption,
    Kind,
    LabelNoise,
    NotHere,
    all_kinds,
    kind_named,
    register,
)

from .strategies import binary_masks, disk, label_maps

mistakes = pytest.mark.parametrize("kind", MISTAKES)
IDS = [f"case{number:03d}" for number in range(60)]
VOLUMES = ("slices_missing", "slices_repeated", "slices_shifted", "neighbour_slice")
CLASSES = ("class_changed", "class_swapped", "class_part", "labels_shifted")
# Of these the change asked for is reached to the voxel, where there is room.
TO_THE_VOXEL = ("cut", "hole", "leak", "object_added", "class_part")


def tree(size=64, labels=(1, 2, 3), rank=2):
    """Three blobs apart from each other, none symmetric, of one label each."""
    grid = np.indices((size,) * rank)
    mask = np.zeros((size,) * rank, np.uint8)
    for number, label in enumerate(labels):
        centre = size * np.array([(0.3, 0.25), (0.7, 0.35), (0.35, 0.75)][number % 3])
        offset = grid[-2:] - centre.reshape(2, *(1,) * rank)
        width = (size / (5 + number), size / (8 + number))
        inside = (offset[0] / width[0]) ** 2 + (offset[1] / width[1]) ** 2
        if rank == 3:
            inside = inside + ((grid[0] - size * 0.4) / (size / 3)) ** 2
        mask[inside <= 1] = label
    return mask


def made(kind, mask, beta=0.4, seed=0, other=None):
    planned = Kind(kind)
    planned.source = "b"
    return LabelNoise(1, beta, seed=seed).corrupt(mask, "a", planned, other)


def other_of(mask):
    return lambda: np.roll(mask, 3, axis=-1)


@mistakes
@settings(deadline=None, max_examples=40)
@given(
    mask=binary_masks() | label_maps(),
    beta=st.floats(0, 2.5) | st.just(0.4),
    seed=st.integers(0, 9),
)
def test_replay_and_bookkeeping(kind, mask, beta, seed):
    before = mask.copy()
    noisy, done = made(kind, mask, beta, seed, other_of(mask))
    np.testing.assert_array_equal(mask, before)
    assert noisy.dtype == mask.dtype and noisy.shape == mask.shape
    assert not np.shares_memory(noisy, mask)
    assert set(np.unique(noisy)) <= {0, *np.unique(mask)} and noisy.any() == mask.any()
    again = Corruption.from_json(done.to_json())
    assert again == done and done.kind == kind and done.asked == beta
    replayed = again.apply(mask)
    assert replayed.tobytes() == noisy.tobytes() and replayed.dtype == noisy.dtype
    labels = sorted(set(np.unique(mask)) - {0})
    pairs = [(mask == label, noisy == label) for label in labels]
    if labels:
        xors = sum((own ^ other).sum() for own, other in pairs)
        assert done.reached == pytest.approx(xors / np.count_nonzero(mask))
        dices = [2 * (own & other).sum() / (own.sum() + other.sum()) for own, other in pairs]
        assert done.dice == pytest.approx(np.mean(dices))
    if (noisy == mask).all():
        assert done.note
    repeated = made(kind, mask, beta, seed, other_of(mask))
    assert repeated[1] == done and repeated[0].tobytes() == noisy.tobytes()


@mistakes
@settings(deadline=None, max_examples=20)
@given(mask=binary_masks(), seed=st.integers(0, 9))
def test_same_mistake_however_the_foreground_is_stored(kind, mask, seed):
    expected = made(kind, mask, 0.4, seed, other_of(mask))[0]
    for stored in (mask.astype(np.uint8), mask * np.uint8(255), mask.astype(np.int64)):
        noisy = made(kind, stored, 0.4, seed, other_of(stored))[0]
        np.testing.assert_array_equal(noisy > 0, expected)
        assert noisy.max() == stored.max()


@mistakes
def test_a_channel_axis_is_set_aside(kind):
    mask = tree()
    expected, done = made(kind, mask, other=other_of(mask))
    noisy, with_channel = made(kind, mask[..., None], other=lambda: other_of(mask)()[..., None])
    np.testing.assert_array_equal(noisy, expected[..., None])
    np.testing.assert_array_equal(with_channel.apply(mask[..., None]), noisy)
    assert with_channel == done


@mistakes
@pytest.mark.parametrize("rank", [2, 3])
def test_seeds_differ_and_something_is_wrong(kind, rank):
    mask = tree(32, rank=rank)
    results = [made(kind, mask, seed=seed, other=other_of(mask)) for seed in range(12)]
    if rank == 2 and kind in VOLUMES:
        assert all(done.note.startswith("unchanged: it is made in volumes") for _, done in results)
        return
    assert all((noisy != mask).any() and done.reached > 0 for noisy, done in results)
    if kind != "other_case":  # the plan draws whose mask it is
        assert len({noisy.tobytes() for noisy, _ in results}) > 1


@pytest.mark.parametrize("kind", TO_THE_VOXEL)
@pytest.mark.parametrize("beta", [0.1, 0.3])
def test_amounts_are_reached_to_the_voxel(kind, beta):
    mask = tree()
    reached = made(kind, mask, beta)[1].reached
    structures = 1 if kind in ("object_added", "class_part") else 3
    # One voxel of each structure at most, two where one structure's loss is another's gain.
    assert beta - 2 * structures / np.count_nonzero(mask) <= reached <= beta


@pytest.mark.parametrize("kind", ["polygon", "brush", "grid", *VOLUMES])
def test_amounts_come_near_and_rise(kind):
    mask = tree(48, rank=3)
    median = {
        beta: np.median([made(kind, mask, beta, seed)[1].reached for seed in range(6)])
        for beta in (0.1, 0.3)
    }
    assert median[0.1] < median[0.3]
    # Half a voxel along three axes, or the narrowest brush, already changes 0.17 of them.
    assert median[0.1] == pytest.approx(0.1, abs=0.08)
    assert median[0.3] == pytest.approx(0.3, abs=0.1)


def test_a_plan_takes_the_next_kind_where_one_cannot_be_made():
    masks = [disk(48, 8 + number % 8) for number in range(len(IDS))]
    noise = LabelNoise(1, 0.4, kinds=("slices_missing", "class_swapped", "hole", "cut"))
    plan = noise.plan(IDS)
    noisy, log = noise.apply(masks, IDS)
    assert set(plan.values()) == set(noise.kinds)
    for id, done in zip(IDS, log, strict=True):
        expected = (
            plan[id]
            if plan[id] in ("hole", "cut")
            else next(kind for kind in plan[id].others if kind in ("hole", "cut"))
        )
        assert done.kind == expected
    assert 10 < sum(done.kind == "cut" for done in log) < 50
    for mask, got, done in zip(masks, noisy, log, strict=True):
        assert done.apply(mask).tobytes() == got.tobytes()


def test_a_kind_that_is_alone_and_cannot_be_made_is_refused():
    masks = [disk(48, 8), disk(48, 12)]
    for kinds, why in (
        (VOLUMES, "it is made in volumes"),
        (CLASSES, "it takes two classes"),
        (("object_missing",), "it takes two objects"),
    ):
        with pytest.raises(ValueError, match=f"argument `kinds`.*{why}.*Add others"):
            LabelNoise(1, 0.4, kinds=kinds).apply(masks, ["a", "b"])
        with pytest.raises(ValueError, match=f"argument `kind`.*the mask of 'a'.*{why}"):
            LabelNoise(1, 0.4).corrupt(masks[0], "a", kinds[0])
    with pytest.raises(ValueError, match="another case, and there is none"):
        LabelNoise(1, 0.4, kinds=("other_case",)).apply(masks[:1], ["a"])
    # Where it can be made in one, the others are left, and the log says so; empty ones as well.
    two = disk(48, 8)
    two[:4, :4] = 1
    masks = [disk(48, 8), np.zeros_like(two), two]
    _, log = LabelNoise(1, 0.4, kinds=("object_missing",)).apply(masks, ["a", "b", "c"])
    assert [bool(done.note) for done in log] == [True, True, False]
    assert log[1].note == "unchanged: the mask is empty"
    LabelNoise(1, 0.4, kinds=("object_missing",)).apply(masks[1:2], ["b"])


def test_order_of_ids_and_alpha_change_nothing():
    masks = {id: np.roll(tree(), number, axis=0) for number, id in enumerate(IDS)}
    noise = LabelNoise(1, 0.4, seed=3, kinds=MISTAKES)
    whole = dict(zip(IDS, noise.apply([masks[id] for id in IDS], IDS)[1], strict=True))
    assert len({done.kind for done in whole.values()}) > 10
    shuffled = random.Random(1).sample(IDS, len(IDS))
    _, log = noise.apply([masks[id] for id in shuffled], shuffled)
    assert {done.id: done for done in log} == whole
    few = LabelNoise(0.3, 0.4, seed=3, kinds=MISTAKES)
    for done in few.apply([masks[id] for id in IDS], IDS)[1]:
        assert done.kind == "clean" or done == whole[done.id]


def test_groups_stand_for_their_members_and_the_default_stays():
    assert LabelNoise(1, 0.4).kinds == KINDS == LabelNoise(1, 0.4, kinds=("shapes",)).kinds
    assert LabelNoise(1, 0.4, kinds=("mistakes",)).kinds == MISTAKES
    assert LabelNoise(1, 0.4, kinds=("all",)).kinds == KINDS + MISTAKES
    with pytest.raises(ValueError, match="argument `kinds`"):
        LabelNoise(1, 0.4, kinds=("mistakes",), mode="reference")


def test_every_kind_is_described():
    for kind in all_kinds():
        assert kind.title and kind.group and not kind.tip.endswith(".")
    assert {*KINDS, *MISTAKES} <= {kind.name for kind in all_kinds()}


def test_a_kind_of_ones_own(monkeypatch):
    monkeypatch.setattr(NOISES, "_own", {})

    def draw(mask, draw):
        free = np.argwhere(mask == 0)
        if not len(free):
            raise NotHere("it is full")
        return {"place": free[draw.generator.integers(len(free))].tolist()}

    @register("speck", "A stray click.", draw=draw, whole=True)
    def speck(mask, place):
        result = mask.copy()
        result[tuple(place)] = mask.max()
        return result

    assert (kind_named("speck").title, kind_named("speck").tip) == ("Speck", "A stray click")
    noise = LabelNoise(1, 0.4, kinds=("speck",))
    noisy, (done,) = noise.apply([disk(16, 4)], ["a"])
    assert np.count_nonzero(noisy[0]) == np.count_nonzero(disk(16, 4)) + 1
    assert json.loads(done.to_json())["whole"] == done.whole
    np.testing.assert_array_equal(done.apply(disk(16, 4)), noisy[0])
    with pytest.raises(ValueError, match="it is full"):
        noise.corrupt(np.ones((4, 4), bool), "a", "speck")

    @register("nothing", draw=lambda own, allowed, draw: {})
    def nothing(own, allowed):
        return own.copy()

    noisy, done = noise.corrupt(disk(16, 4), "a", "nothing")
    assert done.note and (done.apply(disk(16, 4)) == noisy).all()
    for name in ("cut", "clean", "boundary", "mistakes", "My kind"):
        with pytest.raises(ValueError, match="argument `name`"):
            register(name, draw=draw)
    with pytest.raises(ValueError, match="argument `kinds`.*'speck'.*keras_robust.noises"):
        LabelNoise(1, 0.4, kinds=("spekk",))


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="argument `kind`.*Received: kind='blur'"):
        kind_named("blur")


def test_modules_of_ones_own_are_imported_for_names_that_are_not_known(tmp_path):
    (tmp_path / "own_noise.py").write_text(
        "from keras_robust.noise import register\n"
        "@register('untouched', draw=lambda own, allowed, draw: {})\n"
        "def untouched(own, allowed):\n    return own.copy()\n"
    )
    script = (
        "import sys; from keras_robust.noise import Corruption, LabelNoise\n"
        "LabelNoise(1, 0.5); assert 'own_noise' not in sys.modules\n"
        "print(LabelNoise(1, 0.5, kinds=('untouched',)).kinds)"
    )
    environment = {"KERAS_ROBUST_IMPORT": "own_noise", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "('untouched',)", done.stderr
