"""Volumes of other formats: what their own libraries wrote, on its grid."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from keras_robust.data import Dataset, export_dataset, import_dataset, understand, verify
from keras_robust.data.exchange.volumes.itk import read_itk
from keras_robust.data.exchange.volumes.segments import read_segments

from ..conftest import same_masks

MADE = Path(__file__).parents[1] / "made"
# Of made/slicer, by slicerio 1.4.0 (3D Slicer's own library), in RAS: x and y turned about.
AFFINE = np.array([[0, 0.8, 0, -10], [-0.9, 0, 0, 20], [0, 0, 3, 5], [0, 0, 0, 1.0]])


def slicer_labels():
    labels = np.zeros((9, 8, 5), np.uint8)
    labels[2:6, 2:6, 1:4] = 1
    labels[4:8, 4:7, 2:5] = 2  # the later one wins
    return labels


def itk(path, array, spacing=(0.9, 0.8, 3.0), vector=False):
    """(K, J, I), turned by a quarter about the last axis."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(spacing)
    image.SetDirection([0, -1, 0, 1, 0, 0, 0, 0, 1])
    image.SetOrigin([10, -20, 5])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_a_segmentation_of_slicer_and_back(tmp_path):
    import_dataset(MADE / "slicer", tmp_path / "data", annotator="anna")
    data = Dataset.open(tmp_path / "data")
    assert data.class_names == ("background", "Liver", "Tumor")
    assert same_masks(tmp_path / "data", {"p1": slicer_labels()})
    image = nibabel.load(data.cases[0].image)
    assert np.allclose(image.affine, AFFINE) and image.get_data_dtype() == np.int16
    voxels = np.random.default_rng(0).integers(0, 999, (9, 8, 5))  # as it was made
    assert (data.read_image(data.cases[0])[..., 0] == voxels).all()
    export_dataset(data, tmp_path / "out", "slicer")
    written = tmp_path / "out/masks/p1.seg.nrrd"
    assert [(s.name, s.value) for s in read_segments(written)] == [("Liver", 1), ("Tumor", 2)]
    labels, found = read_itk(written)
    assert (labels == slicer_labels()).all() and np.allclose(found.header.affine, AFFINE)
    import_dataset(tmp_path / "out", tmp_path / "back")
    assert same_masks(tmp_path / "back", {"p1": slicer_labels()})


def test_a_segmentation_beside_its_volume(tmp_path):
    (tmp_path / "case").mkdir()
    for name in ("images/p1.nrrd", "masks/p1.seg.nrrd"):
        shutil.copy(MADE / "slicer" / name, tmp_path / "case")
    import_dataset(tmp_path / "case", tmp_path / "data")
    assert same_masks(tmp_path / "data", {"p1": slicer_labels()})


def test_a_segmentation_of_a_part_is_put_where_it_lies(tmp_path):
    source = tmp_path / "part"
    shutil.copytree(MADE / "slicer", source)
    whole = sitk.ReadImage(str(source / "masks/p1.seg.nrrd"))
    part = whole[2:8, 2:7, 1:5]
    for key in whole.GetMetaDataKeys():
        if key.startswith("Segment"):
            part.SetMetaData(key, whole.GetMetaData(key))
    sitk.WriteImage(part, str(source / "masks/p1.seg.nrrd"))
    import_dataset(source, tmp_path / "data")
    assert same_masks(tmp_path / "data", {"p1": slicer_labels()})


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_volumes_of_itk(tmp_path, suffix):
    voxels = np.random.default_rng(0).normal(size=(5, 8, 9)).astype(np.float32)
    labels = np.zeros((5, 8, 9), np.uint8)
    labels[1:3, 2:5, 3:7], labels[4] = 1, 2
    itk(tmp_path / f"scans/images/a{suffix}", voxels)
    itk(tmp_path / f"scans/masks/a_seg{suffix}", labels)
    found = import_dataset(tmp_path / "scans", tmp_path / "data")
    assert "1 file(s) to convert" in found.text()
    data = Dataset.open(tmp_path / "data")
    assert (data.read_image(data.cases[0])[..., 0] == voxels.T).all() and data.classes == 3
    assert same_masks(tmp_path / "data", {"a": labels.T})
    # ITK reads the same places from the file that was written.
    ours, theirs = (
        sitk.ReadImage(str(p)) for p in (data.cases[0].image, tmp_path / f"scans/images/a{suffix}")
    )
    corner = [8, 7, 4]
    assert np.allclose(
        ours.TransformIndexToPhysicalPoint(corner), theirs.TransformIndexToPhysicalPoint(corner)
    )
    assert verify(tmp_path / "data").ok


