"""COCO, measured by its own library."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from keras_robust.data import Dataset, export_dataset, import_dataset, understand
from keras_robust.data.exchange.coco import decode_counts, encode_counts

from .conftest import blobs, same_masks


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1))
)
def test_runs_as_text_are_those_of_its_library(mask):
    text = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    runs = decode_counts(text)
    assert runs.sum() == mask.size and encode_counts(runs.tolist()) == text


def put(root, annotations, images=None, categories=None, **more):
    root.mkdir(exist_ok=True)
    Image.new("RGB", (12, 10)).save(root / "a.png")
    value = {
        "images": images or [{"id": 7, "file_name": "a.png", "height": 10, "width": 12}],
        "categories": categories or [{"id": 3, "name": "cell"}, {"id": 1, "name": "nerve"}],
        "annotations": [{"id": n, "image_id": 7, **a} for n, a in enumerate(annotations)],
        **more,
    }
    (root / "instances.json").write_text(json.dumps(value))
    return root


def square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def test_what_it_exports_its_library_reads_and_it_reads_back(folder, tmp_path):
    export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    coco = COCO(tmp_path / "coco/annotations/instances_train.json")
    for id, image in coco.imgs.items():
        found = np.zeros((30, 40), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds([id])):
            mask = coco.annToMask(one)
            assert mask.sum() == one["area"] == coco_mask.area(coco.annToRLE(one))
            assert coco_mask.toBbox(coco.annToRLE(one)).tolist() == one["bbox"]
            found[mask > 0] = one["category_id"]
        assert (found == blobs(int(image["file_name"][-5]))).all()
    import_dataset(tmp_path / "coco", tmp_path / "back")
    assert same_masks(tmp_path / "back", {f"p{n}": blobs(n) for n in range(3)})
    back = Dataset.open(tmp_path / "back")
    assert back.class_names == ("background", "cell", "nucleus")
    assert [case.split for case in back] == ["train", "train", "test"]


def test_polygons_of_several_parts_crowds_and_overlaps(tmp_path):
    crowd = np.zeros((10, 12), np.uint8)
    crowd[:, :3] = 1
    runs = [0, 30, 90]  # the first three columns
    annotations = [
        # Two parts that unite, though one lies in the other.
        {"category_id": 3, "segmentation": [square(2, 2, 8, 8), square(4, 4, 6, 6)]},
        {"category_id": 1, "segmentation": [square(7, 7, 10, 9)]},
        {"category_id": 1, "iscrowd": 1, "segmentation": {"size": [10, 12], "counts": runs}},
        {"category_id": 3, "bbox": [0, 0, 1, 1]},
    ]
    source = put(tmp_path / "coco", annotations)
    found = understand(source)
    assert "1 annotation(s) without a segmentation" in found.text()
    import_dataset(source, tmp_path / "data")
    # Classes by the ids of the categories: nerve 1, cell 2.
    expected = np.zeros((10, 12))
    expected[:, :3] = 1  # the crowd, painted first
    expected[2:8, 2:8] = 2
    expected[7:9, 7:10] = 1
    assert same_masks(tmp_path / "data", {"a": expected})


def test_images_without_annotations_are_background_or_unlabelled(tmp_path):
    source = put(tmp_path / "coco", [])
    assert "1 image(s) on which nothing is drawn" in understand(source).text()
    import_dataset(source, tmp_path / "empty")
    import_dataset(source, tmp_path / "none", unmarked="unlabelled")
    assert same_masks(tmp_path / "empty", {"a": np.zeros((10, 12))})
    assert same_masks(tmp_path / "none", {})


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, np.rot90), (8, lambda a: np.rot90(a, 3))],
)
def test_photographs_are_annotated_as_they_are_shown(tmp_path, orientation, turned):
    size = [12, 10] if orientation > 4 else [10, 12]  # height and width as shown
    image = {"id": 7, "file_name": "a.png", "height": size[0], "width": size[1]}
    drawn = [{"category_id": 1, "segmentation": [square(1, 2, 5, 4)]}]
    source = put(tmp_path / "coco", drawn, [image])
    photo = Image.open(source / "a.png")
    photo.getexif()[0x0112] = orientation
    photo.save(source / "a.png", exif=photo.getexif())
    import_dataset(source, tmp_path / "data")
    shown = np.zeros(size)
    shown[2:4, 1:5] = 1
    assert same_masks(tmp_path / "data", {"a": turned(shown)})


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"category_id": 1, "segmentation": [[1, 2, 3]]}, "no list of x and y"),
        ({"category_id": 1, "segmentation": [[1, 2, 3, 4]]}, "three points"),
        ({"category_id": 9, "segmentation": [square(0, 0, 1, 1)]}, "category 9"),
        ({"category_id": 1, "segmentation": {"size": [10, 12], "counts": [5, 6]}}, "runs fill 11"),
        ({"category_id": 1, "segmentation": {"size": [9, 12], "counts": [108]}}, "its size"),
        (
            {"category_id": 1, "segmentation": {"size": [10, 12], "counts": "zzz"}},
            "no text of COCO",
        ),
        ({"category_id": 1, "image_id": 8, "segmentation": [square(0, 0, 1, 1)]}, "image 8"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, annotation, words):
    with pytest.raises(ValueError, match=words):
        import_dataset(put(tmp_path / "coco", [annotation]), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_images_that_are_not_there_or_of_another_size(tmp_path):
    missing = [{"id": 7, "file_name": "gone/b.png"}]
    with pytest.raises(ValueError, match="b.png.*name the folder of the images"):
        understand(put(tmp_path / "a", [], missing))
    resized = [{"id": 7, "file_name": "a.png", "height": 20, "width": 24}]
    with pytest.raises(ValueError, match="10 x 12"):
        import_dataset(put(tmp_path / "b", [], resized), tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir() if "data" in path.name] == []
