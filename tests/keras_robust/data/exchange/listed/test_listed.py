"""Folders and lists: in place where they can be read so, else imported, and back."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset, export_dataset, import_dataset, understand, verify
from keras_robust.data.layouts.voc import palette

from ..conftest import blobs, same_masks

MADE = Path(__file__).parents[1] / "made"
MASKS = {f"p{n}": blobs(n) for n in range(3)}
AFFINE = np.array([[0, -0.8, 0, 10], [0.9, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def volumes(tmp_path):
    """Two cases of two channels each, on a turned grid."""
    root = tmp_path / "scans"
    rows = ["id,image,mask,annotator,split"]
    for number, split in enumerate(("train", "test")):
        channels = []
        for channel in range(2):
            voxels = np.random.default_rng(2 * number + channel).integers(0, 999, (9, 8, 5))
            channels.append(f"images/s{number}_{channel}.nii.gz")
            nifti(root / channels[-1], voxels.astype(np.int16))
        nifti(root / f"masks/s{number}.nii.gz", scan_labels(number))
        rows.append(f"s{number},{';'.join(channels)},masks/s{number}.nii.gz,anna,{split}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    labels = {"background": 0, "liver": 1, "tumour": 2}
    about = {"labels": labels, "channel_names": {"0": "CT", "1": "PET"}}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def scan_labels(number):
    labels = np.zeros((9, 8, 5), np.uint8)
    labels[2:6, 2:6, 1:4] = 1
    labels[4 + number, 3:5, 2] = 2
    return labels


def nifti(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(voxels, AFFINE).to_filename(path)


def put(path, size=(12, 10), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


@pytest.mark.parametrize("format", ["folders", "voc", "monai", "nnunet"])
def test_pictures_come_back_and_open_in_place(folder, tmp_path, format):
    labels = {"background": 0, "cell": 1, "nucleus": 2, "ignore": 255 if format == "voc" else 3}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    export_dataset(folder, tmp_path / "out", format, annotator="anna")
    assert same_masks(tmp_path / "out", MASKS)
    assert verify(tmp_path / "out").ok
    found = import_dataset(tmp_path / "out", tmp_path / "back", annotator="bo")
    assert same_masks(tmp_path / "back", MASKS) and not found.problems
    back = Dataset.open(tmp_path / "back")
    assert back.class_names == ("background", "cell", "nucleus") and back.annotators == ("bo",)
    assert [case.split for case in back] == ["train", "train", "test"]
    if format != "nnunet":  # which may have no 8-bit colours to keep
        assert (
            back.read_image(back.cases[0]) == Dataset.open(folder).read_image(back.cases[0])
        ).all


@pytest.mark.parametrize("format", ["decathlon", "monai", "nnunet", "folders"])
def test_volumes_come_back_with_their_grid(volumes, tmp_path, format):
    if format == "folders":
        with pytest.raises(ValueError, match="2 files"):
            export_dataset(volumes, tmp_path / "out", format)
        return
    export_dataset(volumes, tmp_path / "out", format)
    import_dataset(tmp_path / "out", tmp_path / "back")
    assert same_masks(tmp_path / "back", {f"s{n}": scan_labels(n) for n in range(2)})
    before, after = Dataset.open(volumes), Dataset.open(tmp_path / "back")
    for ours, theirs in zip(before, after, strict=True):
        assert (before.read_image(ours) == after.read_image(theirs)).all()
        assert ours.split == theirs.split and ours.spacing == theirs.spacing
        for file in (*theirs.channels, theirs.mask):
            image = nibabel.load(file)
            assert np.allclose(image.affine, AFFINE, atol=1e-6)
            assert image.get_data_dtype() == (np.uint8 if file == theirs.mask else np.int16)
    assert after.class_names == ("background", "liver", "tumour")
    assert verify(tmp_path / "back").ok
    if format == "decathlon":
        about = json.loads((tmp_path / "back/dataset.json").read_text())
        assert about["channel_names"] == {"0": "CT", "1": "PET"}


def test_a_list_of_the_decathlon_opens_in_place(tmp_path):
    for name in ("liver_1", "liver_2"):
        nifti(tmp_path / f"imagesTr/{name}.nii.gz", np.ones((9, 8, 5), np.float32))
        nifti(tmp_path / f"labelsTr/{name}.nii.gz", scan_labels(0))
    nifti(tmp_path / "imagesTs/liver_3.nii.gz", np.ones((9, 8, 5), np.float32))
    about = {
        "name": "Liver",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "cancer"},
        "numTraining": 2,
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in ("liver_1", "liver_2")
        ],
        "test": ["./imagesTs/liver_3.nii.gz"],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(about))
    dataset = Dataset.open(tmp_path)
    assert dataset.layout == "datalist" and dataset.class_names == ("background", "liver", "cancer")
    assert [(c.id, c.split, c.mask is None) for c in dataset] == [
        ("liver_1", "train", False),
        ("liver_2", "train", False),
        ("liver_3", "test", True),
    ]


def test_a_list_of_monai_with_several_images_and_paths_from_elsewhere(tmp_path):
    for case in ("B1", "B2"):
        for part in ("flair", "t1", "seg"):
            labels = scan_labels(0) if part == "seg" else np.ones((9, 8, 5), np.int16)
            nifti(tmp_path / f"data/{case}/{case}_{part}.nii.gz", labels)
    entries = [
        {
            "fold": fold,
            "image": [f"{case}/{case}_flair.nii.gz", f"{case}/{case}_t1.nii.gz"],
            "label": f"{case}/{case}_seg.nii.gz",
        }
        for fold, case in enumerate(("B1", "B2"))
    ]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/brats.json").write_text(json.dumps({"training": entries}))
    with pytest.raises(ValueError, match="is not there"):
        understand(tmp_path / "lists/brats.json")
    source = tmp_path / "lists/brats.json"
    import_dataset(source, tmp_path / "back", images=tmp_path / "data")
    back = Dataset.open(tmp_path / "back")
    assert [(c.id, len(c.channels), c.extra["fold"]) for c in back] == [
        ("B1", 2, "0"),
        ("B2", 2, "1"),
    ]
    assert back.classes == 3
    outside = {"training": [{"image": "../../x.nii.gz", "label": "../../y.nii.gz"}]}
    source.write_text(json.dumps(outside))
    with pytest.raises(ValueError, match="leaves the folder"):
        understand(source)


def test_voc_by_its_palette_and_by_colours(tmp_path):
    assert palette()[[1, 2, 3, 15, 255]].tolist() == [
        [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [224, 224, 192],
    ]  # fmt: skip
    root = tmp_path / "VOC2012"
    put(root / "JPEGImages/a.jpg")
    put(root / "JPEGImages/unlisted.jpg")
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 2:5], mask[5, 2:5] = 15, 255
    image = Image.fromarray(mask)
    image.putpalette(palette().ravel().tolist())
    (root / "SegmentationClass").mkdir()
    image.save(root / "SegmentationClass/a.png")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/val.txt").write_text("a\n")
    dataset = Dataset.open(root)
    assert dataset.class_names[15] == "person" and dataset.splits == ("val",)
    assert (dataset.read_mask(dataset.cases[0]) == mask).all() and len(dataset) == 1
    image.convert("RGB").save(root / "SegmentationClass/a.png")
    import_dataset(root, tmp_path / "back")
    assert same_masks(tmp_path / "back", {"a": mask})


def test_voc_of_datumaro(tmp_path):
    put(tmp_path / "voc/JPEGImages/sub/a.jpg", (26, 20))
    (tmp_path / "voc/SegmentationClass/sub").mkdir(parents=True)
    shutil.copy(MADE / "voc/a.png", tmp_path / "voc/SegmentationClass/sub/a.png")
    shutil.copy(MADE / "voc/labelmap.txt", tmp_path / "voc/labelmap.txt")
    import_dataset(tmp_path / "voc", tmp_path / "back")
    expected = np.zeros((20, 26))
    expected[4:15, 5:20] = 2
    expected[7:10, 9:14] = 0
    expected[18, 1:4] = 2
    assert same_masks(tmp_path / "back", {"sub_a": expected})


def test_colours_that_no_class_has_are_named(tmp_path):
    put(tmp_path / "JPEGImages/a.png")
    (tmp_path / "SegmentationClass").mkdir()
    Image.new("RGB", (12, 10), (1, 2, 3)).save(tmp_path / "SegmentationClass/a.png")
    with pytest.raises(ValueError, match=r"\(1, 2, 3\).*labelmap"):
        import_dataset(tmp_path, tmp_path / "back")


def test_splits_as_lists(tmp_path):
    for name in "abc":
        put(tmp_path / f"images/{name}.jpg")
        put(tmp_path / f"masks/{name}.png", value=int(name == "a"))
    (tmp_path / "train.txt").write_text("images/a.jpg masks/a.png\n\nb\n")
    (tmp_path / "val.txt").write_text("c.jpg\n")
    assert [case.split for case in Dataset.open(tmp_path)] == ["train", "train", "val"]
    (tmp_path / "test.txt").write_text("c\nd\n")
    report = verify(tmp_path)
    assert {"leak-id", "missing-file"} <= {problem.kind for problem in report.errors}


def test_names_that_are_given(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / f"photos/{name}.jpg")
        put(tmp_path / f"outlines/{name}.png", value=1)
        put(tmp_path / f"flat/{name}.png")
        put(tmp_path / f"flat/{name}_lesion.png", value=1)
    import_dataset(tmp_path, tmp_path / "1", images=tmp_path / "photos", masks="outlines")
    import_dataset(tmp_path / "flat", tmp_path / "2", masks="_lesion")
    assert all(same_masks(tmp_path / n, dict.fromkeys("ab", np.ones((10, 12)))) for n in "12")
    # An ending may stand in dataset.json, and the folder opens in place.
    (tmp_path / "flat/dataset.json").write_text(json.dumps({"masks": "_lesion"}))
    assert Dataset.open(tmp_path / "flat").ids == ("a", "b")
    with pytest.raises(ValueError, match="no images beside masks"):
        understand(tmp_path / "flat", masks="_tumour")


def test_a_dataset_with_several_annotators_is_referred_to(folder, tmp_path):
    import_dataset(folder, tmp_path / "view")
    assert len(Dataset.open(tmp_path / "view")) == 4
    assert Dataset.open(tmp_path / "view").annotators == ("anna", "bo")
