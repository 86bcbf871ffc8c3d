"""Tools that save shapes and masks: files of their own writers, and what they mean."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from keras_robust.data import Dataset, export_dataset, import_dataset, understand
from keras_robust.data.exchange.cvat import parse_xml
from keras_robust.data.exchange.label_studio import decode_brush, encode_brush

from .conftest import blobs, same_masks

# Written by labelme 6.3.1, label-studio-converter 0.0.59, and Datumaro 1.13.12 (CVAT, COCO) of the
# mask `cells` and of a triangle, a rectangle and a circle.
MADE = Path(__file__).parent / "made"
SIZE = (20, 26)


def cells():
    mask = np.zeros(SIZE, np.uint8)
    mask[4:15, 5:20] = 1
    mask[7:10, 9:14] = 0
    mask[18, 1:4] = 1
    return mask


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(path)
    return path


def triangle(labels, value):
    # (1, 1), (4, 1), (4, 3.5): in the row 1.5 from x 1.6 on, in the row 2.5 from x 2.8 on.
    labels[1, 2:4] = labels[2, 3] = value


@pytest.mark.parametrize("format", ["coco", "cvat", "labelme", "label_studio", "geojson"])
def test_what_is_exported_comes_back(folder, tmp_path, format):
    labels = {"background": 0, "zebra": 1, "ant": 2, "ignore": 255}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    mask = blobs(0)
    mask[24:26, 3:9] = 255
    Image.fromarray(mask).save(folder / "masks/anna/p0.png")
    export_dataset(folder, tmp_path / "out", format, annotator="anna")
    found = import_dataset(tmp_path / "out", tmp_path / "back")
    assert same_masks(tmp_path / "back", {"p0": mask, "p1": blobs(1), "p2": blobs(2)})
    assert "1 image(s) on which nothing is drawn" in found.text()
    back = Dataset.open(tmp_path / "back")
    assert back.class_names == ("background", "zebra", "ant") and back.ignore_label == 255
    if format != "label_studio":  # which has no splits
        assert [case.split for case in back] == ["train", "train", "test"]


def test_labelme(tmp_path):
    source = tmp_path / "labelme"
    shutil.copytree(MADE / "labelme", source)
    expected = cells()
    expected[18] = 0  # its mask ends above
    triangle(expected, 2)
    expected[16:18, 21:24] = 2  # corners (24, 18) and (21, 16)
    # A circle about (23, 4) of radius 2: of the rows 2.5 and 5.5, 1.5 away, centres up to 1.3 away.
    expected[2, 22:24] = expected[5, 22:24] = 2
    expected[3:5, 21:25] = 2
    found = import_dataset(source, tmp_path / "held")  # the image lies in the file itself
    assert "1 shape(s) of the type point" in found.text()
    assert same_masks(tmp_path / "held", {"a": expected})
    photo(tmp_path / "elsewhere/a.png")
    import_dataset(source, tmp_path / "beside", images=tmp_path / "elsewhere")
    assert Dataset.open(tmp_path / "beside").cases[0].image.parent == tmp_path / "elsewhere"


def test_cvat(tmp_path):
    source = tmp_path / "cvat"
    shutil.copytree(MADE / "cvat", source)
    photo(source / "images/sub/a.jpg")
    expected = cells() * 2
    triangle(expected, 1)
    expected[16:18, 21:24] = 1
    import_dataset(source, tmp_path / "data")
    assert same_masks(tmp_path / "data", {"a": expected})
    back = Dataset.open(tmp_path / "data")
    assert back.class_names[1:] == ("nerve", "cell") and back.splits == ("train",)


def test_coco_takes_the_instances_of_a_folder_with_more(tmp_path):
    source = tmp_path / "coco"
    shutil.copytree(MADE / "coco", source / "annotations")
    photo(source / "images/train/sub/a.jpg")
    found = import_dataset(source, tmp_path / "data")
    expected = cells() * 2  # a crowd
    triangle(expected, 1)
    assert same_masks(tmp_path / "data", {"a": expected})
    assert "1 annotation(s) without a segmentation" in found.text()  # a box


def cvat(tmp_path, *shapes, head=""):
    photo(tmp_path / "cvat/a.png")
    image = f'<image id="0" name="a.png" width="26" height="20">{"".join(shapes)}</image>'
    text = f"<?xml version='1.0'?>{head}<annotations>{image}</annotations>"
    (tmp_path / "cvat/annotations.xml").write_text(text)
    return tmp_path / "cvat"


def test_cvat_paints_by_z_order_and_puts_masks_where_they_lie(tmp_path):
    box = '<box label="a" xtl="2" ytl="3" xbr="8" ybr="9" z_order="2"/>'
    # Two rows of four, row by row: the first two, then the last three.
    mask = '<mask label="b" rle="0, 2, 3, 3" left="7" top="8" width="4" height="2" z_order="1"/>'
    turned = '<box label="c" xtl="10" ytl="2" xbr="16" ybr="4" rotation="90.00"/>'
    import_dataset(cvat(tmp_path, box, mask, turned), tmp_path / "data")
    expected = np.zeros(SIZE)
    expected[8, 7:9] = expected[9, 8:11] = 2
    expected[3:9, 2:8] = 1
    expected[0:6, 12:14] = 3  # about its centre, (13, 3)
    assert same_masks(tmp_path / "data", {"a": expected})


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ('<mask label="b" rle="3" left="0" top="0" width="2" height="2"/>', "runs fill 3"),
        ('<mask label="b" rle="4" left="0" top="0" width="2"/>', "has no 'height'"),
        ('<polygon label="b" points="1,2;3"/>', "pairs of numbers"),
        ('<ellipse label="b" cx="1" cy="nan" rx="1" ry="1"/>', "half axes"),
    ],
)
def test_cvat_names_shapes_that_cannot_be(tmp_path, shape, words):
    with pytest.raises(ValueError, match=words):
        understand(cvat(tmp_path, shape))


def test_xml_that_declares_entities_is_refused(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    with pytest.raises(ValueError, match="document type"):
        understand(cvat(tmp_path, head=bomb))
    with pytest.raises(ValueError, match="not XML"):
        parse_xml(b"<a><b></a>")


@settings(deadline=None, max_examples=40)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_brushes_are_written_as_they_are_read(mask):
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_label_studio_reads_brushes_of_its_converter(tmp_path):
    made = bytes(json.loads((MADE / "brush.json").read_text()))
    assert (decode_brush(made, SIZE) == cells()).all()
    for cut in range(0, len(made) - 1, 7):
        with pytest.raises(ValueError, match="brush"):
            decode_brush(made[:cut], SIZE)
    # A stretch of single values: 4 numbers of 8 bits, not alike, of sizes as in the head.
    head = encode_brush(np.zeros((1, 1), bool))[:6]  # 32 + 5 + 4 x 4 bits, cut within
    bits = "".join(f"{byte:08b}" for byte in head)[:48] + "01111"  # the last size, 16
    stretch = bits + "0" + "00" + "011" + "".join(f"{v:08b}" for v in (1, 2, 3, 255))
    whole = int(stretch.ljust(-(-len(stretch) // 8) * 8, "0"), 2).to_bytes(-(-len(stretch) // 8))
    assert decode_brush(whole, (1, 1)).tolist() == [[True]]


def studio(tmp_path, *annotations, data="/data/upload/3/1a2b3c4d-a%20b.png"):
    photo(tmp_path / "studio/images/a b.png")
    listed = [
        {"id": n, "completed_by": who, "result": result}
        for n, (who, result) in enumerate(annotations)
    ]
    tasks = [{"id": 1, "data": {"image": data}, "annotations": listed}]
    (tmp_path / "studio/project.json").write_text(json.dumps(tasks))
    return tmp_path / "studio"


def region(kind, name, **value):
    size = {"original_height": SIZE[0], "original_width": SIZE[1], "image_rotation": 0}
    return {
        "id": name,
        "type": f"{kind}labels",
        **size,
        "value": {**value, f"{kind}labels": [name]},
    }


def test_label_studio_counts_in_per_cent_and_turns_clockwise(tmp_path):
    regions = [
        # 13 of 26 columns and 4 of 20 rows from (0, 0), turned by a quarter about that corner.
        region("rectangle", "a", x=50, y=0, width=50, height=20, rotation=90),
        region("polygon", "b", points=[[0, 50], [10, 50], [10, 75], [0, 75]]),
        region("ellipse", "c", x=80, y=80, radiusX=10, radiusY=10, rotation=0),
    ]
    import_dataset(studio(tmp_path, (4, regions)), tmp_path / "data", annotator="anna")
    expected = np.zeros(SIZE)
    expected[0:13, 9:13] = 1
    expected[10:15, 0:3] = 2  # 2.6 columns, the centre of the third is inside
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    expected[((x - 20.8) / 2.6) ** 2 + ((y - 16) / 2) ** 2 <= 1] = 3
    assert same_masks(tmp_path / "data", {"a b": expected})
    assert Dataset.open(tmp_path / "data").annotators == ("anna",)


def test_label_studio_in_its_short_form(tmp_path):
    source = studio(tmp_path)
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}
    box = {"x": 50, "y": 0, "width": 50, "height": 20, "rotation": 0, "rectanglelabels": ["a"]}
    task = {"image": "/data/upload/3/1a2b3c4d-a%20b.png", "id": 1, "annotator": 1}
    task |= {"annotation_id": 4, "label": [{**box, **size}]}
    (source / "project.json").write_text(json.dumps([task]))
    import_dataset(source, tmp_path / "data")
    expected = np.zeros(SIZE)
    expected[:4, 13:] = 1
    assert same_masks(tmp_path / "data", {"a b": expected})


def test_label_studio_has_an_annotator_for_each_who_worked(tmp_path):
    brush = {"format": "rle", "rle": list(encode_brush(cells() > 0))}
    work = [(7, [region("brush", "a", **brush)]), ({"id": 9, "email": "x@y"}, [])]
    import_dataset(studio(tmp_path, *work), tmp_path / "data")
    assert Dataset.open(tmp_path / "data").annotators == ("annotator-7", "annotator-9")
    # Nobody worked on it: not background, but not looked at.
    import_dataset(studio(tmp_path), tmp_path / "none")
    assert same_masks(tmp_path / "none", {})


def test_geojson_of_qupath(tmp_path):
    def ring(left, top, right, bottom):
        return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]

    def feature(kind, coordinates, name):
        properties = {"objectType": "annotation", "isLocked": False}
        if name:
            properties["classification"] = {"name": name, "color": [200, 0, 0]}
        geometry = {"type": kind, "coordinates": coordinates}
        return {"type": "Feature", "id": "1", "geometry": geometry, "properties": properties}

    features = [
        feature("Polygon", [ring(0, 0, 26, 20)], "Region*"),
        feature(
            "MultiPolygon", [[ring(2, 2, 8, 8), ring(4, 4, 6, 6)], [ring(9, 9, 12, 10)]], "Tumor"
        ),
        feature("Polygon", [ring(20, 2, 22, 4)], "Ignore*"),
        feature("Point", [3, 3], "Tumor"),
        feature("Polygon", [ring(0, 19, 1, 20)], None),
    ]
    photo(tmp_path / "slides/a.tif")
    (tmp_path / "slides/a.geojson").write_text(json.dumps(features))
    found = import_dataset(tmp_path / "slides", tmp_path / "data")
    expected = np.zeros(SIZE)
    expected[2:8, 2:8] = expected[9, 9:12] = 1
    expected[4:6, 4:6] = 0
    expected[2:4, 20:22] = 255
    expected[19, 0] = 2
    assert same_masks(tmp_path / "data", {"a": expected})
    labels = {"background": 0, "Tumor": 1, "object": 2, "ignore": 255}
    assert found.description["labels"] == labels and "Region*" in found.text()


def test_damaged_pictures_in_files_are_named(tmp_path):
    source = tmp_path / "labelme"
    shutil.copytree(MADE / "labelme", source)
    value = json.loads((source / "a.json").read_text())
    value["shapes"][0]["mask"] = base64.b64encode(b"\x89PNG no picture").decode()
    (source / "a.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="shape 1 .*damaged"):
        understand(source)


def test_no_name_in_a_file_leads_out_of_its_folder(tmp_path):
    photo(tmp_path / "secret.png")
    source = studio(tmp_path, (1, []), data="/data/local-files/?d=../../secret.png")
    with pytest.raises(ValueError, match="secret.png"):
        understand(source)
    absolute = studio(tmp_path, (1, []), data=str(tmp_path / "secret.png"))
    with pytest.raises(ValueError, match="secret.png"):
        understand(absolute)
