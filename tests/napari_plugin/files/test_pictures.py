"""PNG and TIFF through napari's own open and save."""

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import read_mask, sample
from napari_plugin.files.pictures import looks_like_labels, read_picture, write_picture_file

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)


def write_and_open(viewer_model, tmp_path, name, labels):
    layer = viewer_model.add_labels(labels)
    assert layer.save(str(tmp_path / name), plugin="keras-robust") == [str(tmp_path / name)]
    (again,) = viewer_model.open(tmp_path / name, plugin="keras-robust")
    return again


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff"])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_round_trip(viewer_model, tmp_path, name, classes):
    labels = np.random.default_rng(0).integers(0, classes, (17, 23)).astype(np.uint8)
    again = write_and_open(viewer_model, tmp_path, name, labels)
    assert again._type_string == "labels"
    np.testing.assert_array_equal(again.data, labels)


def test_a_stack_round_trips_as_tiff(viewer_model, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (4, 9, 8)).astype(np.uint8)
    np.testing.assert_array_equal(
        write_and_open(viewer_model, tmp_path, "a.tif", labels).data, labels
    )


def test_the_library_reads_what_is_written(tmp_path):
    labels = np.eye(12, dtype=int)
    path = write_picture_file(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(read_mask(path), labels)


def test_a_mask_in_black_and_white_is_labels(tmp_path):
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    data, options, kind = read_picture(tmp_path / "a.png")
    assert kind == "labels" and data.max() == 1 and options["name"] == "a"


def test_a_photograph_is_an_image(tmp_path):
    case = sample().cases[0]
    Image.open(case.image).save(tmp_path / "a.png")
    data, options, kind = read_picture(tmp_path / "a.png")
    assert kind == "image" and options["rgb"] and data.shape == (256, 256, 3)


def test_labels_beyond_8_bits_keep_their_values(tmp_path):
    labels = np.array([[0, 300], [65535, 7]])
    path = write_picture_file(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels)


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3, 4), int), np.array([[70000]]), np.array([[-1]])]
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path, labels):
    with pytest.raises(ValueError, match="Expected"):
        write_picture_file(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ValueError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255], True),
        ([0, 1, 2], True),
        ([0.0, 1.0], True),
        ([0.0, 0.5], False),
        ([0, 40, 200], False),
        ([-1, 1], False),
        ([np.nan, 1.0], False),
        ([3, 255], False),
    ],
)
def test_what_looks_like_labels(values, expected):
    assert looks_like_labels(np.array(values)) is expected


@pytest.mark.parametrize(
    "palette", [[WHITE, BLACK], [BLACK, WHITE], [WHITE, RED], [BLACK, RED], [WHITE, BLACK, RED]]
)
@pytest.mark.parametrize("values", [(0, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_palette_means_what_it_means_to_the_library(tmp_path, palette, values, suffix):
    image = Image.new("P", (2, 1))
    image.putdata(values)
    image.putpalette([number for colour in palette for number in colour])
    path = tmp_path / f"a{suffix}"
    image.save(path)
    np.testing.assert_array_equal(read_picture(path)[0], read_mask(path))


@pytest.mark.parametrize("ignore_label", [None, 255])
@pytest.mark.parametrize("highest", [0, 1, 2])
def test_the_library_reads_what_is_written_whatever_its_classes(tmp_path, highest, ignore_label):
    labels = np.eye(5, dtype=np.uint8) * highest
    path = write_picture_file(tmp_path / "a.png", labels)
    np.testing.assert_array_equal(read_mask(path, classes=3, ignore_label=ignore_label), labels)
