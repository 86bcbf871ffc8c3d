"""What each operator does to tiny masks, by hand."""

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, label

from keras_robust.noise import Kind, LabelNoise, NotHere, kind_named, mistakes
from keras_robust.noise.mistakes.amounts import nearest_step, nearest_voxels

from ..strategies import disk


def drawn(text, dtype=np.uint8):
    return np.array([[int(c) for c in line] for line in text.split()], dtype)


def made(kind, mask, beta, seed=0, id="a"):
    return LabelNoise(1, beta, seed=seed).corrupt(mask, id, kind)


def test_a_cut_takes_one_side_of_a_plane():
    block = np.ones((3, 4), bool)
    right = mistakes.cut_object(block, None, (0.0, 1.0), 6)  # two columns of three
    np.testing.assert_array_equal(right, drawn("1100 1100 1100", bool))
    for seed in range(5):
        whole = np.ones((20, 20), bool)
        cut, done = made("cut", whole, 0.25, seed)
        direction = np.array(done.parameters["1"]["direction"])
        towards = (np.argwhere(cut) @ direction).max(), (np.argwhere(~cut) @ direction).min()
        assert np.count_nonzero(cut) == 300 and towards[0] <= towards[1] + 1e-9


def test_a_cut_leaves_a_voxel():
    assert np.count_nonzero(made("cut", disk(16, 4), 5.0)[0]) == 1
    with pytest.raises(ValueError, match="two voxels or more"):
        made("cut", np.eye(1, 5, 2, dtype=bool), 0.5)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("beta", [0.2, 5.0])
def test_a_hole_is_closed(rank, beta):
    ball = (np.indices((21,) * rank) - 10.0).__pow__(2).sum(0) <= 64
    noisy, done = made("hole", ball, beta)
    np.testing.assert_array_equal(binary_fill_holes(noisy), ball)
    lost = int(np.count_nonzero(ball) * beta)
    if beta < 1:
        assert np.count_nonzero(noisy) == np.count_nonzero(ball) - lost
        assert label(ball & ~noisy)[1] == 1
    else:  # all that is inside: a rim is left, and the log says how much
        assert done.reached < 1 and noisy.any()
    with pytest.raises(ValueError, match="three voxels wide"):
        made("hole", np.ones((2, 9), bool), 0.5)


def test_a_leak_runs_out_on_one_side_into_background():
    mask = disk(48, 9, (24, 20))
    mask[:, 40:] = 2
    noisy, done = made("leak", mask, 0.5)
    gained = (noisy == 1) & (mask != 1)
    (leak,) = done.parameters["1"]["leaks"]
    assert (mask[gained] == 0).all() and ((noisy == 1) | (mask != 1)).all()
    assert gained.sum() == leak["voxels"] == int(0.5 * (mask == 1).sum())
    assert label(noisy == 1, np.ones((3, 3)))[1] == 1
    # On one side: the plane through the centroid has nearly all of it beyond.
    direction = np.array(leak["direction"])
    beyond = (np.argwhere(gained) - np.argwhere(mask == 1).mean(0)) @ direction > 0
    assert beyond.mean() > 0.95


def test_objects_are_removed_whole_and_one_is_left():
    mask = drawn("1101 1101 0000 0220 0001")
    # pieces of 1 over corners: the four on the left; the two on the right; one at the end, which
    # touches the 2 only.
    left = mistakes.object_missing(mask, [[1, 2], [2, 1]])
    np.testing.assert_array_equal(left, drawn("1100 1100 0000 0000 0001"))
    for beta in (0.0, 0.3, 9.0):
        noisy, done = made("object_missing", mask, beta)
        assert noisy.any() and 1 <= len(done.whole["objects"]) <= 3
        gone = (noisy == 0) & (mask != 0)
        for value in (1, 2):
            pieces, count = label(mask == value, np.ones((3, 3)))
            for piece in range(1, count + 1):
                assert gone[pieces == piece].all() or not gone[pieces == piece].any()
    # 2 of 9 is nearest to 0.2 of them: the two, or the pair on the right
    assert made("object_missing", mask, 0.2)[1].reached == pytest.approx(2 / 9)


@pytest.mark.parametrize("rank", [2, 3])
def test_an_added_object_touches_no_other(rank):
    mask = np.zeros((24,) * rank, np.uint8)
    mask[(slice(2, 8),) * rank], mask[(slice(14, 18),) * rank] = 1, 3
    noisy, done = made("object_added", mask, 0.3)
    assert (noisy[mask != 0] == mask[mask != 0]).all()
    before, after = (label(m != 0, np.ones((3,) * rank))[1] for m in (mask, noisy))
    assert (before, after) == (2, 2 + len(done.whole["objects"]))
    assert np.count_nonzero((mask == 0) & (noisy != 0)) == int(0.3 * np.count_nonzero(mask))
    with pytest.raises(ValueError, match="no room"):
        made("object_added", np.ones((6, 6), bool), 0.5)


