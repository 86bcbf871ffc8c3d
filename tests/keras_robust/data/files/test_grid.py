"""Masks that do not lie on the grid of their image are refused wherever they are read."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.annotators import mix_annotators, simulate_dataset, write_consensus
from keras_robust.annotators.agreement.measure import measure_agreement
from keras_robust.data import Dataset, read_mask, verify
from keras_robust.noise import LabelNoise
from keras_robust.training.source import DiskSource

AFFINE = np.diag([-1.0, 1, 2, 1])
SHAPE = (8, 10, 6)
ELSEWHERE = {
    "size": (SHAPE[:2] + (5,), AFFINE, "8 x 10 x 6. Received: 8 x 10 x 5"),
    "orientation": (SHAPE, np.diag([1.0, 1, 2, 1]), "RAS instead of LAS"),
    "spacing": (SHAPE, np.diag([-1.0, 1, 3, 1]), "Received: 1 x 1 x 3 mm"),
    "origin": (SHAPE, AFFINE + np.outer([0, 0, 1, 0], [0, 0, 0, 9]), "9 mm from it"),
}


@pytest.fixture
def volumes(tmp_path):
    """Two volumes with the masks of two annotators."""
    rows = ["id,image,mask,annotator,split"]
    for id in "ab":
        save(tmp_path / f"{id}.nii.gz", SHAPE, AFFINE)
        for name in ("x", "y"):
            save(tmp_path / f"{id}-{name}.nii.gz", SHAPE, AFFINE)
            rows.append(f"{id},{id}.nii.gz,{id}-{name}.nii.gz,{name},train")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def save(path, shape, affine):
    array = np.zeros(shape, np.uint8)
    array[2:5, 3:7, 1:4] = 1
    nibabel.Nifti1Image(array, affine).to_filename(path)


@pytest.mark.parametrize("problem", ELSEWHERE)
def test_a_volume_that_lies_elsewhere_is_never_read_in_silence(volumes, problem):
    shape, affine, received = ELSEWHERE[problem]
    save(volumes / "b-x.nii.gz", shape, affine)
    match = f"case 'b'.*b-x.nii.gz.*{received}.*Export the mask.*verify"
    dataset = Dataset.open(volumes)
    chosen = dataset.select(annotator="x")
    noise = LabelNoise(alpha=1, beta=0.3)
    for read in (
        lambda: dataset.read_mask(chosen.cases[1]),
        lambda: DiskSource(chosen, (4, 4, 4), soft=True).mask(1),
        lambda: measure_agreement(volumes),
        lambda: write_consensus(volumes, "majority"),
        lambda: mix_annotators(volumes, ["x"]),
        lambda: simulate_dataset(volumes, noise, source="x"),
    ):
        with pytest.raises(ValueError, match=match):
            read()
    assert dataset.read_mask(chosen.cases[1], anywhere=True).shape == shape
    assert dataset.read_mask(chosen.cases[0]).sum() == 3 * 4 * 3
    assert Dataset.open(volumes).annotators == ("x", "y")


def test_a_picture_of_another_size_is_refused_however_it_is_resized(tmp_path):
    Image.new("RGB", (12, 10)).save(tmp_path / "a.png")
    Image.new("L", (6, 5), 255).save(tmp_path / "m.png")
    (tmp_path / "manifest.csv").write_text("id,image,mask,annotator,split\na,a.png,m.png,x,\n")
    dataset = Dataset.open(tmp_path)
    with pytest.raises(ValueError, match="case 'a'.*m.png.*10 x 12. Received: 5 x 6"):
        dataset.read_mask(dataset.cases[0], size=(4, 4))
    assert read_mask(tmp_path / "m.png", size=(4, 4)).all()  # who reads a file alone may


@pytest.mark.parametrize("problem", ["orientation", "spacing", "origin"])
def test_channels_that_lie_elsewhere_are_never_read_in_silence(volumes, problem):
    table = volumes / "manifest.csv"
    save(volumes / "b2.nii.gz", SHAPE, AFFINE)
    table.write_text(table.read_text().replace("b,b.nii.gz", "b,b.nii.gz;b2.nii.gz"))
    case = Dataset.open(volumes).select(annotator="x").cases[1]
    dataset = Dataset.open(volumes)
    assert dataset.read_image(case).shape == (*SHAPE, 2)
    shape, affine, received = ELSEWHERE[problem]
    save(volumes / "b2.nii.gz", shape, affine)
    with pytest.raises(ValueError, match=f"case 'b'.*b2.nii.gz.*{problem}.*{received}.*verify"):
        dataset.read_image(case)
    assert verify(volumes).errors[0].kind == problem


def test_a_mask_can_be_read_where_its_image_is_lost(volumes):
    (volumes / "a.nii.gz").unlink()
    dataset = Dataset.open(volumes)
    assert dataset.read_mask(dataset.cases[0]).any()
