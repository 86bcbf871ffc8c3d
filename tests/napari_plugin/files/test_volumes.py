"""NIfTI through napari's own open and save: no voxel moves, and no affine."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from keras_robust.data import read_mask, read_volume

ORIENTATIONS = [
    "".join(letters) for axes in permutations(("RL", "AP", "SI")) for letters in product(*axes)
]
SHAPE = (5, 6, 7)


def affine_of(orientation):
    ornt = nibabel.orientations.axcodes2ornt(tuple(orientation))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, flip) in enumerate(ornt):
        affine[int(world), axis] = flip * (0.5, 0.75, 3.0)[axis]
    affine[:3, 3] = -12, 30, 7
    return affine


@pytest.fixture
def volume(tmp_path):
    def make(affine, name="image.nii.gz", dtype=np.int16):
        voxels = np.random.default_rng(0).integers(0, 900, SHAPE).astype(dtype)
        nibabel.Nifti1Image(voxels, affine).to_filename(tmp_path / name)
        return tmp_path / name

    return make


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_round_trips(viewer_model, volume, tmp_path, orientation):
    affine = affine_of(orientation)
    (image,) = viewer_model.open(volume(affine), plugin="keras-robust")
    stored = nibabel.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(image.data, np.asarray(stored.dataobj))
    assert tuple(image.scale) == pytest.approx((0.5, 0.75, 3.0))
    labels = viewer_model.add_labels(
        (np.asarray(image.data) > 450).astype(np.uint8), scale=image.scale
    )
    labels.metadata = dict(image.metadata)
    labels.save(str(tmp_path / "mask.nii.gz"), plugin="keras-robust")
    written = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.data)
    np.testing.assert_array_equal(written.affine, stored.affine)
    for code in ("qform_code", "sform_code"):
        assert written.header[code] == stored.header[code]
    assert nibabel.aff2axcodes(written.affine) == tuple(orientation)


def test_labels_begun_in_napari_take_the_grid_of_the_volume_beside(viewer, volume, tmp_path):
    affine = affine_of("LPI")
    (image,) = viewer.open(volume(affine), plugin="keras-robust")
    labels = viewer.add_labels(np.ones(SHAPE, int), scale=image.scale)
    labels.save(str(tmp_path / "mask.nii"), plugin="keras-robust")
    np.testing.assert_allclose(nibabel.load(tmp_path / "mask.nii").affine, affine)


def test_layers_that_disagree_give_no_grid(viewer, volume, tmp_path):
    for number, orientation in enumerate(("LPI", "RAS")):
        path = volume(affine_of(orientation), f"{number}.nii")
        viewer.open(path, plugin="keras-robust")
    labels = viewer.add_labels(np.ones(SHAPE, int), scale=(1, 2, 3), translate=(4, 5, 6))
    labels.save(str(tmp_path / "mask.nii"), plugin="keras-robust")
    own = [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]]
    np.testing.assert_allclose(nibabel.load(tmp_path / "mask.nii").affine, own)


@pytest.mark.parametrize(
    ("units", "spacing", "unit"),
    [(None, (1, 2, 3), 0), (("um",) * 3, (0.001, 0.002, 0.003), 2), (("mm",) * 3, (1, 2, 3), 2)],
)
def test_a_unit_that_a_layer_has_is_written_and_no_other(viewer, tmp_path, units, spacing, unit):
    options = {} if units is None else {"units": units}
    labels = viewer.add_labels(np.ones(SHAPE, int), scale=(1, 2, 3), **options)
    labels.save(str(tmp_path / "mask.nii"), plugin="keras-robust")
    written = nibabel.load(tmp_path / "mask.nii")
    assert written.header.get_zooms() == pytest.approx(spacing)
    assert written.header["xyzt_units"] == unit  # of NIfTI: 0 is unknown, 2 mm


def test_scaled_labels_open_as_the_labels_that_the_library_reads(viewer_model, tmp_path):
    labels = np.random.default_rng(0).integers(0, 7, SHAPE)
    nifti = nibabel.Nifti1Image(labels.astype(np.int16) * 10, np.eye(4))
    nifti.to_filename(tmp_path / "mask.nii")
    content = bytearray((tmp_path / "mask.nii").read_bytes())
    content[112:116] = np.float32(0.1).tobytes()  # scl_slope
    (tmp_path / "mask.nii").write_bytes(content)
    assert read_volume(tmp_path / "mask.nii")[0].dtype == np.float32
    (layer,) = viewer_model.open(tmp_path / "mask.nii", plugin="keras-robust")
    assert layer._type_string == "labels"
    np.testing.assert_array_equal(layer.data, read_mask(tmp_path / "mask.nii", classes=7))
    np.testing.assert_array_equal(layer.data, labels)


def test_a_mask_opens_as_labels(viewer_model, tmp_path):
    mask = np.zeros(SHAPE, np.float64)
    mask[1:3] = 2
    nibabel.Nifti1Image(mask, np.eye(4)).to_filename(tmp_path / "mask.nii.gz")
    (layer,) = viewer_model.open(tmp_path / "mask.nii.gz", plugin="keras-robust")
    assert layer._type_string == "labels" and layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, mask)
    # One label that 8 bits cannot hold, as of atlases, is where it was.
    nibabel.Nifti1Image(mask * 512, np.eye(4)).to_filename(tmp_path / "atlas.nii.gz")
    (layer,) = viewer_model.open(tmp_path / "atlas.nii.gz", plugin="keras-robust")
    np.testing.assert_array_equal(layer.data, mask > 0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.ones((4, 4), int), "3-D"), (np.full(SHAPE, 256), "0 to 255")],
)
def test_what_does_not_fit_is_refused(viewer_model, tmp_path, labels, message):
    layer = viewer_model.add_labels(labels)
    with pytest.raises(RuntimeError, match=message):
        layer.save(str(tmp_path / "mask.nii.gz"), plugin="keras-robust")
    assert list(tmp_path.iterdir()) == []
