import json
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.noise import KINDS, MODES, LabelNoise

from .strategies import binary_masks, disk, label_maps

modes = pytest.mark.parametrize("mode", MODES)
IDS = [f"case{number:03d}" for number in range(100)]


@modes
@settings(deadline=None, max_examples=30)
@given(alpha=st.floats(0, 1), seed=st.integers(0, 2**40), count=st.integers(0, 60))
def test_fraction_is_exact_and_order_is_free(mode, alpha, seed, count):
    noise = LabelNoise(alpha, 0.7, seed=seed, mode=mode)
    ids = IDS[:count]
    plan = noise.plan(ids)
    assert list(plan) == ids
    assert sum(kind != "clean" for kind in plan.values()) == int(count * alpha)
    shuffled = random.Random(1).sample(ids, count)
    assert noise.plan(shuffled) == plan


@modes
def test_noisy_masks_are_nested_across_alpha(mode):
    def noisy(alpha):
        plan = LabelNoise(alpha, 0.7, seed=2, mode=mode).plan(IDS)
        return {id for id, kind in plan.items() if kind != "clean"}

    assert noisy(0.3) < noisy(0.5) < noisy(0.7) < noisy(1.0) == set(IDS)


def test_kind_depends_on_seed_and_id_only():
    everything = LabelNoise(1.0, 0.7, seed=5).plan(IDS)
    for alpha, beta, ids in ((0.3, 0.7, IDS), (0.7, 0.5, IDS), (1.0, 0.7, IDS[10:40])):
        for id, kind in LabelNoise(alpha, beta, seed=5).plan(ids).items():
            assert kind in ("clean", everything[id])
    assert LabelNoise(1.0, 0.7, seed=6).plan(IDS) != everything


@modes
def test_kinds_are_drawn_evenly(mode):
    ids = [str(number) for number in range(3000)]
    plan = list(LabelNoise(1.0, 0.7, mode=mode).plan(ids).values())
    for kind in KINDS:
        assert plan.count(kind) == pytest.approx(1000, abs=110)  # sd = sqrt(3000 * 2/9) = 26
    assert set(LabelNoise(1.0, 0.7, mode=mode, kinds=("erode",)).plan(ids).values()) == {"erode"}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(
    mask=binary_masks() | label_maps(),
    beta=st.floats(0, 2.5) | st.just(0.7),
    seed=st.integers(0, 99),
)
def test_replay_and_bookkeeping(kind, mask, beta, seed):
    before = mask.copy()
    noise = LabelNoise(1.0, beta, seed=seed)
    noisy, done = noise.corrupt(mask, "some id", kind)
    np.testing.assert_array_equal(mask, before)
    assert noisy.dtype == mask.dtype and noisy.shape == mask.shape
    assert set(np.unique(noisy)) == set(np.unique(noisy)) | set(np.unique(mask)) - {0}
    replayed = type(done).from_json(done.to_json()).apply(mask)
    assert replayed.tobytes() == noisy.tobytes() and replayed.dtype == noisy.dtype
    assert done.kind == kind and done.asked == beta and 0 <= done.dice <= 1
    labels = sorted(set(np.unique(mask)) - {0})
    same = [(mask == label).tobytes() == (noisy == label).tobytes() for label in labels]
    assert bool(done.note) == (not labels or any(same))
    if labels:
        areas = [(mask == label).sum() for label in labels]
        xors = [((mask == label) ^ (noisy == label)).sum() for label in labels]
        assert done.reached == pytest.approx(sum(xors) / sum(areas))
        dices = [
            2 * ((mask == label) & (noisy == label)).sum() / ((noisy == label).sum() + area)
            for label, area in zip(labels, areas, strict=True)
        ]
        assert done.dice == pytest.approx(np.mean(dices))


@modes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mask", "note"),
    [
        (np.zeros((16, 16), np.uint8), "unchanged: the mask is empty"),
        (np.zeros((0, 16), np.uint8), "unchanged: the mask is empty"),
        (np.eye(1, 16, 3, dtype=bool).repeat(1, axis=0), None),
        (np.ones((16, 16), np.uint8), None),
        (np.triu(np.ones((16, 16), bool)), None),
        (disk(16, 1), None),
    ],
    ids=["empty", "no voxels", "one voxel", "full", "half", "tiny"],
)
def test_hard_masks_never_raise_and_never_vanish(mode, kind, mask, note):
    noisy, done = LabelNoise(1.0, 0.7, mode=mode).corrupt(mask, "a", kind)
    assert noisy.any() == mask.any() and noisy.dtype == mask.dtype
    assert bool(done.note) == ((noisy == mask).all())
    if note is not None:
        assert done.note == note and done.reached == 0 and done.dice == 1
    assert (done.apply(mask) == noisy).all()


