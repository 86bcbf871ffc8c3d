import nibabel
import numpy as np
import pytest

from keras_robust.annotators import simulate_dataset
from keras_robust.data import Dataset, read_mask, verify, write_mask_like
from keras_robust.noise import MISTAKES, LabelNoise, read_log
from tests.keras_robust.data.conftest import write_rows

AFFINE = np.array([[-0.9, 0.1, 0, 5], [0.1, 0.9, 0, 7], [0, 0, 2.5, -3], [0, 0, 0, 1]])


def balls(number):
    """Two balls of one size that do not touch: labels 1 and 2."""
    grid = np.indices((20, 34, 18))
    first = ((grid - np.reshape((9, 9, 8 + number % 2), (3, 1, 1, 1))) ** 2).sum(0) <= 36
    second = ((grid - np.reshape((10, 25, 9), (3, 1, 1, 1))) ** 2).sum(0) <= 36
    return (first + 2 * second).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    folder, rows = tmp_path / "volumes", []
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(6):
        names = f"images/v{number}.nii.gz", f"labels/v{number}.nii.gz"
        mask = balls(number)
        image = nibabel.Nifti1Image(mask * 50.0 + number, AFFINE)
        image.set_qform(AFFINE, 1)
        image.to_filename(folder / names[0])
        write_mask_like(folder / names[1], mask, folder / names[0])
        rows.append(dict(id=f"v{number}", image=names[0], mask=names[1], annotator="ann", split=""))
    write_rows(folder / "manifest.csv", rows)
    return folder


@pytest.mark.parametrize("kind", ["dilate", "erode", "affine"])
def test_every_class_is_changed_by_what_was_asked(folder, kind):
    masks = simulate_dataset(folder, LabelNoise(1, 0.5, kinds=(kind,)), "noisy")
    dataset = Dataset.open(folder)
    log = read_log(masks / "noise.jsonl")
    assert dataset.classes == 3 and len(log) == 6 and verify(folder).ok
    for entry in log:
        path = masks / f"{entry.id}.nii.gz"
        clean, noisy = balls(int(entry.id[1])), read_mask(path, classes=3)
        np.testing.assert_array_equal(entry.apply(clean), noisy)
        assert set(entry.parameters) == {"1", "2"}
        for label in (1, 2):
            own, changed = clean == label, noisy == label
            moved = (own != changed).sum() / own.sum()
            # The nearest step of a ball of radius 6 changes its volume by 40 % or so.
            assert 0.25 < moved < 0.75
            assert not (changed & (clean == 3 - label)).any()
            if kind != "affine":
                assert (changed & own).sum() == min(own.sum(), changed.sum())
        written, original = nibabel.load(path), nibabel.load(folder / "labels" / path.name)
        np.testing.assert_array_equal(written.affine, original.affine)
        assert written.header["qform_code"] == 1


def test_the_share_of_noisy_masks_and_a_continued_run(folder, contents):
    noise = LabelNoise(alpha=0.5, beta=0.5, seed=3)
    masks = simulate_dataset(folder, noise)
    assert sum(entry.kind != "clean" for entry in read_log(masks / "noise.jsonl")) == 3
    whole = contents(folder)
    (masks / "v2.nii.gz").unlink()
    (masks / "v3.nii.gz").write_bytes(b"half")
    simulate_dataset(folder, noise)
    assert contents(folder) == whole


def test_a_view_of_volumes_elsewhere(folder, tmp_path, contents):
    before = contents(folder)
    simulate_dataset(folder, LabelNoise(1, 0.5), "noisy", output=tmp_path / "view", workers=2)
    assert contents(folder) == before
    view = Dataset.open(tmp_path / "view")
    assert view.annotators == ("ann", "noisy") and view.classes == 3 and verify(view).ok


def test_mistakes_of_every_kind_in_volumes(folder):
    for kind in MISTAKES:
        masks = simulate_dataset(folder, LabelNoise(0.7, 0.3, seed=1, kinds=(kind,)), kind)
        (entry, *_) = [e for e in read_log(masks / "noise.jsonl") if e.reached > 0]
        assert entry.kind == kind and not entry.note
        noisy = read_mask(masks / f"{entry.id}.nii.gz", classes=3)
        np.testing.assert_array_equal(entry.apply(balls(int(entry.id[1]))), noisy)
    assert verify(folder).ok
