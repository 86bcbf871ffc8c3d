"""Cases that nnU-Net's dataset.json lists, and the number that it says."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset, verify

FINE = {"channel_names": {"0": "x"}, "labels": {"background": 0, "cell": 1}, "file_ending": ".png"}


@pytest.fixture
def folder(tmp_path):
    """Three cases, of which dataset.json is to be written."""
    folder = tmp_path / "raw"
    for number in range(3):
        mask = np.zeros((8, 8), np.uint8)
        mask[2 : 4 + number, 2:6] = 1
        for name in (f"imagesTr/c{number}_0000.png", f"labelsTr/c{number}.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(folder / name)
    return folder


def write(folder, **keys):
    (folder / "dataset.json").write_text(json.dumps(FINE | keys))
    return folder


def entry(number, images="imagesTr", labels="labelsTr"):
    return {"images": [f"{images}/c{number}_0000.png"], "label": f"{labels}/c{number}.png"}


def test_the_cases_that_are_listed_are_those_that_are_read(folder, monkeypatch):
    monkeypatch.setenv("RAW", str(folder))
    listed = {"first": entry(2), "second": entry(0, "$RAW/imagesTr", "./x/../labelsTr")}
    dataset = Dataset.open(write(folder, dataset=listed, numTraining=2))
    assert dataset.ids == ("first", "second") and dataset.splits == ("train",)
    assert dataset.read_mask(dataset.cases[0]).sum() == 4 * 4  # that of c2
    assert dataset.class_names == ("background", "cell")
    assert verify(folder).ok


def test_a_folder_that_has_only_a_list_is_a_dataset(folder):
    for name, other in (("imagesTr", "photos"), ("labelsTr", "drawn")):
        (folder / name).rename(folder / other)
    write(folder, dataset={"a": entry(0, "photos", "drawn")})
    assert Dataset.open(folder).ids == ("a",)
    (folder / "dataset.json").write_text(json.dumps({"name": "none"}))
    with pytest.raises(ValueError, match="Expected a dataset folder that has .manifest"):
        Dataset.open(folder)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"numTraining": 4}, "Expected 3 as numTraining.*imagesTr holds 3.*Received: 4"),
        ({"numTraining": "3"}, "Received: '3'"),
        ({"numTraining": 3, "dataset": {"a": entry(0)}}, "`dataset` lists 1 case.*Received: 3"),
        ({"dataset": ["c0"]}, "`dataset` as .*Received: .'c0'.. Correct it"),
        ({"dataset": {"a": {"images": []}}}, "a: Expected|dataset.json: a .*Expected `images`"),
        ({"dataset": {"a": {"images": [None], "label": "x"}}}, "Expected `images`"),
        ({"dataset": {"a": entry(0, "../elsewhere")}}, "outside: a .*leaves the dataset folder"),
        ({"dataset": {"a": entry(0) | {"label": "/etc/passwd"}}}, "passwd' leaves the dataset"),
        ({"dataset": {"../a": entry(0)}}, "cannot hold"),
        ({"dataset": {"a": entry(0) | {"images": entry(0)["images"] * 2}}}, "Expected 1 file"),
    ],
)
def test_what_contradicts_the_folder_is_an_error(folder, keys, message):
    with pytest.raises(ValueError, match=message):
        Dataset.open(write(folder, **keys))


def test_files_elsewhere_need_their_folder_named(folder):
    (folder / "imagesTr").rename(folder.parent / "archive")
    listed = {"a": entry(1, "../archive")}
    assert Dataset.open(write(folder, dataset=listed, sources=["../archive"])).ids == ("a",)


def test_a_listed_file_that_is_missing_is_named(folder):
    (folder / "labelsTr/c1.png").unlink()
    report = verify(write(folder, dataset={"a": entry(1)}))
    assert [(p.kind, p.path) for p in report.errors] == [("missing-file", "labelsTr/c1.png")]
