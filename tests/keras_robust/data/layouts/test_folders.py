"""Anybody's folders: what belongs together is read, what is not clear is named."""

import json
import re

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_robust.data import Dataset, verify
from keras_robust.data.layouts.folders import ANNOTATOR, IMAGES, MASKS


def put(root, *names):
    """Pictures, each with another mask or image in it, so that none are equal."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number = sum(name.encode()) % 97
        mask = np.zeros((8, 128), np.uint8)
        mask[2:6, 3 : 8 + number] = 255
        if name.endswith(".nii.gz"):
            nibabel.Nifti1Image(mask[..., None] // 255, np.eye(4)).to_filename(path)
        else:
            Image.fromarray(mask).save(path)
    return root


def table(root):
    """(id, mask from the folder on, annotator, split) of each case."""
    return [
        (c.id, c.mask and c.mask.relative_to(root).as_posix(), c.annotator, c.split)
        for c in Dataset.open(root)
    ]


@settings(deadline=None, max_examples=40)
@given(
    images=st.sampled_from(IMAGES),
    masks=st.sampled_from(MASKS),
    end=st.sampled_from(["", "_mask", "_Segmentation", "-labels", "_gt", "-seg", "_groundtruth"]),
    image_end=st.sampled_from(["", "_image", "-img"]),
    upper=st.booleans(),
    suffix=st.sampled_from([".png", ".tif", ".nii.gz"]),
)
def test_two_folders_by_any_of_their_names(
    tmp_path_factory, images, masks, end, image_end, upper, suffix
):
    root = tmp_path_factory.mktemp("data")
    images, masks = (n.title() if upper else n for n in (images, masks))
    if image_end and not end:
        image_end = ""  # then nothing says that they belong together
    for name in ("p1", "p2_mask", "p3"):
        put(root, f"{images}/{name}{image_end}{suffix}", f"{masks}/{name}{end}{suffix}")
    assert table(root) == [
        (f"{name}{image_end}", f"{masks}/{name}{end}{suffix}", ANNOTATOR, "")
        for name in ("p1", "p2_mask", "p3")
    ]
    assert verify(root).ok


def test_masks_beside_images_in_one_folder(tmp_path):
    put(tmp_path, "a.png", "a_mask.png", "b.png", "b-labels.tif", "c.png")
    (tmp_path / "notes.txt").write_text("x")
    assert table(tmp_path) == [
        ("a", "a_mask.png", ANNOTATOR, ""),
        ("b", "b-labels.tif", ANNOTATOR, ""),
        ("c", None, "", ""),
    ]
    assert [p.kind for p in verify(tmp_path).problems] == ["missing-file"]


def test_folders_of_annotators_and_their_names(tmp_path):
    put(tmp_path, "images/a.png", "images/b.png", "masks/anna/a.png", "masks/bo k/a_mask.png")
    put(tmp_path, "masks/bo k/b.png")
    dataset = Dataset.open(tmp_path)
    assert dataset.annotators == ("anna", "bo k") and len(dataset) == 3


@pytest.mark.parametrize(
    "names",
    [
        ("{split}/images/{id}.png", "{split}/masks/{id}.png"),
        ("images/{split}/{id}.png", "masks/{split}/{id}.png"),
        ("{split}/{id}.png", "{split}/{id}_mask.png"),
        ("{split}/Images/{id}.png", "{split}/labels/anna/{id}.png"),
        ("images/{split}/{id}.png", "masks/{split}/anna/{id}.png"),
    ],
)
@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_splits_are_folders(tmp_path, names, words):
    for split in words:
        put(tmp_path, *(name.format(split=split, id=f"of_{split}") for name in names))
    put(tmp_path, names[0].format(split=words[2], id="hidden"))  # without a mask
    annotator = "anna" if "anna" in names[1] else ANNOTATOR
    found = {(id, annotator, split) for id, _, annotator, split in table(tmp_path)}
    assert found == {
        *((f"of_{word}", annotator, split) for word, split in zip(words, SPLITS, strict=True)),
        ("hidden", "", "test"),
    }


SPLITS = ("train", "val", "test")


def test_a_split_without_any_masks_is_kept(tmp_path):
    put(tmp_path, "train/images/a.png", "train/masks/a.png", "test/images/b.png", "val/c.png")
    assert {(id, split) for id, _, _, split in table(tmp_path)} == {
        ("a", "train"),
        ("b", "test"),
        ("c", "val"),
    }


def test_names_and_classes_may_be_told(tmp_path):
    put(tmp_path, "photos/a.png", "drawn/a.png")
    with pytest.raises(ValueError, match="name the two folders in a dataset.json"):
        Dataset.open(tmp_path)
    labels = {"background": 0, "organ": 1, "lesion": 2}
    meta = {"images": "photos", "masks": "drawn", "labels": labels, "name": "ours"}
    (tmp_path / "dataset.json").write_text(json.dumps(meta))
    dataset = Dataset.open(tmp_path)
    assert (dataset.name, dataset.classes) == ("ours", 3)
    assert dataset.class_names == tuple(labels)


def test_classes_of_volumes_come_from_their_masks(tmp_path):
    for name, top in (("images/a.nii.gz", 9), ("masks/a_seg.nii.gz", 2)):
        put(tmp_path, name)
        array = np.arange(60).reshape(3, 4, 5).astype(np.uint8) % (top + 1)
        nibabel.Nifti1Image(array, np.diag([2, 1, 1, 1])).to_filename(tmp_path / name)
    dataset = Dataset.open(tmp_path)
    assert dataset.classes == 3 and dataset.cases[0].spacing == (2, 1, 1)


PAIR = ("images/a.png", "masks/a.png")


@pytest.mark.parametrize(
    ("names", "meta", "message"),
    [
        ((*PAIR, "labels/a.png"), None, "one folder of masks. Received: labels/ and masks/. Name"),
        ((*PAIR, "imgs/a.png"), None, "one folder of images. Received: images/ and imgs/"),
        ((*PAIR, "images/a.tif"), None, "a: one name, two images: a.png and a.tif"),
        ((*PAIR, "masks/a_mask.png"), None, "a: has two masks by 'annotator': a.png and a_mask.p"),
        ((*PAIR, "masks/b.png"), None, "b b.png: has no image of its name"),
        ((*PAIR, "masks/anna/a.png"), None, "both, 1 mask.s. beside anna"),
        (("images/p1/a.png", "masks/p1/a.png"), None, "the folders train, val and test. .*: p1"),
        (("images/a.png", "masks/train/a.png"), None, "train, which the images are not split into"),
        (("train/images/a.png", "train/masks/a.png", "test/images/a.png"), None, "leak-id: a: is"),
        (PAIR, {"images": "../images"}, "`images` as a folder inside. Received: '../images'"),
        (PAIR, {"masks": 7}, "`masks` as a folder inside. Received: 7"),
        (PAIR, {"labels": {"a": 3}}, "labels.*names to values"),
    ],
)
def test_what_is_ambiguous_is_an_error(tmp_path, names, meta, message):
    put(tmp_path, *names)
    if meta is not None:
        (tmp_path / "dataset.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=message):
        Dataset.open(tmp_path)
    assert any(re.search(message, str(problem)) for problem in verify(tmp_path).errors)


def test_other_folders_are_no_dataset(tmp_path):
    put(tmp_path, "a.png", "b.png", "images/c.png", "x_mask.png")
    with pytest.raises(ValueError, match="Expected a dataset folder that has"):
        Dataset.open(tmp_path)