def test_masks_that_lie_elsewhere_are_refused(tmp_path):
    itk(tmp_path / "scans/images/a.mha", np.zeros((5, 8, 9), np.int16))
    itk(tmp_path / "scans/masks/a.mha", np.zeros((5, 8, 9), np.uint8), spacing=(1, 1, 3))
    with pytest.raises(ValueError, match="does not lie on its image"):
        import_dataset(tmp_path / "scans", tmp_path / "data")


def test_channels_are_split(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 99, (9, 8, 5, 3)).astype(np.int16)
    for folder, write in (
        ("nifti", lambda p: nibabel.Nifti1Image(voxels, AFFINE).to_filename(f"{p}.nii.gz")),
        ("itk", lambda p: itk(Path(f"{p}.nrrd"), voxels.transpose(2, 1, 0, 3), vector=True)),
    ):
        root = tmp_path / folder
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        write(root / "images/a")
        nibabel.Nifti1Image((voxels[..., 0] > 50).astype(np.uint8), AFFINE).to_filename(
            root / "masks/a.nii.gz"
        )
        import_dataset(root, tmp_path / f"{folder}-data")
        data = Dataset.open(tmp_path / f"{folder}-data")
        assert len(data.cases[0].channels) == 3
        assert (data.read_image(data.cases[0]) == voxels).all()


def test_pages_of_tiff_are_slices(tmp_path):
    stack = np.random.default_rng(0).integers(0, 2**16, (5, 8, 9)).astype(np.uint16)
    for folder in ("images", "masks"):
        (tmp_path / "stacks" / folder).mkdir(parents=True)
    meta = {"spacing": 2.5, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(
        tmp_path / "stacks/images/a.tif", stack, imagej=True, resolution=(2, 4), metadata=meta
    )
    tifffile.imwrite(tmp_path / "stacks/masks/a.tif", (stack > 30000).astype(np.uint8) * 255)
    ome = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.5}
    tifffile.imwrite(tmp_path / "stacks/images/b.ome.tif", stack, ome=True, metadata=ome)
    found = import_dataset(tmp_path / "stacks", tmp_path / "data")
    data = Dataset.open(tmp_path / "data")
    for case in data:
        assert case.spacing == (0.0005, 0.00025, 0.0025), case.id
        assert (data.read_image(case)[..., 0] == stack.T).all()
    assert same_masks(tmp_path / "data", {"a": (stack.T > 30000)})
    assert "1 x 1 x 1" in found.text()  # of the mask


def test_damaged_and_hostile_headers_end_in_messages(tmp_path):
    (tmp_path / "scans/images").mkdir(parents=True)
    (tmp_path / "scans/masks").mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(1000))
    image = tmp_path / "scans/images/a.nhdr"
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9 8 5\nencoding: raw\n"
    nibabel.Nifti1Image(np.zeros((9, 8, 5), np.uint8), np.eye(4)).to_filename(
        tmp_path / "scans/masks/a.nii.gz"
    )
    huge = head.replace("9 8 5", "90000 80000 50000")
    for text, words in (
        (f"{head}data file: ../../secret.raw\n\n", "not beside it"),
        (f"{head}data file: /etc/passwd\n\n", "not beside it"),
        (f"{huge}\n\0\0", "more than 4 GiB|do not fit"),
        ("NRRD0004\nnothing\n\n", "a.nhdr"),
    ):
        image.write_text(text)
        with pytest.raises(ValueError, match=words):
            understand(tmp_path / "scans")
