import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from keras_robust.data import UnreadableImageError, read_image, read_mask, sample
from keras_robust.data.files.images import encode_mask, image_shape

LABELS = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)],
)
def test_eight_bit_modes(tmp_path, mode, channels):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (5, 4), "white").convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (4, 5, channels) and image.dtype == np.uint8
    assert (image == 255).all()


@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 40_000), (np.float32, 1.5)])
def test_deeper_images_keep_their_values(tmp_path, dtype, value):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((4, 5), value, dtype)).save(path)
    for size in (None, (2, 2)):
        image = read_image(path, size)
        assert image.dtype == np.float32 and (image == value).all()


def _png(path, values, colour_type):
    """A PNG of 16 bits per channel, which Pillow does not write; `values` (H, W, channels)."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks))
    return path


def test_colour_of_16_bits_is_not_cut_to_8(tmp_path):
    values = np.arange(36).reshape(3, 3, 4) * 100
    assert read_image(_png(tmp_path / "grey.png", values[..., :1], 0)).max() == 3200
    deep = [
        _png(tmp_path / f"{channels}.png", values[..., :channels], colour_type)
        for channels, colour_type in ((2, 4), (3, 2), (4, 6))
    ]
    for path in deep:
        for read in (read_image, image_shape, read_mask):
            with pytest.raises(UnreadableImageError, match="16 bits per colour.*as grey files"):
                read(path)


def test_resizing_antialiases_images(tmp_path):
    path = tmp_path / "a.png"
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(path)
    assert np.ptp(read_image(path, (8, 8))[:, 1:-1]) <= 12
    assert read_image(path, (3, 7)).shape == (3, 7, 1)


def test_channels_apart_are_stacked(tmp_path):
    for k in range(2):
        Image.new("L", (5, 4), k + 1).save(tmp_path / f"{k}.png")
    image = read_image([tmp_path / "0.png", tmp_path / "1.png"], (8, 8))
    assert image.shape == (8, 8, 2) and (image == [1, 2]).all()
    Image.new("L", (5, 5)).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match=r"channels of one size.*\(4, 5\).*\(5, 5\)"):
        read_image([tmp_path / "0.png", tmp_path / "1.png"])


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 0), (1, 1), (255, 255)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_binary_masks_of_any_storage(tmp_path, values, mode):
    path = tmp_path / "a.png"
    grey = np.array([values], np.uint8)
    Image.fromarray(grey).convert(mode).save(path)
    np.testing.assert_array_equal(read_mask(path), grey > 0)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_masks_drawn_in_their_transparency_are_refused(tmp_path, mode):
    path = tmp_path / "a.png"
    shape = np.array([[0, 0, 255]], np.uint8)

    def saved(colour, alpha):
        image = Image.fromarray(np.array(colour, np.uint8)).convert(mode)
        image.putalpha(Image.fromarray(np.array(alpha, np.uint8)))
        image.save(path)
        return path

    for constant in ([[255] * 3], [[0] * 3]):  # white, and black, on a transparent background
        with pytest.raises(ValueError, match="another shape in its transparency"):
            read_mask(saved(constant, shape))
    for alpha in (shape, [[255] * 3], [[128] * 3]):
        assert read_mask(saved(shape, alpha)).tolist() == [[0, 0, 1]]


def test_black_and_white_palettes_count_as_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putdata([0, 1])
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[1, 0]]


def test_one_bit_is_the_number_of_a_class(tmp_path):
    drawn = np.eye(5, dtype=np.uint8)
    Image.fromarray(drawn.astype(bool)).save(tmp_path / "a.png")
    for classes, ignore_label in ((2, None), (2, 255), (3, 255), (3, None)):
        read = read_mask(tmp_path / "a.png", classes=classes, ignore_label=ignore_label)
        np.testing.assert_array_equal(read, drawn)


def test_an_index_255_is_no_foreground(tmp_path):
    image = Image.new("P", (2, 1))
    image.putdata([0, 255])
    image.putpalette([0, 0, 0, 128, 0, 0] + [0, 128, 0] * 254)  # 255 is the border in Pascal VOC
    image.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", ignore_label=255).tolist() == [[0, 255]]
    with pytest.raises(ValueError, match="index 255.*`ignore`"):
        read_mask(tmp_path / "a.png")


def test_other_palettes_number_the_classes(tmp_path):
    image = Image.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", classes=3).tolist() == [[0, 1, 2]]


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(*[st.integers(1, 20)] * 2), elements=st.integers(0, 3)))
def test_encoded_masks_read_back(tmp_path_factory, labels):
    path = tmp_path_factory.getbasetemp() / "encoded.png"
    path.write_bytes(encode_mask(labels, classes=4))
    np.testing.assert_array_equal(read_mask(path, classes=4), labels)
    path.write_bytes(encode_mask(labels % 2))
    np.testing.assert_array_equal(read_mask(path), labels % 2)
    with Image.open(path) as image:
        assert image.mode == "1"


def test_ignore_label_is_kept(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(LABELS).save(path)
    np.testing.assert_array_equal(read_mask(path, ignore_label=2), LABELS)
    Image.fromarray(np.where(LABELS == 2, 255, LABELS).astype(np.uint8)).save(path)
    assert set(np.unique(read_mask(path, ignore_label=255))) == {0, 1, 255}


def test_resized_masks_hold_no_new_labels(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(LABELS).save(path)
    np.testing.assert_array_equal(
        read_mask(path, (4, 6), classes=3), LABELS.repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize(
    ("array", "classes", "message"),
    [
        (LABELS, 2, r"0 and 1, or 0 and 255.*1 other value\(s\): 2\..*dataset.json"),
        (LABELS * 100, 3, r"0 to 2.*2 other value\(s\): 100, 200"),
        (np.arange(256, dtype=np.uint8)[None], 2, r"254 other value\(s\): 2, 3.*\.\.\."),
        (np.full((2, 2), 300, np.uint16), 3, r"other value\(s\): 300"),
        (np.stack([LABELS, LABELS, 0 * LABELS], -1), 3, r"one channel.*in colour"),
    ],
)
def test_masks_of_wrong_values(tmp_path, array, classes, message):
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    with pytest.raises(ValueError, match=message):
        read_mask(path, classes=classes)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (2.5, 2)])
def test_wrong_size(size):
    with pytest.raises(ValueError, match=r"`size`.*\(height, width\)"):
        read_image(sample().cases[0].image, size)


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_damaged_files(tmp_path, read):
    whole = sample().cases[0].mask.read_bytes()
    for name, content, reason in (
        ("empty.png", b"", "it is empty"),
        ("text.png", b"hello", "not an image"),
        ("header.png", whole[:20], "."),
        ("half.png", whole[: len(whole) // 2], "truncated"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImageError, match=reason) as raised:
            read(tmp_path / name)
        assert name in str(raised.value) and "keras-robust verify" in str(raised.value)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "absent.png")


def test_stacks_are_not_taken_for_images(tmp_path):
    page = Image.new("L", (4, 4))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    with pytest.raises(UnreadableImageError, match="3 pages"):
        read_image(tmp_path / "a.tif")


def test_no_other_format_is_opened_whatever_its_name(tmp_path, monkeypatch):
    def started(*arguments, **options):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen.__init__", started)
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "eps.png").write_bytes(page)
    for name in ("gif", "webp", "ppm", "tga", "ico"):
        Image.new("RGB", (24, 24)).save(tmp_path / "a", name.upper())
        (tmp_path / "a").rename(tmp_path / f"{name}.png")
    for path in tmp_path.iterdir():
        for read in (read_image, read_mask, image_shape):
            with pytest.raises(UnreadableImageError, match="not an image"):
                read(path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "circle.png").symlink_to("circle.png")
    kinds = {"pipe": "a pipe", "folder": "a folder", "device": "a device", "circle": "symbolic"}
    for name, kind in kinds.items():
        with pytest.raises(UnreadableImageError, match=kind):
            read_image(tmp_path / f"{name}.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(deadline=None)
@given(st.data())
def test_no_damage_escapes_the_two_errors(tmp_path_factory, data):
    case = sample().cases[0]
    content = bytearray((case.image if data.draw(st.booleans()) else case.mask).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read_image(path)
    except ValueError:
        pass
