"""TIFF: what is read is what was stored, or the file is refused."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_robust.data import UnreadableImageError, read_image, read_mask
from keras_robust.data.files.images import channel_count, image_shape

PHOTOMETRIC, COMPRESSION = 262, 259
TYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(TYPES),
    bands=st.sampled_from([1, 2, 3, 4, 6]),
    apart=st.booleans(),
    order=st.sampled_from("<>"),
    compression=st.sampled_from([None, "zlib"]),
    tile=st.sampled_from([None, (16, 16)]),
    seed=st.integers(0, 99),
)
def test_stored_numbers_come_back(
    tmp_path_factory, kind, bands, apart, order, compression, tile, seed
):
    path = tmp_path_factory.getbasetemp() / "stored.tif"
    whole = np.dtype(kind).kind != "f"
    generator = np.random.default_rng(seed)
    low, high = (np.iinfo(kind).min, np.iinfo(kind).max) if whole else (-1000, 1000)
    values = generator.integers(low, high, (9, 7, bands), endpoint=True).astype(kind)
    stored = np.moveaxis(values, -1, 0) if apart else values
    tifffile.imwrite(
        path,
        stored if bands > 1 else values[..., 0],
        byteorder=order,
        photometric="minisblack",
        planarconfig=("separate" if apart else "contig") if bands > 1 else None,
        extrasamples=["unspecified"] * (bands - 1) if bands > 1 else None,
        compression=compression,
        tile=tile,
    )
    read = read_image(path)
    assert read.dtype == (np.uint8 if kind == "u1" else np.float32)
    np.testing.assert_array_equal(read, values.astype(read.dtype))
    assert image_shape(path) == (9, 7) and channel_count(path) == bands


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("kind", ["?", "u1", "u2", "u4"])
def test_white_is_the_highest_number_at_every_depth(tmp_path, kind, compression):
    path = tmp_path / "a.tif"
    values = np.array([[0, 1], [1, 0]]).astype(kind)
    if compression is None:
        tifffile.imwrite(path, values, photometric="miniswhite")
    elif kind == "u4":
        return  # no mode of Pillow, by which LZW is undone
    else:
        Image.fromarray(values).save(path, compression=compression)
        _change_tag(path, PHOTOMETRIC, 0)
    top = 255 if kind in "?u1" else np.iinfo(kind).max
    expected = top - values.astype(np.float32) * (255 if kind == "?" else 1)
    np.testing.assert_array_equal(read_image(path)[..., 0], expected.astype(np.float32))


def _change_tag(path, tag, value):
    """Overwrite a short of the only directory of a little-endian TIFF."""
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags[tag].valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 2] = value.to_bytes(2, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "F"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_other_compressions_are_read_as_without(tmp_path, mode, compression):
    grey = np.arange(63).reshape(7, 9) * 4
    deep = {"I;16": "u2", "F": "f4"}
    values = grey.astype(deep.get(mode, "u1"))
    image = Image.fromarray(values) if mode in deep else Image.fromarray(values).convert(mode)
    image.save(tmp_path / "a.tif")
    image.save(tmp_path / "b.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), read_image(tmp_path / "a.tif"))
    assert channel_count(tmp_path / "b.tif") == read_image(tmp_path / "a.tif").shape[-1]


def test_an_unknown_compression_is_refused(tmp_path):
    Image.new("RGBA", (8, 8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    _change_tag(tmp_path / "a.tif", COMPRESSION, 34712)  # JPEG 2000
    with pytest.raises(UnreadableImageError, match="deflate"):
        read_image(tmp_path / "a.tif")


def test_transparency_is_dropped_and_further_bands_are_not(tmp_path):
    values = np.arange(4 * 6).reshape(2, 3, 4).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "b.tif", values, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), values[..., :3])
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), values)


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (np.zeros((4, 4), np.complex64), {}, "complex"),
        (np.zeros((4, 4), np.int16), {"photometric": "miniswhite"}, "signed"),
        (np.zeros((4, 4, 3), np.uint8), {"photometric": "cielab"}, "save it as grey or RGB"),
        (np.zeros((3, 4, 4), np.uint8), {"photometric": "minisblack"}, "3 pages"),
        (np.zeros((5, 8, 8), np.uint8), {"imagej": True}, "5 pages"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, values, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(tmp_path / "a.tif")


def test_a_file_that_ends_within_its_pixels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-100])
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(tmp_path / "a.tif")


def test_palettes_are_masks_by_their_indices(tmp_path):
    image = Image.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([0, 0, 0, 255, 255, 255, 255, 0, 0])
    image.save(tmp_path / "a.tif")
    assert read_mask(tmp_path / "a.tif", classes=3).tolist() == [[0, 1, 2]]
    assert read_image(tmp_path / "a.tif").tolist() == [[[0, 0, 0], [255] * 3, [255, 0, 0]]]


@settings(deadline=None)
@given(st.data())
def test_no_damage_escapes_the_errors(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    values = np.arange(24 * 20 * 3).reshape(24, 20, 3).astype(np.uint8)
    compression = data.draw(st.sampled_from([None, "zlib"]))
    tifffile.imwrite(path, values, photometric="rgb", compression=compression)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        read_image(path)
    except ValueError:
        pass