def test_full_mask_cannot_be_dilated():
    mask = np.ones((8, 8), np.uint8)
    noisy, done = LabelNoise(1.0, 0.7).corrupt(mask, "a", "dilate")
    assert (noisy == mask).all() and done.note.startswith("unchanged: no dilate comes nearer")


def test_note_names_the_structures_left_alone():
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20], mask[30, 30] = 1, 2
    _, done = LabelNoise(1.0, 0.7).corrupt(mask, "a", "erode")
    assert done.note.startswith("unchanged (labels 2): ")


@modes
@pytest.mark.parametrize("kind", KINDS)
def test_same_noise_however_the_foreground_is_stored(mode, kind):
    noise, mask = LabelNoise(1.0, 0.7, mode=mode), disk(48, 10)
    expected = noise.corrupt(mask, "a", kind)[0]
    for stored in (mask > 0, mask * 255, mask.astype(np.int64)):
        assert ((noise.corrupt(stored, "a", kind)[0] > 0) == expected).all()


def test_numpy_seed_is_a_seed():
    assert LabelNoise(0.7, 0.7, seed=np.int64(3)) == LabelNoise(0.7, 0.7, seed=3)
    assert type(LabelNoise(0.7, 0.7, seed=np.int64(3)).seed) is int


def test_apply_keeps_order_type_and_input_and_reports_progress():
    masks = np.stack([disk(48, radius) for radius in (6, 9, 12, 15)])
    before, seen = masks.copy(), []
    noise = LabelNoise(0.5, 0.7, seed=1)
    noisy, log = noise.apply(masks, ["d", "b", "c", "a"], progress=lambda *n: seen.append(n))
    assert isinstance(noisy, np.ndarray) and noisy.dtype == masks.dtype
    np.testing.assert_array_equal(masks, before)
    assert [done.id for done in log] == ["d", "b", "c", "a"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for mask, got, done in zip(masks, noisy, log, strict=True):
        assert (mask is not got) and (done.kind == "clean") == (mask == got).all()
    ragged, _ = noise.apply([disk(20, 5), disk(30, 5)], ["a", "b"])
    assert isinstance(ragged, list) and ragged[1].shape == (30, 30)
    assert noise.apply([], []) == ([], [])


def corrupt_one(arguments):
    noise, id, kind = arguments
    noisy, done = noise.corrupt(disk(64, 10 + int(id[-1])), id, kind)
    return noisy.tobytes(), done.to_json()


@modes
def test_same_result_for_any_number_of_workers(mode):
    noise = LabelNoise(0.7, 0.7, seed=4, mode=mode)
    tasks = [(noise, id, kind) for id, kind in noise.plan(IDS[:20]).items()]
    alone = [corrupt_one(task) for task in tasks]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(corrupt_one, reversed(tasks))) == alone[::-1]


def test_same_result_in_another_process_and_without_keras():
    script = """
import hashlib, json, sys
import numpy as np
from keras_robust.noise import LabelNoise
y, x = np.mgrid[:64, :64]
masks = [((y - 30) ** 2 + (x - 25) ** 2 <= r * r).astype(np.uint8) for r in range(5, 25)]
noisy, log = LabelNoise(0.9, 0.7, seed=8).apply(masks, [str(r) for r in range(20)])
assert not {"keras", "tensorflow", "skimage"} & set(sys.modules)
digest = hashlib.sha256(b"".join(m.tobytes() for m in noisy))
print(json.dumps([digest.hexdigest(), [done.to_json() for done in log]]))
"""
    outputs = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed},
        )
        outputs.append(json.loads(done.stdout))
    assert outputs[0] == outputs[1]


def test_global_random_state_is_left_alone():
    random.seed(0)
    state, numpy_state = random.getstate(), np.random.get_state()[1].copy()
    for mode in MODES:
        LabelNoise(0.9, 0.7, mode=mode).apply([disk(32, 8)] * 10, IDS[:10])
    assert random.getstate() == state
    assert (np.random.get_state()[1] == numpy_state).all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"alpha": 1.1}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"beta": -1}, "beta"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("dilate", "dilate")}, "kinds"),
        ({"kinds": ("blur",)}, "kinds"),
        ({"mode": "fair"}, "mode"),
        ({"max_angle": 181}, "max_angle"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=f"argument `{name}`.*Received: {name}="):
        LabelNoise(**{"alpha": 0.7, "beta": 0.7} | arguments)


def test_errors_of_calls():
    noise, mask = LabelNoise(0.7, 0.7), disk(16, 4)
    with pytest.raises(ValueError, match=r"argument `ids`.*Received: \['a'\] more than once"):
        noise.plan(["a", "b", "a"])
    with pytest.raises(ValueError, match="2 ids for 1 masks"):
        noise.apply([mask], ["a", "b"])
    with pytest.raises(ValueError, match="argument `kind`.*Received: kind='blur'"):
        noise.corrupt(mask, "a", "blur")
