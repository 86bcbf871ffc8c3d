import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.annotators import annotator_name, simulate_dataset
from keras_robust.cli import app
from keras_robust.common.files import locked
from keras_robust.data import Dataset, Part, read_mask, sample_path, verify
from keras_robust.noise import MODES, BoundaryNoise, LabelNoise, mean_dice_per_label, read_log

NOISE = LabelNoise(alpha=0.7, beta=0.7, seed=0)
NAME = "noisy-a0.7-b0.7-s0"
BOUNDARY = BoundaryNoise(mean_dice=0.85, seed=3)


class Killed(BaseException):
    pass


def noisy_ids(folder):
    return {line.id for line in read_log(folder / "noise.jsonl") if line.kind != "clean"}


def test_writes_a_new_annotator_and_touches_nothing_else(build, contents):
    root = build.manifest()
    before = contents(root)
    folder = simulate_dataset(root, NOISE)
    after = contents(root)
    assert folder == root / "masks" / NAME
    assert after.pop("manifest.csv").startswith(before.pop("manifest.csv"))
    new = {name for name in after if name not in before}
    assert {name: after[name] for name in before} == before
    assert all(name.startswith(f"masks/{NAME}/") for name in new)
    assert verify(root).ok


def test_corrupts_the_fraction_of_the_training_masks_alone(build):
    root = build.manifest()
    folder = simulate_dataset(root, NOISE)
    dataset = Dataset.open(root)
    noisy, clean = (dataset.select(annotator=name) for name in (NAME, "isic_gt"))
    assert noisy.splits == ("train",) and len(noisy) == 6
    assert len(noisy_ids(folder)) == int(0.7 * 6)
    for line in read_log(folder / "noise.jsonl"):
        original = clean.read_mask(clean.select(ids=[line.id]).cases[0])
        written = noisy.read_mask(noisy.select(ids=[line.id]).cases[0])
        np.testing.assert_array_equal(written, line.apply(original))
        assert (written != original).any() == (line.kind != "clean")


def test_parts_are_the_whole_whoever_ends_last(build, contents):
    root = build.manifest("whole")
    simulate_dataset(root, NOISE)
    expected = contents(root)
    for order in ((2, 1, 3), (1, 3), (1, "whole")):
        other = build.manifest(f"parts{order}")
        for number in order:
            assert Dataset.open(other).annotators == ("isic_gt",)
            part = Part(number, 3) if number != "whole" else Part()
            folder = simulate_dataset(other, NOISE, part=part)
        if order == (1, 3):
            assert verify(other).ok and not (folder / "noise.jsonl").exists()
            with pytest.raises(FileExistsError, match="beta"):
                simulate_dataset(other, LabelNoise(0.7, 0.5), NAME, part=Part(2, 3))
        else:
            found = {name: text for name, text in contents(other).items() if ".lock-" not in name}
            assert found == expected


@pytest.mark.parametrize("mode", ["unbiased", "reference", "boundary", "mistakes"])
def test_result_does_not_depend_on_workers_or_interruptions(build, contents, mode):
    noise = LabelNoise(alpha=0.9, beta=0.5, seed=3, mode=mode) if mode in MODES else BOUNDARY
    if mode == "mistakes":
        noise = LabelNoise(alpha=0.9, beta=0.5, seed=3, kinds=("other_case", "slices_missing"))
    root = build.manifest("whole")
    simulate_dataset(root, noise)
    expected = contents(root)
    other = build.manifest("parallel")
    simulate_dataset(other, noise, workers=2)
    assert contents(other) == expected
    for stop in range(7):
        other = build.manifest(f"stopped{stop}")

        def progress(done, total, stop=stop):
            if done == stop:
                raise Killed

        with pytest.raises(Killed):
            simulate_dataset(other, noise, progress=progress)
        assert verify(other).ok and Dataset.open(other).annotators == ("isic_gt",)
        calls = []
        simulate_dataset(other, noise, progress=lambda *call, calls=calls: calls.append(call))
        assert calls[0] == (stop, 6) and calls[-1] == (6, 6)
        assert contents(other) == expected


