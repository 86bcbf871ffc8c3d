import numpy as np
import pytest

from keras_robust.noise import Corruption, LabelNoise, dilate, erode, read_log, write_log

from .strategies import disk


def test_log_replays_every_mask_to_the_byte(tmp_path):
    masks = [disk(64, radius) for radius in range(5, 25)]
    for mask in masks[::3]:
        mask[:8, :8] = 3  # label maps as well
    for mode in ("unbiased", "reference"):
        noise = LabelNoise(0.9, 0.7, seed=1, mode=mode)
        noisy, log = noise.apply(masks, [f"Ünïcode {n}" for n in range(20)])
        write_log(tmp_path / "noise.jsonl", log)
        assert len((tmp_path / "noise.jsonl").read_text("utf-8").splitlines()) == 20
        again = read_log(tmp_path / "noise.jsonl")
        assert again == log
        for mask, expected, done in zip(masks, noisy, again, strict=True):
            assert done.apply(mask).tobytes() == expected.tobytes()


def test_parameters_say_what_was_done():
    mask = disk(64, 15)
    grown, done = LabelNoise(1, 0.7).corrupt(mask, "a", "dilate")
    np.testing.assert_array_equal(grown, dilate(mask, 0.7))
    # 716 voxels; 5 iterations give 1196, 6 give 1304; the target is 716 + int(501.2) = 1217
    assert done.parameters == {"1": {"iterations": 5}} and done.note == ""
    assert done.reached == (int(grown.sum()) - int(mask.sum())) / mask.sum()
    shrunk, done = LabelNoise(1, 0.7).corrupt(mask, "a", "erode")
    np.testing.assert_array_equal(shrunk, erode(mask, 0.7))
    assert done.reached == (int(mask.sum()) - int(shrunk.sum())) / mask.sum()


def test_clean_is_a_copy():
    mask = disk(16, 4)
    copy, done = LabelNoise(0, 0.7).corrupt(mask, "a", "clean")
    assert done == Corruption("a", "clean", {}, 0.0, 0.0, 1.0, "")
    assert not np.shares_memory(copy, mask) and (copy == mask).all()
    assert not np.shares_memory(done.apply(mask), mask)


def test_replay_on_another_mask_is_an_error():
    _, done = LabelNoise(1, 0.7).corrupt(disk(32, 8), "a", "erode")
    with pytest.raises(ValueError, match=r"clean mask of 'a', with labels \['1'\].*\['2'\]"):
        done.apply(disk(32, 8) * 2)


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', '{"id": "a", "kind": "clean", "x": 1}', "[]"])
def test_a_broken_log_names_the_line(tmp_path, line):
    path = tmp_path / "noise.jsonl"
    write_log(path, [Corruption("a", "clean")])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match="line 2 is no entry of a log"):
        read_log(path)
