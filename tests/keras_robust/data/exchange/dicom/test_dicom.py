"""DICOM: a series with a structure set of rt-utils, segmentations of highdicom, and back."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from keras_robust.data import Dataset, export_dataset, import_dataset, understand, verify
from keras_robust.data.exchange.dicom.structures import _closed

from ..conftest import same_masks

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
pytestmark = pytest.mark.filterwarnings("ignore")  # what pydicom says of made-up files

# Five made slices of 14 x 16 pixels, and a structure set that rt-utils 1.2.7 wrote of two masks.
MADE = Path(__file__).parents[1] / "made" / "dicom"


def labels():
    """(column, row, slice): Liver with a hole, and GTV 1 over it."""
    found = np.zeros((5, 14, 16), np.uint8)
    found[1:4, 2:10, 3:12] = 1
    found[2, 5:8, 6:9] = 0
    found[3:, 8:13, 9:15] = 2
    found[3, 10:12, 2:5] = 2
    return found.transpose(2, 1, 0)


@pytest.fixture
def imported(tmp_path):
    import_dataset(MADE, tmp_path / "data")
    return tmp_path / "data"


def test_a_series_with_a_structure_set(imported):
    data = Dataset.open(imported)
    assert data.class_names == ("background", "Liver", "GTV 1") and verify(imported).ok
    assert same_masks(imported, {"case1": labels()})
    image = nibabel.load(data.cases[0].image)
    sine, cosine = np.sin(0.3), np.cos(0.3)
    # Columns run along (cos, sin), rows across, in a world that points left and back.
    expected = np.diag([-1, -1, 1, 1]) @ [
        [0.8 * cosine, -0.8 * sine, 0, -10],
        [0.8 * sine, 0.8 * cosine, 0, -20],
        [0, 0, 2.5, 30],
        [0, 0, 0, 1],
    ]
    assert np.allclose(image.affine, expected, atol=1e-5)
    for number in range(5):
        stored = pydicom.dcmread(MADE / f"case1/ct/{9 - number}.dcm").pixel_array
        assert (np.asarray(image.dataobj)[..., number] == stored.T - 1000.0).all()


@pytest.mark.parametrize("format", ["dicom_seg", "rtstruct"])
def test_what_is_exported_comes_back(imported, tmp_path, format):
    export_dataset(imported, tmp_path / "out", format)
    import_dataset(tmp_path / "out", tmp_path / "back", annotator="anna")
    assert same_masks(tmp_path / "back", {"case1": labels()})
    back = Dataset.open(tmp_path / "back")
    assert back.class_names == ("background", "Liver", "GTV 1") and back.annotators == ("anna",)


def test_a_segmentation_is_that_of_highdicom(imported, tmp_path):
    export_dataset(imported, tmp_path / "out", "dicom_seg", copy=False)
    read = highdicom.seg.segread(tmp_path / "out/case1/segmentation.dcm")
    assert [read.get_segment_description(n).segment_label for n in (1, 2)] == ["Liver", "GTV 1"]
    source = [pydicom.dcmread(MADE / f"case1/ct/{9 - n}.dcm") for n in range(5)]
    drawn = read.get_pixels_by_source_instance(
        [s.SOPInstanceUID for s in source], combine_segments=True
    )
    assert (drawn == labels().transpose(2, 1, 0)).all()
    assert read.StudyInstanceUID == source[0].StudyInstanceUID


def test_two_who_drew_on_one_series_are_called_as_their_files(imported, tmp_path):
    export_dataset(imported, tmp_path / "out", "dicom_seg")
    shutil.copy(MADE / "case1/rt.dcm", tmp_path / "out/case1/anna.dcm")
    import_dataset(tmp_path / "out", tmp_path / "back")
    assert Dataset.open(tmp_path / "back").annotators == ("anna", "segmentation")


def test_no_name_of_a_person_is_in_the_dataset(imported):
    texts = [p.read_bytes() for p in imported.rglob("*") if p.suffix in (".csv", ".json")]
    assert texts and not any(b"Made" in text for text in texts)


def test_contours_hold_the_centres_that_they_pass():
    # Through the centres of a square of 3 x 3, a line of three, and one voxel.
    square = np.array([(1, 1), (3, 1), (3, 3), (1, 3)], float)
    found = _closed([square, np.array([(5, 0), (5, 2)], float), np.array([(0, 5.0)])], (6, 6))
    expected = np.zeros((6, 6), bool)
    expected[1:4, 1:4] = expected[0:3, 5] = expected[5, 0] = True
    assert (found == expected).all()


def test_what_is_missing_or_damaged_is_named(tmp_path):
    shutil.copytree(MADE, tmp_path / "a")
    shutil.rmtree(tmp_path / "a/case1/ct")
    with pytest.raises(ValueError, match="rt.dcm: is drawn on a series that is not there"):
        understand(tmp_path / "a")
    shutil.copytree(MADE, tmp_path / "b")
    (tmp_path / "b/case1/ct/7.dcm").unlink()
    with pytest.raises(ValueError, match="equal distances"):
        understand(tmp_path / "b")
    shutil.copytree(MADE, tmp_path / "c")
    content = (MADE / "case1/ct/7.dcm").read_bytes()
    (tmp_path / "c/case1/ct/7.dcm").write_bytes(content[:-200])
    with pytest.raises(ValueError, match="readable DICOM"):
        import_dataset(tmp_path / "c", tmp_path / "data")


def test_a_dataset_without_its_series_is_not_exported(imported, tmp_path):
    import_dataset(imported, tmp_path / "copy", copy=True)
    with pytest.raises(ValueError, match="without its series"):
        export_dataset(tmp_path / "copy", tmp_path / "out", "dicom_seg")