def test_mistakes_are_replayed_and_named(build):
    root = build.manifest()
    folder = simulate_dataset(root, LabelNoise(alpha=1, beta=0.4, kinds=("mistakes",)))
    assert folder.name == "noisy-a1-b0.4-s0-mistakes"
    dataset = Dataset.open(root)
    noisy, clean = (dataset.select(annotator=name) for name in (folder.name, "isic_gt"))
    ids = dataset.select(annotator="isic_gt", split="train").ids
    masks = [clean.read_mask(clean.select(ids=[id]).cases[0]) for id in ids]
    expected, log = LabelNoise(1, 0.4, kinds=("mistakes",)).apply(masks, ids)
    assert read_log(folder / "noise.jsonl") == log
    for id, mask, want, line in zip(ids, masks, expected, log, strict=True):
        written = noisy.read_mask(noisy.select(ids=[id]).cases[0])
        np.testing.assert_array_equal(written, want)
        np.testing.assert_array_equal(line.apply(mask), want)


def test_kinds_that_no_mask_can_have_write_nothing(build, contents):
    root = build.manifest()
    before = contents(root)
    result = CliRunner().invoke(
        app, ["simulate", str(root), "--alpha", "1", "--beta", "0.4", "--kinds", "slices_missing"]
    )
    assert result.exit_code == 2 and "made in volumes" in result.output
    assert contents(root) == before
    for many in (("cut", "hole"), ("cut", "hole", "leak", "brush", "mirror", "rotate")):
        name = annotator_name(LabelNoise(1, 0.4, kinds=many))
        assert ("cut-hole" in name) == (len(many) == 2) and len(name) < 60