def test_of_many_pieces_none_leaks_or_appears_larger_than_it_is():
    mask = np.zeros((120, 120), np.uint8)
    for row in range(8, 60, 16):
        for column in range(8, 120, 16):
            mask[row : row + 7, column : column + 7] = 1  # 28 squares of 49 pixels
    for kind in ("leak", "object_added"):
        noisy, done = made(kind, mask, 0.25)
        drawn = done.parameters["1"]["leaks"] if kind == "leak" else done.whole["objects"]
        assert len(drawn) >= 7 and max(one["voxels"] for one in drawn) <= 49
        assert done.reached == pytest.approx(0.25, abs=0.01)
        gained = label((noisy != 0) & (mask == 0), np.ones((3, 3)))[0]
        assert np.bincount(gained.ravel())[1:].max() < 150  # two may run into each other


def test_polygons_of_many_corners_are_the_structure_and_of_few_are_not():
    ring = (disk(64, 25) - disk(64, 10)).astype(bool)
    fine = mistakes.polygon_object(ring, None, 1, 0.0)
    assert (fine != ring).sum() < 0.03 * ring.sum()
    coarse = mistakes.polygon_object(ring, None, 40, 0.0)
    # Outline of radius 25 in four corners: of the square inside, 2 r² of pi r² are left.
    inside = binary_fill_holes(coarse).sum() / disk(64, 25).sum()
    assert inside == pytest.approx(2 / np.pi, abs=0.05) and not coarse[32, 32]
    volume = np.stack([ring, ring & False, disk(64, 12).astype(bool)])
    slices = [mistakes.polygon_object(one, None, 9, 0.3) for one in volume[[0, 2]]]
    redrawn = mistakes.polygon_object(volume, None, 9, 0.3)
    np.testing.assert_array_equal(redrawn[[0, 2]], slices)
    assert not redrawn[1].any()


def test_a_brush_loses_thin_parts_and_paints_over_the_rim():
    mask = disk(64, 16).astype(bool)
    mask[31:33, 50:] = True  # a thin stalk
    painted = mistakes.brush_object(mask, None, 6, [0.0, 0.0])
    assert not painted[:, 58:].any() and painted[32, 32]
    assert (painted & ~mask).any() and (mask & ~painted).any()
    huge = mistakes.brush_object(mask, None, 40, [0.0, 0.0])  # fits nowhere
    np.testing.assert_array_equal(huge, mask)


def test_mirrors_turns_and_grids():
    mask = drawn("1100 1000 0002")
    np.testing.assert_array_equal(mistakes.mirror(mask, 1), drawn("0011 0001 2000"))
    square = drawn("110 100 002")
    np.testing.assert_array_equal(mistakes.rotate(square, 1), drawn("002 100 110"))
    np.testing.assert_array_equal(mistakes.rotate(square, 2), square[::-1, ::-1])
    volume = np.stack([square, square * 0])
    np.testing.assert_array_equal(mistakes.rotate(volume, 1)[0], drawn("002 100 110"))
    np.testing.assert_array_equal(mistakes.grid(mask, (1, 0)), drawn("0000 1100 1000"))
    # Half a voxel to the right: a voxel is kept where its left neighbour has the label as well.
    np.testing.assert_array_equal(mistakes.grid(drawn("11100222"), (0, 0.5)), drawn("01100022"))
    with pytest.raises(ValueError, match="mirror image"):
        made("mirror", np.ones((4, 4), bool), 0.5)


