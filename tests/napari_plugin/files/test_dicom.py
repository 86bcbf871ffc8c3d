"""A small synthetic series, read through napari and written back as a segmentation."""

import nibabel
import numpy as np
import pytest

from napari_plugin.files.dicom import read_series, write_segmentation

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
pytestmark = pytest.mark.filterwarnings("ignore")  # what pydicom says of made-up files

NAME = "Doe^Secret"
SHAPE = (4, 6, 5)
STEP, ROWS, COLUMNS = 2.5, 0.5, 0.75


def write_slice(path, voxels, position, direction=(1, 0, 0, 0, 1, 0), series="1.2.3.4", **other):
    """One CT slice as a file; `position` of its first voxel in mm."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = NAME, "77", "", ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", series
    ds.FrameOfReferenceUID, ds.Modality = "1.2.5", "CT"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200101", "000000", "", ""
    ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.Laterality = 1, 1, ""
    ds.Rows, ds.Columns = voxels.shape
    ds.PixelSpacing, ds.SliceThickness = [ROWS, COLUMNS], STEP
    ds.ImageOrientationPatient, ds.ImagePositionPatient = list(direction), list(position)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1000
    for key, value in other.items():
        setattr(ds, key, value)
    ds.PixelData = voxels.astype(np.int16).tobytes()
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture
def voxels():
    return np.random.default_rng(0).integers(0, 2000, SHAPE)


@pytest.fixture
def series(tmp_path, voxels):
    folder = tmp_path / "series"
    folder.mkdir()
    # The order of names is not that of positions.
    for number, name in enumerate(("c.dcm", "a.dcm", "d.dcm", "b.dcm")):
        write_slice(folder / name, voxels[number], (-10, -20, 30 + STEP * number))
    (folder / "notes.txt").write_text("not DICOM")
    return folder


def test_slices_are_ordered_by_place_and_rescaled(viewer_model, series, voxels):
    (layer,) = viewer_model.open(series, plugin="keras-robust")
    np.testing.assert_array_equal(layer.data, voxels - 1000.0)
    assert tuple(layer.scale) == (STEP, ROWS, COLUMNS)


def test_the_affine_is_that_of_nifti(series):
    """First voxel at (-10, -20, 30) in DICOM, which points left and back: (10, 20, 30) in NIfTI."""
    ((_, options, _),) = read_series([series])
    affine = np.array(options["metadata"]["keras_robust"]["affine"])
    np.testing.assert_allclose(affine @ (0, 0, 0, 1), (10, 20, 30, 1))
    np.testing.assert_allclose(affine @ (1, 0, 0, 0), (0, 0, STEP, 0))
    np.testing.assert_allclose(affine @ (0, 1, 0, 0), (0, -ROWS, 0, 0))
    np.testing.assert_allclose(affine @ (0, 0, 1, 0), (-COLUMNS, 0, 0, 0))


def index_to_dicom(options):
    """From indices to DICOM's world, by what a layer notes of NIfTI's."""
    return np.diag([-1, -1, 1, 1]) @ np.array(options["metadata"]["keras_robust"]["affine"])


@pytest.mark.parametrize("degrees", [-25, 12])
def test_a_tilted_gantry_is_in_the_affine_and_in_what_is_saved(viewer, tmp_path, voxels, degrees):
    """The table moves along z; slices stand askew, each shifted in its plane against the last."""
    tilt = np.radians(degrees)
    direction = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    places = [(-10, -20, 30 + STEP * number) for number in range(len(voxels))]
    (tmp_path / "series").mkdir()
    for number, place in enumerate(places):
        write_slice(tmp_path / f"series/{9 - number}.dcm", voxels[number], place, direction)
    (image,) = viewer.open(tmp_path / "series", plugin="keras-robust")
    np.testing.assert_array_equal(image.data, voxels - 1000.0)
    affine = index_to_dicom({"metadata": image.metadata})
    row, column = 3, 2
    in_plane = np.array(direction[:3]) * COLUMNS * column + np.array(direction[3:]) * ROWS * row
    for number, place in enumerate(places):
        np.testing.assert_allclose((affine @ (number, row, column, 1))[:3], place + in_plane)
    # Across the slices, which is what volumes and distances need.
    assert image.scale[0] == pytest.approx(STEP * np.cos(tilt))
    mask = viewer.add_labels(np.ones(SHAPE, int), scale=image.scale)
    mask.save(str(tmp_path / "mask.nii.gz"), plugin="keras-robust")
    written = np.diag([-1, -1, 1, 1]) @ nibabel.load(tmp_path / "mask.nii.gz").affine
    np.testing.assert_allclose(written, affine, atol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e-5])
def test_directions_that_differ_by_rounding_are_one(tmp_path, voxels, size):
    rng = np.random.default_rng(0)
    for number in range(len(voxels)):
        direction = np.array([1, 0, 0, 0, 1, 0]) + rng.uniform(-size, size, 6)
        place = (-10, -20, 30 + STEP * number)
        write_slice(tmp_path / f"{number}.dcm", voxels[number], place, tuple(direction.round(7)))
    ((data, options, _),) = read_series([tmp_path])
    np.testing.assert_array_equal(data, voxels - 1000.0)
    np.testing.assert_allclose(
        index_to_dicom(options) @ (3, 5, 4, 1),
        (-10 + 4 * COLUMNS, -20 + 5 * ROWS, 30 + 3 * STEP, 1),
        atol=0.05 * ROWS,
    )


def test_slices_that_are_shifted_unevenly_are_no_volume(tmp_path, voxels):
    for number, shift in enumerate((0, 0, 3, 0)):
        write_slice(tmp_path / f"{number}.dcm", voxels[number], (shift, 0, STEP * number))
    with pytest.raises(ValueError, match="shifted alike"):
        read_series([tmp_path])


@pytest.mark.parametrize(("bits", "signed"), [(12, 0), (16, 1), (8, 0)])
def test_what_says_that_its_least_value_is_white_is_inverted(tmp_path, bits, signed):
    """A negative and the positive of one radiograph are shown alike."""
    stored = np.random.default_rng(0).integers(-50 if signed else 0, 200, (6, 5))
    ends = -1 if signed else 2**bits - 1
    for name, values in (("MONOCHROME2", stored), ("MONOCHROME1", ends - stored)):
        (tmp_path / name).mkdir()
        about = {"PhotometricInterpretation": name, "BitsStored": bits, "HighBit": bits - 1}
        about |= {"PixelRepresentation": signed, "RescaleIntercept": 0}
        write_slice(tmp_path / name / "a.dcm", values, (0, 0, 0), **about)
    shown = [read_series([tmp_path / f"MONOCHROME{number}"])[0][0] for number in (1, 2)]
    np.testing.assert_array_equal(*shown)
    np.testing.assert_array_equal(shown[0][0], stored)


@pytest.mark.parametrize(
    ("spacings", "expected"),
    [
        ({"ImagerPixelSpacing": [0.14, 0.15]}, (0.14, 0.15)),
        ({"NominalScannedPixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.14, 0.15]}, (0.1, 0.1)),
        ({}, None),
    ],
)
def test_a_radiograph_has_the_spacing_that_it_tells_and_no_other(tmp_path, spacings, expected):
    write_slice(tmp_path / "a.dcm", np.zeros((6, 5)), (0, 0, 0))
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        del dataset[name]
    dataset.Modality = "DX"
    for name, value in spacings.items():
        setattr(dataset, name, value)
    dataset.save_as(tmp_path / "a.dcm")
    ((_, options, _),) = read_series([tmp_path])
    notes = options["metadata"]["keras_robust"]
    assert notes["affine"] is None
    if expected is None:
        assert notes["spacing_mm"] is None and "scale" not in options
    else:
        assert tuple(notes["spacing_mm"][1:]) == expected == tuple(options["scale"][1:])


def test_colours_by_number_are_no_grey_values(tmp_path):
    write_slice(tmp_path / "a.dcm", np.zeros((6, 5)), (0, 0, 0))
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="one grey value per pixel.*PALETTE COLOR"):
        read_series([tmp_path])


def test_no_name_of_a_person_reaches_layers(viewer_model, series):
    (layer,) = viewer_model.open(series, plugin="keras-robust")
    assert layer.name == "CT series"
    assert "Secret" not in repr(layer.metadata)


def test_every_series_becomes_a_layer(series, voxels):
    for number in range(2):
        place = (0, 0, number)
        write_slice(series / f"x{number}.dcm", voxels[number], place, series="1.2.3.9")
    layers = read_series([series])
    assert sorted(data.shape for data, _, _ in layers) == [(2, 6, 5), SHAPE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "a.dcm").unlink(), "missing"),
        (lambda folder: (folder / "z.dcm").write_bytes((folder / "a.dcm").read_bytes()), "double"),
        (
            lambda folder: write_slice(folder / "z.dcm", np.zeros((6, 9)), (-10, -20, 40)),
            "one size",
        ),
        (
            lambda folder: write_slice(
                folder / "z.dcm", np.zeros((6, 5)), (-10, -20, 40), (0, 1, 0, 0, 0, -1)
            ),
            "direction",
        ),
        (
            lambda folder: (folder / "a.dcm").write_bytes((folder / "a.dcm").read_bytes()[:-20]),
            "readable",
        ),
    ],
)
def test_what_is_no_volume_is_refused_in_words(series, change, message):
    change(series)
    with pytest.raises(ValueError, match=message) as caught:
        read_series([series])
    assert "Secret" not in str(caught.value)


def test_a_folder_without_slices_is_left_to_others(viewer_model, tmp_path):
    from napari_plugin.files.readers import dicom_reader

    (tmp_path / "a.txt").write_text("nothing")
    assert dicom_reader(str(tmp_path)) is None
    with pytest.raises(ValueError, match="Choose the folder"):
        read_series([tmp_path])


def test_a_segmentation_reads_back_with_its_place(viewer, series, tmp_path, voxels):
    (image,) = viewer.open(series, plugin="keras-robust")
    drawn = np.zeros(SHAPE, int)
    drawn[1, 2:4, 1:3] = 1
    drawn[2, :2, 4] = 5
    labels = viewer.add_labels(drawn, scale=image.scale)
    path = str(tmp_path / "seg.dcm")
    assert labels.save(path, plugin="keras-robust") == [path]
    read = highdicom.seg.segread(path)
    assert [read.get_segment_description(n).segment_label for n in (1, 2)] == ["Label 1", "Label 5"]
    volume = read.get_volume(combine_segments=True)
    found = {
        tuple(p) for p in np.round(volume.map_indices_to_reference(np.argwhere(volume.array)), 3)
    }
    wanted = {(-10 + COLUMNS * c, -20 + ROWS * r, 30 + STEP * z) for z, r, c in np.argwhere(drawn)}
    assert found == wanted
    assert str(read.PatientName) == NAME  # it belongs to the patient of the series


@pytest.mark.parametrize("labels", [np.zeros(SHAPE, int), np.ones((2, 6, 5), int)])
def test_labels_without_a_series_or_empty_are_refused(series, tmp_path, labels):
    ((_, meta, _),) = read_series([series])
    with pytest.raises(ValueError, match="Expected"):
        write_segmentation(tmp_path / "seg.dcm", labels, meta)
    assert not (tmp_path / "seg.dcm").exists()


def test_the_missing_extra_is_named(series, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r"keras-robust\[dicom\]"):
        read_series([series])