def test_killed_processes_leave_what_the_next_one_continues(build, contents, tmp_path):
    noise = LabelNoise(alpha=1, beta=0.7)
    root = build.manifest("whole")
    simulate_dataset(root, noise)
    other = build.manifest("killed")
    program = (
        "import sys, time; from keras_robust.annotators import simulate_dataset\n"
        "from keras_robust.noise import LabelNoise\n"
        "def slow(done, total): print(done, flush=True); time.sleep(0.05)\n"
        "if __name__ == '__main__': simulate_dataset(sys.argv[1], LabelNoise(1, 0.7), "
        "progress=slow, workers=int(sys.argv[2]))"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    reached = []
    for workers in ("1", "2"):
        process = subprocess.Popen(
            [sys.executable, str(script), str(other), workers], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3):
            line = process.stdout.readline()
        reached.append(int(line))
        process.kill()
        process.communicate()
    time.sleep(0.5)  # for its workers to notice
    assert reached[0] == 2 and reached[1] >= 4
    simulate_dataset(other, noise)
    assert contents(other) == contents(root)


def test_what_a_kill_leaves_beside_goes(build, contents):
    root = build.manifest("whole")
    simulate_dataset(root, NOISE)
    other = build.manifest("killed")
    folder = other / "masks" / NAME
    folder.mkdir()
    for path in (other / ".manifest.csv.0123456789ab.tmp", folder / ".x.png.0123456789ab.tmp"):
        path.write_bytes(b"half")
    simulate_dataset(other, NOISE)
    assert contents(other) == contents(root)


def test_a_kill_at_any_byte_of_the_journal(build, contents):
    root = build.manifest()
    folder = simulate_dataset(root, NOISE)
    expected = contents(root)
    journal = folder / "simulation.jsonl"
    whole = journal.read_bytes()
    header = whole.index(b"\n") + 1
    for length in range(header, len(whole), 211):
        journal.write_bytes(whole[:length])
        (folder / "noise.jsonl").unlink()
        simulate_dataset(root, NOISE)
        assert contents(root) == expected


def test_damaged_masks_are_written_again_and_whole_ones_kept(build, contents):
    root = build.manifest()
    folder = simulate_dataset(root, NOISE)
    expected = contents(root)
    masks = sorted(folder.glob("*.png"))
    masks[0].write_bytes(masks[0].read_bytes()[:40])
    masks[1].unlink()
    times = {mask: mask.stat().st_mtime_ns for mask in masks[2:]}
    simulate_dataset(root, NOISE)
    assert contents(root) == expected
    assert times == {mask: mask.stat().st_mtime_ns for mask in masks[2:]}


def test_several_noises_are_nested_and_live_side_by_side(build):
    root = build.manifest()
    few = simulate_dataset(root, LabelNoise(alpha=0.4, beta=0.7))
    many = simulate_dataset(root, NOISE)
    assert noisy_ids(few) < noisy_ids(many)
    assert Dataset.open(root).annotators == ("isic_gt", "noisy-a0.4-b0.7-s0", NAME)


@pytest.mark.parametrize("layout", ["isic2017", "shenzhen", "nnunet"])
def test_other_layouts_get_a_manifest_that_refers_to_them(build, contents, layout):
    root = getattr(build, layout)()
    before = contents(root)
    with pytest.raises(ValueError, match=r"`output`.*has no manifest.csv.*--output DIR"):
        simulate_dataset(root, NOISE)
    output = build.root / "out" / "noisy"
    simulate_dataset(root, NOISE, output=output)
    simulate_dataset(root, LabelNoise(alpha=0.3, beta=0.7), output=output)
    assert contents(root) == before
    original, dataset = Dataset.open(root), Dataset.open(output)
    assert dataset.classes == original.classes and dataset.name == original.name
    assert len(dataset.annotators) == 3
    for case in original:
        annotator = case.annotator or None
        seen = dataset.select(ids=[case.id], annotator=annotator).cases[0]
        assert seen.split == case.split and dict(seen.extra).items() >= dict(case.extra).items()
        np.testing.assert_array_equal(dataset.read_image(seen), original.read_image(case))
        if case.mask:
            np.testing.assert_array_equal(dataset.read_mask(seen), original.read_mask(case))
    assert verify(output).ok
    assert all(
        not line.startswith("/") for line in (output / "manifest.csv").read_text().split(",")
    )


def test_a_view_moves_together_with_its_source(build, tmp_path):
    root = build.isic2017()
    simulate_dataset(root, NOISE, output=tmp_path / "noisy")
    (tmp_path / "moved").mkdir()
    for name in ("isic", "noisy"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert verify(tmp_path / "moved" / "noisy").ok
    (tmp_path / "moved" / "isic").rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"source '../isic' is not there"):
        Dataset.open(tmp_path / "moved" / "noisy")


def test_views_of_views_and_linked_folders(build, tmp_path):
    root = build.manifest()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    simulate_dataset(root, NOISE, output=tmp_path / "link" / "first")
    noise = LabelNoise(alpha=0.5, beta=0.5)
    simulate_dataset(tmp_path / "link" / "first", noise, output=tmp_path / "second")
    assert verify(tmp_path / "link" / "first").ok
    assert verify(tmp_path / "second").ok and len(Dataset.open(tmp_path / "second").annotators) == 3


def test_an_ignored_region_stays(build):
    root = build.nnunet()
    build.write_json(
        root, channel_names={"0": "R", "1": "G", "2": "B"}, labels={"b": 0, "a": 1, "ignore": 2}
    )
    output = build.root / "noisy"
    simulate_dataset(root, LabelNoise(alpha=1, beta=0.7), output=output)
    dataset = Dataset.open(output)
    assert dataset.ignore_label == 2
    for id in dataset.select(split="train").ids:
        clean, noisy = (dataset.read_mask(c) for c in dataset.select(ids=[id]))
        np.testing.assert_array_equal(clean == 2, noisy == 2)


def test_empty_and_full_masks_are_kept_and_logged(build):
    root = build.manifest()
    for index, value in ((0, 0), (1, 255)):
        Image.new("L", (256, 256), value).save(root / "masks" / f"{build.cases[index].id}.png")
    folder = simulate_dataset(root, LabelNoise(alpha=1, beta=0.7))
    log = {line.id: line for line in read_log(folder / "noise.jsonl")}
    assert log[build.cases[0].id].note
    assert not read_mask(folder / f"{build.cases[0].id}.png").any()
    assert read_mask(folder / f"{build.cases[1].id}.png").any()


def test_datasets_without_splits_are_corrupted_as_a_whole(build):
    root = build.manifest(change=lambda row: {**row, "split": ""})
    folder = simulate_dataset(root, LabelNoise(alpha=1, beta=0.7))
    assert len(noisy_ids(folder)) == 8


def test_manifests_of_other_programs_keep_their_style(build):
    root = build.manifest(columns=["group", "comment"])
    path = root / "manifest.csv"
    content = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").rstrip()
    path.write_bytes(content)
    simulate_dataset(root, NOISE)
    written = path.read_bytes()
    assert written.startswith(content + b"\r\n") and written.count(b"\n") == written.count(b"\r\n")
    assert len(Dataset.open(root)) == 14


def test_refuses_to_overwrite(build, contents):
    root = build.manifest()
    folder = simulate_dataset(root, NOISE)
    before = contents(root)
    for noise, message in (
        (LabelNoise(alpha=0.7, beta=0.7, seed=1), r"'seed': 0.*there.*'seed': 1.*now.*--annotator"),
        (LabelNoise(alpha=0.7, beta=0.7, mode="reference"), r"reference"),
    ):
        with pytest.raises(FileExistsError, match=message):
            simulate_dataset(root, noise, annotator=NAME)
    with pytest.raises(ValueError, match="other than the source"):
        simulate_dataset(root, NOISE, annotator="isic_gt")
    with pytest.raises(FileExistsError, match="from elsewhere"):
        simulate_dataset(root, NOISE, source=NAME, annotator="isic_gt")
    (root / "masks" / "mine").mkdir()
    (root / "masks" / "mine" / "a.png").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="from elsewhere"):
        simulate_dataset(root, NOISE, annotator="mine")
    with locked(folder / ".lock"), pytest.raises(BlockingIOError, match="Another process"):
        simulate_dataset(root, NOISE)
    (root / "masks" / "mine" / "a.png").unlink()
    assert contents(root) == before


