import json
import tracemalloc

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.common import large_arrays
from keras_robust.data import Dataset, sample
from keras_robust.data.layouts.manifest_writing import add_soft_annotator, write_view
from keras_robust.planning.fingerprint import Fingerprint, fingerprint


@pytest.fixture
def two_images(tmp_path):
    """A bright square in a black frame, and its mask; the second image is all bright."""
    folder = tmp_path / "squares"
    folder.mkdir()
    square = np.zeros((8, 10), np.uint8)
    square[2:6, 3:9] = 100
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 3:5] = 255
    for name, pixels in {"a": square, "b": np.full_like(square, 50)}.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}_mask.png")
    rows = [f"{name},{name}.png,{name}_mask.png,me,train,2x0.5" for name in "ab"]
    head = "id,image,mask,annotator,split,spacing"
    (folder / "manifest.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_figures_of_hand_drawn_images(two_images):
    found = fingerprint(Dataset.open(two_images))
    first, second = found.cases
    assert first.shape == second.shape == (8, 10)
    assert first.cropped_shape == (4, 6)  # rows 2 to 5, columns 3 to 8
    assert second.cropped_shape == (8, 10)
    assert first.cropped_share == 24 / 80
    assert first.class_voxels == (76, 4)
    assert first.spacing_mm == (2, 0.5)
    # Four voxels of 100 and four of 50.
    assert found.intensities[0].mean == 75
    assert found.intensities[0].std == 25
    assert (found.intensities[0].min, found.intensities[0].max) == (50, 100)


def test_a_case_of_few_voxels_counts_as_much(two_images):
    mask = np.zeros((8, 10), np.uint8)
    mask[0, 0] = 255  # one voxel of 50 beside four of 100
    Image.fromarray(mask).save(two_images / "b_mask.png")
    assert fingerprint(Dataset.open(two_images)).intensities[0].mean == 75


def test_the_same_by_any_number_of_workers_and_through_json():
    dataset = sample().select(ids=sample().ids[:6])
    one, many = fingerprint(dataset, workers=1), fingerprint(dataset, workers=4)
    assert one == many
    assert Fingerprint.model_validate_json(one.model_dump_json()) == one


def test_channel_names_come_from_dataset_json(two_images):
    (two_images / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}}))
    assert fingerprint(Dataset.open(two_images)).channel_names == ("CT",)


def test_channels_keep_their_names_in_views_also_in_those_written_without(two_images, tmp_path):
    meta = tmp_path / "view" / "dataset.json"
    for keys in ({}, {"channel_names": {"0": "CT"}}):
        (two_images / "dataset.json").write_text(json.dumps(keys))
        write_view(Dataset.open(two_images), tmp_path / "view")
        add_soft_annotator(tmp_path / "view", "me")
    assert fingerprint(Dataset.open(tmp_path / "view")).channel_names == ("CT",)
    assert json.loads(meta.read_bytes())["soft"] == ["me"]


def test_progress_counts_every_case(two_images):
    seen = []
    fingerprint(Dataset.open(two_images), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_mask_of_another_size_is_named(two_images):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(two_images / "b_mask.png")
    with pytest.raises(ValueError, match="case 'b'"):
        fingerprint(Dataset.open(two_images))


def test_several_annotators_must_be_chosen_from(two_images):
    with open(two_images / "manifest.csv", "a") as file:
        file.write("a,a.png,a_mask.png,other,train,2x0.5\n")
    with pytest.raises(ValueError, match="me, other"):
        fingerprint(Dataset.open(two_images))


def test_a_case_is_looked_at_in_little_more_memory_than_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 2**16)
    mask = np.zeros((100, 128, 128), np.uint8)
    mask[:4] = 1
    for name, array in {"image": mask + np.uint8(1), "mask": mask}.items():
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{name}.nii")
    (tmp_path / "manifest.csv").write_text(
        "id,image,mask,annotator,split\na,image.nii,mask.nii,expert,train\n"
    )
    dataset = Dataset.open(tmp_path)
    tracemalloc.start()
    (case,) = fingerprint(dataset, workers=1).cases
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert case.class_voxels == (96 * 128**2, 4 * 128**2)
    # The image in float32, twice while its channels are joined, the mask, and where it is not 0.
    assert most < 11 * mask.size
