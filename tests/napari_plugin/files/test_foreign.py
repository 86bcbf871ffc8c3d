"""What other tools wrote, dropped on the window."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_robust.data import export_dataset, sample, sample_path

MADE = Path(__file__).parents[2] / "keras_robust/data/exchange/made"


@pytest.mark.parametrize("format", ["coco", "cvat"])
def test_annotations_open_as_the_first_image_with_its_masks(viewer_model, tmp_path, format):
    export_dataset(sample_path(), tmp_path / "out", format, split="test")
    before = sorted(tmp_path.rglob("*"))
    image, mask = viewer_model.open(tmp_path / "out", plugin="keras-robust")
    case = sample().select(split="test").cases[0]
    assert image.name == case.id and (mask.data == sample().read_mask(case)).all()
    assert (image.data == sample().read_image(case)).all()
    assert sorted(tmp_path.rglob("*")) == before


def test_volumes_of_itk_and_segmentations_of_slicer(viewer_model, tmp_path):
    pytest.importorskip("SimpleITK")
    (image,) = viewer_model.open(MADE / "slicer/images/p1.nrrd", plugin="keras-robust")
    assert image.data.shape == (9, 8, 5) and tuple(image.scale) == (0.9, 0.8, 3.0)
    shutil.copytree(MADE / "slicer", tmp_path / "scan")
    _, mask = viewer_model.open(tmp_path / "scan", plugin="keras-robust")
    # Liver, 4 x 4 x 3, less the 2 x 2 x 2 that Tumor, 4 x 3 x 3, lies over.
    assert np.bincount(mask.data.ravel()).tolist() == [284, 40, 36]