def test_changed_ids_are_other_parameters(build):
    root = build.manifest()
    simulate_dataset(root, NOISE)
    path = root / "manifest.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if build.cases[0].id not in line) + "\n")
    with pytest.raises(FileExistsError, match=r"ids_sha256.*masks: 6 there, 5 now"):
        simulate_dataset(root, NOISE)


def test_names_never_become_paths_outside(build, tmp_path):
    root = build.manifest()
    for name in ("../x", "a/b", "..", "", "C:x"):
        with pytest.raises(ValueError, match="`annotator`"):
            simulate_dataset(root, NOISE, annotator=name)
    (tmp_path / "outside").mkdir()
    (root / "masks" / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError, match="Remove the link"):
        simulate_dataset(root, NOISE, annotator="linked")
    assert not list((tmp_path / "outside").iterdir())


def test_ids_that_differ_by_case_alone(build):
    ids = [case.id for case in build.cases]
    root = build.manifest(
        change=lambda row: (
            {**row, "id": "a" if row["id"] == ids[0] else "A"} if row["id"] in ids[:2] else row
        )
    )
    with pytest.raises(ValueError, match="'A' and 'a', which differ by case alone"):
        simulate_dataset(root, NOISE)


def test_unclear_or_unknown_choices(build):
    root = build.manifest()
    with pytest.raises(ValueError, match=r"`split`.*test, train.*'training'"):
        simulate_dataset(root, NOISE, split="training")
    with pytest.raises(ValueError, match=r"`annotator`.*'isic_gt'.*'nobody'"):
        simulate_dataset(root, NOISE, source="nobody")
    with pytest.raises(ValueError, match="`workers`"):
        simulate_dataset(root, NOISE, workers=0)
    with open(root / "manifest.csv", "a") as file:
        id = build.cases[0].id
        file.write(f"{id},images/{id}.jpg,masks/{id}.png,second,train\n")
    with pytest.raises(ValueError, match=r"`source`.*2: isic_gt, second.*--annotator"):
        simulate_dataset(root, NOISE)
    assert len(noisy_ids(simulate_dataset(root, LabelNoise(alpha=1, beta=0.7), source="second")))