def test_slices():
    volume = np.arange(1, 6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    first = volume[:, 0, 0].tolist  # the label says which slice it was

    def shown(result):
        assert all(len(np.unique(one)) == 1 for one in result)
        return result[:, 0, 0].tolist()

    assert first() == [1, 2, 3, 4, 5]
    assert shown(mistakes.slices_missing(volume, [1, 2])) == [1, 0, 0, 4, 5]
    assert shown(mistakes.slices_repeated(volume, [3, 4], 2)) == [1, 2, 3, 3, 3]
    assert shown(mistakes.neighbour_slice(volume, [0, 1, 4], 1)) == [2, 3, 3, 4, 0]
    moved = mistakes.slices_shifted(volume, {"1": [0, 1], "3": [-1, 0]})
    np.testing.assert_array_equal(moved[1], [[0, 2], [0, 2]])
    np.testing.assert_array_equal(moved[3], [[4, 4], [0, 0]])
    np.testing.assert_array_equal(moved[[0, 2, 4]], volume[[0, 2, 4]])


@pytest.mark.parametrize("seed", range(6))
def test_missing_slices_leave_one(seed):
    volume = np.zeros((9, 8, 8), np.uint8)
    volume[2:8, 2:6, 2:6] = 1
    noisy, done = made("slices_missing", volume, 9.0, seed)
    assert noisy.any(axis=(1, 2)).sum() == 1 and len(done.whole["slices"]) == 5
    noisy, done = made("slices_missing", volume, 0.35, seed)
    assert done.reached == pytest.approx(2 / 6)  # two of six slices are nearest


def test_classes():
    mask = drawn("1122 1120 0055")
    parts = {id: {} for id in "abcdefghijkl"}
    for id in parts:
        changed, done = made("class_changed", mask, 0.5, id=id)
        ((old, new),) = done.whole["labels"].items()
        assert not (changed == int(old)).any() and (changed[mask == int(old)] == new).all()
        swapped, done = made("class_swapped", mask, 0.5, id=id)
        one, other = done.whole["labels"].values()
        np.testing.assert_array_equal(swapped == one, mask == other)
        np.testing.assert_array_equal(swapped == other, mask == one)
        shifted, _ = made("labels_shifted", mask, 0.5, id=id)
        down, up = drawn("0011 0010 0022"), drawn("2255 2250 0011")
        assert (shifted == down).all() or (shifted == up).all()
        part, done = made("class_part", mask, 0.5, id=id)  # 2 of 9 voxels change twice each
        assert (part != mask).sum() == done.whole["voxels"] <= 2
        assert set(np.unique(part)) == {0, 1, 2, 5}
        parts[id] = done.whole["label"]
    assert len(set(parts.values())) == 3


def test_the_mask_of_another_case():
    masks = {id: disk(24 + number, 5 + number) for number, id in enumerate("abcdefgh")}
    noise = LabelNoise(1, 0.5, kinds=("other_case",))
    noisy, log = noise.apply(list(masks.values()), list(masks))
    sources = [done.whole["source"] for done in log]
    assert sorted(sources) == list(masks)  # each is taken once
    for id, got, done in zip(masks, noisy, log, strict=True):
        source = masks[done.whole["source"]]
        assert done.whole["source"] != id and got.shape == masks[id].shape
        grown = got.shape[0] / source.shape[0]
        assert np.count_nonzero(got) == pytest.approx(np.count_nonzero(source) * grown**2, rel=0.2)
    # One case more changes the source of one other at most.
    plan = {id: kind.source for id, kind in noise.plan([*masks, "i"]).items()}
    assert sum(plan[id] != source for id, source in zip(masks, sources, strict=True)) == 1
    # Without a mask that differs, the next kind is made.
    kind = Kind("other_case")
    kind.source, kind.others = "b", ("hole",)
    assert noise.corrupt(masks["a"], "a", kind, lambda: masks["a"])[1].kind == "hole"
    assert noise.corrupt(masks["a"], "a", kind, lambda: masks["a"] * 0)[1].kind == "hole"
    large = np.array([[0, 300], [70000, 0]])
    kind.others = ()
    got, done = noise.corrupt(large[::-1], "a", kind, lambda: large)
    np.testing.assert_array_equal(got, large)
    np.testing.assert_array_equal(done.apply(large[::-1]), large)


def test_every_step_is_tried_where_all_leave_nothing():
    assert nearest_step(2, 9, lambda _: None, 0.5) == 2
    assert nearest_step(1, 9, lambda number: number / 10, 5.0) == 9
    assert nearest_step(1, 9, lambda number: number / 10, 0.0) == 1


def test_nearest_voxels_reach_as_far_as_they_must():
    sparse = np.zeros((200, 200), bool)
    sparse[0, 0] = sparse[199, 199] = True
    found = nearest_voxels(sparse, (10, 10), 2)
    np.testing.assert_array_equal(found, sparse)
    assert nearest_voxels(sparse, (10, 10), 1)[0, 0]
    long = np.argwhere(nearest_voxels(np.ones((41, 41), bool), (20, 20), 101, (0.0, 1.0), 2.0))
    assert np.ptp(long[:, 1]) == pytest.approx(2 * np.ptp(long[:, 0]), abs=2)


def test_what_cannot_be_made_is_half_a_sentence():
    kind = kind_named("slices_missing")
    with pytest.raises(NotHere, match="^it is made in volumes, and this is an image$"):
        kind.draw(disk(8, 2), None)
