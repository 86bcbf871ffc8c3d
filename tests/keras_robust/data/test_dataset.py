import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_robust.data import Case, Dataset, sample, sample_path


def test_sample_is_small_complete_and_split():
    dataset = sample()
    assert dataset.classes == 2 and dataset.annotators == ("isic_gt",)
    assert [len(dataset.select(split=s)) for s in ("train", "test")] == [80, 35]
    for case in dataset:
        assert dataset.read_image(case).shape == (256, 256, 3)
        mask = dataset.read_mask(case)
        assert mask.shape == (256, 256) and 0 < mask.mean() < 1
    assert sum(p.stat().st_size for p in sample_path().rglob("*")) < 2_000_000
    areas = [
        np.mean([float(c.extra["lesion_fraction"]) for c in dataset.select(split=s)])
        for s in ("train", "test")
    ]
    assert abs(areas[0] - areas[1]) < 0.03
    assert "CC0" in (sample_path() / "README.md").read_text()


@given(st.lists(st.tuples(st.text("ab1", max_size=3), st.text("xy", max_size=1)), max_size=9))
def test_cases_are_in_order_and_found_by_id(names):
    cases = tuple(Case(id, Path("i"), Path("m"), annotator, "") for id, annotator in names)
    dataset = Dataset(Path("."), "d", 2, cases)
    assert sorted(dataset.cases, key=lambda case: (case.id, case.annotator)) == list(dataset)
    for wanted in ([], dataset.ids[:1], dataset.ids[::2]):
        expected = tuple(case for case in dataset if case.id in wanted)
        assert dataset.select(ids=wanted).cases == expected
    for unknown in ("", "a2", "c"):
        if unknown not in dataset.ids:
            with pytest.raises(ValueError, match=rf"`ids`. .*Received: '{unknown}'"):
                dataset.select(ids=[*dataset.ids, unknown])


def test_reading_needs_neither_keras_nor_scipy():
    program = (
        "import sys; from keras_robust import data, metrics; s = data.sample(); "
        "data.read_image(s.cases[0].image, (8, 8)); data.verify\n"
        "sys.exit(bool({'keras', 'tensorflow', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_manifest(build):
    def change(row):
        return {**row, "spacing": "0.5x0.25", "group": "p" + row["id"], "site": "A, north"}

    folder = build.manifest(change=change)
    dataset = Dataset.open(folder)
    assert dataset.layout == "manifest" and dataset.splits == ("test", "train")
    case = dataset.select(ids=[build.cases[0].id]).cases[0]
    assert case.spacing == (0.5, 0.25) and case.group == "p" + case.id
    assert case.extra == {"site": "A, north"}
    assert [c.id for c in dataset] == sorted(c.id for c in build.cases)


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf", b"\r\n", b"\\"])
def test_manifests_of_other_programs(build, change):
    folder = build.manifest()
    content = (folder / "manifest.csv").read_bytes()
    if change == b"\r\n":
        content = content.replace(b"\n", b"\r\n").rstrip()
    elif change == b"\\":
        content = content.replace(b"/", b"\\")
    else:
        content = change + content
    (folder / "manifest.csv").write_bytes(content)
    dataset = Dataset.open(folder)
    assert len(dataset) == 8 and all(case.mask.is_file() for case in dataset)


def test_manifest_with_classes_several_annotators_and_cases_without_mask(build):
    folder = build.manifest()
    build.write_json(folder, labels={"background": 0, "a": 1, "b": 2, "ignore": 3}, name="three")
    with open(folder / "manifest.csv", "a") as file:
        id = build.cases[0].id
        file.write(f"{id},images/{id}.jpg,masks/{id}.png,second,train\n")
        file.write(f"new,images/{id}.jpg,,,\n")
    dataset = Dataset.open(folder)
    assert (dataset.name, dataset.classes, dataset.ignore_label) == ("three", 3, 3)
    assert dataset.annotators == ("isic_gt", "second")
    assert [c.annotator for c in dataset.select(ids=[id])] == ["isic_gt", "second"]
    assert len(dataset.select(split="")) == 1
    with pytest.raises(ValueError, match="case with a mask"):
        dataset.read_mask(dataset.select(split="").cases[0])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"annotator": "nobody"}, r"`annotator`.*'isic_gt'.*'nobody'"),
        ({"split": "training"}, r"`split`.*'test', 'train'.*'training'"),
        ({"ids": ["x"]}, r"`ids`.*'ISIC_.*'x'"),
    ],
)
def test_select_names_what_there_is(build, condition, message):
    with pytest.raises(ValueError, match=message):
        Dataset.open(build.manifest()).select(**condition)