def test_read_only_folders_need_an_output(build, contents, monkeypatch):
    root = build.manifest()
    before = contents(root)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(root)))
    with pytest.raises(PermissionError, match=r"read-only.*--output DIR"):
        simulate_dataset(root, NOISE)
    simulate_dataset(root, NOISE, output=build.root / "out")
    assert contents(root) == before


def test_outputs_that_hold_something_else(build, tmp_path):
    root = build.manifest()
    with pytest.raises(ValueError, match="outside the dataset's"):
        simulate_dataset(root, NOISE, output=root / "noisy")
    other = build.manifest("other")
    with pytest.raises(FileExistsError, match="another one"):
        simulate_dataset(root, NOISE, output=other)


def test_unreadable_masks_are_named_and_the_rest_is_kept(build):
    root = build.manifest()
    mask = root / "masks" / f"{build.cases[3].id}.png"
    content = mask.read_bytes()
    mask.write_bytes(content[:100])
    with pytest.raises(ValueError, match=rf"{build.cases[3].id}.*truncated"):
        simulate_dataset(root, NOISE)
    mask.write_bytes(content)
    calls = []
    simulate_dataset(root, NOISE, progress=lambda *call: calls.append(call))
    assert calls[0] == (3, 6)


def test_command(build, contents):
    root, run = build.manifest(), CliRunner()
    arguments = ["simulate", str(root), "--alpha", ".7", "--beta", ".7", "--seed", "0"]
    result = run.invoke(app, arguments)
    assert result.exit_code == 0 and f"Annotator {NAME}: 4 of 6 masks are noisy" in result.output
    before = contents(root)
    assert run.invoke(app, arguments).exit_code == 0 and contents(root) == before
    result = run.invoke(app, [*arguments, "--kinds", "erode", "--name", NAME])
    assert result.exit_code == 2 and "Choose another name" in result.output
    result = run.invoke(
        app,
        [*arguments, "--kinds", "erode,dilate", "--name", "mine", "--annotator", "isic_gt"],
    )
    assert result.exit_code == 0
    log = read_log(root / "masks" / "mine" / "noise.jsonl")
    assert {line.kind for line in log} <= {"clean", "erode", "dilate"}
    result = run.invoke(app, [*arguments[:-1], "0", "--alpha", "2"])
    assert result.exit_code == 2 and "0 <= alpha <= 1" in result.output
    result = run.invoke(app, [*arguments, "--output", str(build.root / "out"), "--workers", "2",
                              "--annotator", "isic_gt", "--mode", "reference"])  # fmt: skip
    assert result.exit_code == 0 and f"{NAME}-reference" in result.output


def test_ctrl_c_ends_with_a_word_and_can_be_continued(build):
    root = build.manifest()
    # On a busy machine a signal may come when all is done: then it is sent again, to a new run.
    for attempt in range(5):
        output = root.parent / f"out{attempt}"
        command = [sys.executable, "-m", "keras_robust.cli", "simulate", str(sample_path()),
                   "--alpha", "1", "--beta", ".7", "--output", str(output)]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        journal = output / "masks" / "noisy-a1-b0.7-s0" / "simulation.jsonl"
        while not journal.exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
        if process.returncode == 130:
            break
    assert process.returncode == 130 and "again continues" in error and "Traceback" not in error
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert len(read_log(journal.parent / "noise.jsonl")) == 80


def test_boundary_noise_reaches_the_mean_dice_and_says_so(build):
    root = build.manifest()
    arguments = ["simulate", str(root), "--mean-dice", "0.9", "--seed", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    log = read_log(root / "masks/noisy-d0.9-s3/noise.jsonl")
    reached = mean_dice_per_label(log)["1"]
    assert len(log) == 6 and reached == pytest.approx(0.9, abs=0.01)
    assert f"class 1: {reached:.4f}" in result.output
    again = CliRunner().invoke(app, [*arguments, "--alpha", "0.5"])
    assert again.exit_code == 2 and "--mean-dice alone" in again.output