BAD_ROWS = {
    "absolute": ({"image": "/etc/passwd"}, "leaves the dataset folder"),
    "windows": ({"mask": "C:\\secret.png"}, "leaves the dataset folder"),
    "parent": ({"mask": "../secret.png"}, "leaves the dataset folder"),
    "hidden parent": ({"mask": "masks\\..\\..\\secret.png"}, "leaves the dataset folder"),
    "id path": ({"id": "../../x"}, "cannot hold"),
    "id dots": ({"id": ".."}, "rename it"),
    "id empty": ({"id": ""}, "rename it"),
    "id control": ({"id": "a\x07"}, "cannot hold"),
    "id long": ({"id": "a" * 300}, "longer than"),
    "annotator path": ({"annotator": "a/b"}, "cannot hold"),
    "no annotator": ({"annotator": ""}, "name one"),
    "no image": ({"image": ""}, "has no image"),
    "spacing": ({"spacing": "-1x2"}, "millimetres"),
    "spacing text": ({"spacing": "fine"}, "millimetres.*'fine'"),
    "spacing of one axis": ({"spacing": "0.5"}, "as in 0.5x0.5.*'0.5'"),
    "spacing of a volume": ({"spacing": "1x1x1"}, "as in 0.5x0.5.*'1x1x1'"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows(build, name):
    changed, message = BAD_ROWS[name]
    target = build.cases[3].id
    folder = build.manifest(
        columns=["spacing"], change=lambda row: {**row, **changed} if row["id"] == target else row
    )
    with pytest.raises(ValueError, match=f"(?s)1 error.*row 5.*{message}"):
        Dataset.open(folder)


def test_links_out_of_the_folder_are_refused(build, tmp_path):
    folder = build.manifest()
    image = folder / "images" / f"{build.cases[0].id}.jpg"
    image.rename(tmp_path / "elsewhere.jpg")
    image.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(ValueError, match="leaves the dataset folder"):
        Dataset.open(folder)


@pytest.mark.parametrize("source", ["/", "..", ".", "../.."])
def test_sources_may_not_hold_the_dataset(build, source):
    folder = build.manifest()
    build.write_json(folder, sources=[source])
    with pytest.raises(ValueError, match="contains the dataset itself"):
        Dataset.open(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"columns id, image.*Received: none"),
        (b"id;image;mask;annotator;split\n", r"separated by commas.*id;image"),
        (b"id,image,mask,split\n", r"Add annotator"),
        (b"id,image,mask,annotator,split\n", r"no rows"),
        (b"id,image,mask,annotator,split\na,b\n", r"5 cells.*2 in row 2"),
        (b"id,id,image,mask,annotator,split\n", r"each column once.*id repeated"),
        (b"\xff\xfe\x00id", r"UTF-8"),
        (b"id,image,mask,annotator,split\n\0", r"binary"),
    ],
)
def test_bad_tables(tmp_path, content, message):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)manifest.*{message}"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background"},
        {"background": 1, "a": 2},
        {"background": 0},
        {"a": 0, "b": [1, 3]},
        {"a": 0, "b": 1, "c": 1},
        {"a": 0, "b": 1, "c": []},
        {"a": 0, "b": 1, "c": [1, True]},
        7,
    ],
)
def test_bad_labels(build, labels):
    folder = build.manifest()
    build.write_json(folder, labels=labels)
    with pytest.raises(ValueError, match="names to values 0, 1, 2"):
        Dataset.open(folder)


def test_regions_are_unions_of_labels(build):
    folder = build.manifest()
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    build.write_json(folder, labels=labels)
    dataset = Dataset.open(folder)
    assert (dataset.classes, dataset.ignore_label) == (4, 4)
    assert dataset.regions == {"whole": (1, 2, 3), "core": (2, 3)}


def test_isic2017(build):
    dataset = Dataset.open(build.isic2017())
    assert dataset.layout == "isic2017" and dataset.classes == 2
    assert {s: len(dataset.select(split=s)) for s in dataset.splits} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }
    case = dataset.select(split="train").cases[0]
    np.testing.assert_array_equal(dataset.read_mask(case), sample().read_mask(build.cases[0]))
    assert dataset.read_image(case).shape == (256, 256, 3)


def test_isic2017_in_part_and_nested_as_windows_unpacks(build):
    folder = build.isic2017(splits=("Training",))
    data = folder / "ISIC-2017_Training_Data"
    data.rename(folder / "x")
    data.mkdir()
    (folder / "x").rename(data / data.name)
    assert len(Dataset.open(folder)) == 2


def test_isic2017_without_ground_truth_has_images_alone(build):
    folder = build.isic2017()
    truth = folder / "ISIC-2017_Test_v2_Part1_GroundTruth"
    truth.rename(build.root / "away")
    dataset = Dataset.open(folder)
    assert [case.mask for case in dataset.select(split="test")] == [None, None]


def test_isic2017_with_one_mask_missing(build):
    folder = build.isic2017()
    next((folder / "ISIC-2017_Training_Part1_GroundTruth").iterdir()).unlink()
    with pytest.raises(ValueError, match=r"has no mask.*_segmentation\.png.*unpack"):
        Dataset.open(folder)


def test_shenzhen(build):
    dataset = Dataset.open(build.shenzhen(count=20, without=3))
    assert dataset.layout == "shenzhen" and len(dataset) == 23
    train, test, neither = (dataset.select(split=s) for s in ("train", "test", ""))
    assert (len(train), len(test), len(neither)) == (14, 6, 3)
    assert sorted(case.extra["tb"] for case in train) == ["0"] * 7 + ["1"] * 7
    assert all(case.mask is None for case in neither)
    assert Dataset.open(build.root / "shenzhen") == dataset


def test_shenzhen_without_masks(build):
    folder = build.shenzhen()
    (folder / "mask").rename(folder / "masks")
    with pytest.raises(ValueError, match=r"mask: .*CHNCXR_0001_0_mask.png.*none"):
        Dataset.open(folder)


@pytest.mark.parametrize("classes", [2, 3])
def test_nnunet(build, classes):
    folder = build.nnunet(classes=classes)
    for name in ("imagesTr/._a_0000.png", "labelsTr/._a.png"):  # as macOS lays beside its files
        (folder / name).write_bytes(bytes(8))
    dataset = Dataset.open(folder)
    assert dataset.layout == "nnunet" and dataset.classes == classes
    assert [len(dataset.select(split=s)) for s in ("train", "test")] == [5, 3]
    case, original = dataset.cases[0], build.cases[0]
    assert len(case.channels) == 3
    np.testing.assert_array_equal(dataset.read_image(case), sample().read_image(original))
    assert set(np.unique(dataset.read_mask(case))) == set(range(classes))


def test_nnunet_with_photographs(build):
    """RGB in one file, as nnU-Net's own RoadSegmentation has it."""
    folder = build.nnunet()
    for case in build.cases:
        (first,) = folder.glob(f"images*/{case.id}_0000.png")
        for channel in first.parent.glob(f"{case.id}_*.png"):
            channel.unlink()
        Image.open(case.image).save(first)
    dataset = Dataset.open(folder)
    found = dataset.read_image(dataset.cases[0])
    np.testing.assert_array_equal(found, sample().read_image(build.cases[0]))
    Image.open(first).convert("L").save(first)
    with pytest.raises(ValueError, match=r"1 error.*\n.*Expected 3 channel\(s\)"):
        Dataset.open(folder)


def test_nnunet_without_test_labels(build):
    folder = build.nnunet(channels=1)
    (folder / "labelsTs").rename(build.root / "away")
    dataset = Dataset.open(folder)
    assert {case.mask for case in dataset.select(split="test")} == {None}
    assert dataset.select(annotator="nnunet_gt").splits == ("train",)


def test_nnunet_with_an_ignore_label(build):
    folder = build.nnunet(classes=3)
    build.write_json(
        folder, channel_names={"0": "R", "1": "G", "2": "B"}, labels={"b": 0, "a": 1, "ignore": 2}
    )
    dataset = Dataset.open(folder)
    assert (dataset.classes, dataset.ignore_label) == (2, 2)
    assert set(np.unique(dataset.read_mask(dataset.cases[0]))) == {0, 1, 2}


def test_nnunet_problems_are_all_named(build):
    folder = build.nnunet()
    ids = [case.id for case in build.cases]
    (folder / "imagesTr" / f"{ids[0]}_0001.png").unlink()
    (folder / "labelsTr" / f"{ids[1]}.png").unlink()
    Image.new("L", (4, 4)).save(folder / "labelsTr" / "lonely.png")
    for part in ("images", "labels"):
        for file in (folder / f"{part}Tr").glob(f"{ids[2]}*"):
            (folder / f"{part}Ts" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError) as raised:
        Dataset.open(folder)
    message = str(raised.value)
    assert "4 error(s)" in message
    assert f"{ids[0]} imagesTr: Expected 3 channel(s)" in message
    assert f"has no mask labelsTr/{ids[1]}.png" in message
    assert "has no image imagesTr/lonely_0000.png" in message
    assert f"leak-id: {ids[2]}" in message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"file_ending": ".mha"}, r"\.nii\.gz, .*Received: '.mha'.*Convert"),
        ({"channel_names": None, "modality": None}, "channel_names, labels and file_ending"),
        ({"labels": {"background": 0, "region": [1, 3]}}, "lists of these .regions."),
    ],
)
def test_nnunet_descriptions_that_do_not_fit(build, keys, message):
    folder = build.nnunet()
    fine = {"channel_names": {"0": "a", "1": "b", "2": "c"}, "labels": {"background": 0, "a": 1}}
    build.write_json(folder, **{**fine, **keys})
    with pytest.raises(ValueError, match=message):
        Dataset.open(folder)


def test_unknown_layout_says_what_was_looked_for(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"manifest.csv.*imagesTr.*ISIC-2017.*CXR_png.*pictures"):
        Dataset.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Dataset.open(tmp_path / "absent")
    (tmp_path / "a.zip").touch()
    with pytest.raises(ValueError, match="a file. Unpack"):
        Dataset.open(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("pack", "cases", "train"),
    [
        ("isic2018_task1_128", 2694, 2000),
        ("shenzhen_cxr_256", 566, 396),
        ("bubil_multi_256", 3992, None),
        ("dsb2018_nuclei_256", None, None),
    ],
)
def test_data_packs(data_pack, pack, cases, train):
    dataset = Dataset.open(data_pack(pack))
    assert cases is None or len(dataset) == cases
    assert train is None or len(dataset.select(split="train")) == train
    case = dataset.cases[len(dataset) // 2]
    assert dataset.read_image(case).shape[:2] == dataset.read_mask(case).shape
