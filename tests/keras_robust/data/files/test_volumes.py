import gzip
import itertools
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_robust.common import large_arrays
from keras_robust.data import UnreadableImageError, read_image, read_mask
from keras_robust.data.files.images import image_shape, write_mask
from keras_robust.data.files.resizing import resize_labels, resize_volume
from keras_robust.data.files.volume_header import read_header
from keras_robust.data.files.volumes import (
    read_slice,
    read_volume,
    resized_header,
    write_mask_like,
)

SHAPE = (3, 4, 5)
COUNTS = np.arange(60, dtype=np.int16).reshape(SHAPE)
OBLIQUE = np.array(
    [[1.9, -0.4, 0.1, -90], [0.5, 1.4, -0.3, 126], [-0.1, 0.5, 3.1, -72], [0, 0, 0, 1]]
)


def affines():
    """All 48 ways to lay three axes along those of the world, and one that is tilted."""
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = 0
            for axis, (row, sign, spacing) in enumerate(
                zip(axes, signs, (0.7, 1.0, 2.5), strict=True)
            ):
                affine[row, axis] = sign * spacing
            affine[:3, 3] = (-10.5, 20, 3)
            yield affine
    yield OBLIQUE


def save(path, array=COUNTS, affine=OBLIQUE, kind=nibabel.Nifti1Image, **fields):
    image = kind(array, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def rewrite(path, offset, layout, *values):
    """Overwrite a part of the header of an uncompressed or compressed file."""
    content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else b"")
    content = content or bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, *values)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


DIM, DATATYPE, PIXDIM, OFFSET, SROW, QUATERN = 40, 70, 76, 108, 280, 256


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_every_orientation_survives_reading_and_writing(tmp_path, suffix, kind):
    labels = (COUNTS % 3).astype(np.uint8)
    for affine in affines():
        image = save(tmp_path / f"image{suffix}", affine=affine, kind=kind)
        array, read_affine, header = read_volume(image)
        np.testing.assert_array_equal(array, COUNTS)
        np.testing.assert_allclose(read_affine, affine, rtol=1e-6)
        np.testing.assert_allclose(header.spacing_mm, np.linalg.norm(affine[:3, :3], axis=0), 1e-5)

        written = nibabel.load(write_mask_like(tmp_path / f"mask{suffix}", labels, image))
        original = nibabel.load(image)
        assert isinstance(written, kind)
        np.testing.assert_array_equal(np.asarray(written.dataobj), labels)
        np.testing.assert_array_equal(written.affine, original.affine)
        np.testing.assert_array_equal(written.get_qform(), original.get_qform())
        assert written.header["qform_code"] == 1 and written.header["sform_code"] == 2
        np.testing.assert_array_equal(written.header.get_zooms(), original.header.get_zooms())
        np.testing.assert_array_equal(read_mask(tmp_path / f"mask{suffix}", classes=3), labels)


def test_a_handedness_that_is_not_told_is_a_right_hand(tmp_path):
    affine = np.diag([1.0, 2, 3, 1])
    image = save(tmp_path / "a.nii", affine=affine, sform_code=0)
    header = read_header(rewrite(image, PIXDIM, "<f", 0.0))
    np.testing.assert_allclose(header.affine, affine)
    mask = write_mask_like(tmp_path / "mask.nii", COUNTS % 2, image)
    np.testing.assert_allclose(nibabel.load(mask).affine, affine)


def test_units_codes_and_nothing_personal_are_kept(tmp_path):
    fields = {"xyzt_units": 3, "descrip": b"Jane Doe", "cal_max": 7, "scl_slope": 2}
    image = save(tmp_path / "image.nii", affine=np.diag([500.0, 500, 1500, 1]), **fields)
    header = read_header(write_mask_like(tmp_path / "mask.nii", COUNTS % 2, image))
    assert header.spacing_mm == (0.5, 0.5, 1.5)
    assert header.nifti["xyzt_units"] == 3 and header.nifti["cal_max"] == 0
    assert b"Jane" not in (tmp_path / "mask.nii").read_bytes()
    np.testing.assert_allclose(np.diag(header.affine_mm), [0.5, 0.5, 1.5, 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", "<>")
def test_number_types_and_byte_orders(tmp_path, dtype, order):
    header = nibabel.Nifti1Header(endianness=order)
    nibabel.Nifti1Image(COUNTS.astype(dtype), OBLIQUE, header, dtype=dtype).to_filename(
        tmp_path / "a.nii"
    )
    array = read_volume(tmp_path / "a.nii")[0]
    assert array.dtype == dtype and array.dtype.isnative and array.flags.writeable
    np.testing.assert_array_equal(array, COUNTS)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.nii", classes=60), COUNTS)
    mask = write_mask_like(tmp_path / "b.nii", COUNTS, tmp_path / "a.nii")
    np.testing.assert_array_equal(nibabel.load(mask).dataobj, COUNTS)


def test_scaled_values(tmp_path):
    image = nibabel.Nifti1Image(COUNTS, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "a.nii")  # nibabel divides before it stores
    array = read_volume(tmp_path / "a.nii")[0]
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, nibabel.load(tmp_path / "a.nii").get_fdata(), atol=1e-6)


def test_images_are_float_with_channels_last(tmp_path):
    for number in range(2):
        save(tmp_path / f"{number}.nii.gz", (COUNTS + number).astype(np.uint8))
    image = read_image([tmp_path / "0.nii.gz", tmp_path / "1.nii.gz"])
    assert image.shape == (*SHAPE, 2) and image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 1], COUNTS + 1)
    assert image_shape(tmp_path / "0.nii.gz") == SHAPE
    assert read_image(tmp_path / "0.nii.gz", (6, 2, 5)).shape == (6, 2, 5, 1)
    assert read_mask(tmp_path / "0.nii.gz", (6, 2, 5), classes=60).shape == (6, 2, 5)
    for size in ((4, 4), (4, 4, 0), (4, 4, 2.5)):
        with pytest.raises(ValueError, match="`size`.*three sizes.*Received"):
            read_image(tmp_path / "0.nii.gz", size)
        with pytest.raises(ValueError, match="`size`.*three sizes.*Received"):
            read_mask(tmp_path / "0.nii.gz", size, classes=60)


@pytest.mark.parametrize("slope", [1, 0.5])
def test_a_volume_larger_than_the_allowed_memory(tmp_path, monkeypatch, slope):
    array = np.arange(40 * 60 * 100, dtype=np.int16).reshape(40, 60, 100)
    image = nibabel.Nifti1Image(array, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    image.to_filename(tmp_path / "a.nii.gz")
    expected = read_image(tmp_path / "a.nii.gz")
    monkeypatch.setattr(large_arrays, "IN_MEMORY_BYTES", 2**16)
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 2**14)
    tracemalloc.start()
    found = read_image(tmp_path / "a.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, np.memmap) and found.nbytes == 960_000
    assert peak < 700_000
    np.testing.assert_array_equal(found, expected)


def test_slices_as_the_file_has_them(tmp_path):
    """In the order of the file the values are the same, and slices of the last axis are whole."""
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(COUNTS, np.eye(4)).to_filename(path)
    for read in (read_image, lambda path, **given: read_mask(path, classes=60, **given)):
        as_stored, usual = read(path, order="K"), read(path)
        assert np.array_equal(as_stored, usual) and as_stored.dtype == usual.dtype
        assert as_stored[:, :, 2].flags.f_contiguous and usual.flags.c_contiguous
    assert np.array_equal(read_slice(path), COUNTS[:, :, 2])


def test_trailing_axes_of_length_one_are_no_dimensions(tmp_path):
    save(tmp_path / "a.nii.gz", COUNTS[..., None, None])
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz")[0], COUNTS)
    mask = write_mask_like(tmp_path / "m.nii.gz", COUNTS, tmp_path / "a.nii.gz")
    assert nibabel.load(mask).shape == SHAPE


class TestMaskValues:
    def test_binary_masks_of_any_storage(self, tmp_path):
        for on in (1, 255):
            for dtype in (np.uint8, np.int32, np.float32):
                save(tmp_path / "a.nii.gz", (COUNTS % 2 * on).astype(dtype))
                np.testing.assert_array_equal(read_mask(tmp_path / "a.nii.gz"), COUNTS % 2)

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (COUNTS % 4, r"0 to 2.*1 other value\(s\): 3"),
            (COUNTS - 1, r"other value\(s\): -1"),
            (COUNTS * 300, r"other value\(s\): 300"),
            (COUNTS / 2, r"whole numbers.*30 other value\(s\), such as 2.5"),
            (np.where(COUNTS == 7, np.nan, 1.0), r"1 other value\(s\), such as nan"),
            (np.where(COUNTS == 7, np.inf, 1.0), r"1 other value\(s\), such as inf"),
        ],
    )
    def test_what_is_no_label_is_named(self, tmp_path, array, message):
        with pytest.raises(ValueError, match=message):
            read_mask(save(tmp_path / "a.nii.gz", array), classes=3)


class TestImpossibleHeaders:
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    @pytest.mark.parametrize(
        ("offset", "layout", "values", "reason"),
        [
            (DIM, "<8h", (3, 3, 4, 0, 1, 1, 1, 1), "impossible dimensions"),
            (DIM, "<8h", (3, -3, 4, 5, 1, 1, 1, 1), "impossible dimensions"),
            (DIM, "<8h", (0, 3, 4, 5, 1, 1, 1, 1), "impossible dimensions"),
            (DIM, "<8h", (4, 3, 2, 5, 2, 1, 1, 1), "4 dimensions.*time point"),
            (DIM, "<8h", (2, 12, 5, 1, 1, 1, 1, 1), "2 dimensions.*as PNG"),
            (DIM, "<8h", (3, 3, 4, 32000, 1, 1, 1, 1), "truncated"),
            (DIM, "<8h", (3, 32767, 32767, 32767, 1, 1, 1, 1), "GiB.*cut it into parts"),
            (DATATYPE, "<h", (32,), "data type 32"),
            (DATATYPE, "<h", (128,), "data type 128"),
            (DATATYPE, "<h", (9999,), "data type 9999"),
            (OFFSET, "<f", (1e9,), "voxels begin at byte"),
            (OFFSET, "<f", (float("nan"),), "voxels begin at byte"),
            (OFFSET, "<f", (-8,), "voxels begin at byte"),
            (PIXDIM + 4, "<f", (0.0,), "impossible spacing"),
            (PIXDIM + 8, "<f", (-1.0,), "impossible spacing"),
            (PIXDIM + 12, "<f", (float("nan"),), "impossible spacing"),
            (SROW, "<f", (float("nan"),), "affine has values that are not finite"),
            (SROW, "<12f", (0.0,) * 12, "singular"),
            (SROW, "<12f", (1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0), "singular"),
            (SROW, "<12f", (1e5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), "absurd spacing 100000 x 1 x"),
        ],
    )
    def test_are_refused_with_a_reason(self, tmp_path, suffix, offset, layout, values, reason):
        path = rewrite(save(tmp_path / f"a{suffix}"), offset, layout, *values)
        for read in (read_header, read_volume, read_image, read_mask):
            with pytest.raises(UnreadableImageError, match=reason) as raised:
                read(path)
            assert f"a{suffix}" in str(raised.value) and "keras-robust verify" in str(raised.value)

    def test_impossible_quaternions(self, tmp_path):
        image = nibabel.Nifti1Image(COUNTS, np.eye(4))
        image.set_qform(np.eye(4), 1)
        image.set_sform(None, 0)
        image.to_filename(tmp_path / "a.nii")
        assert read_header(tmp_path / "a.nii").oriented
        with pytest.raises(UnreadableImageError, match="impossible orientation|not finite"):
            read_volume(rewrite(tmp_path / "a.nii", QUATERN, "<3f", 2, 2, 2))

    def test_damaged_files(self, tmp_path):
        whole = save(tmp_path / "whole.nii.gz").read_bytes()
        plain = gzip.decompress(whole)
        for name, content, reason in (
            ("empty.nii.gz", b"", "it is empty"),
            ("text.nii.gz", b"hello world", "not a NIfTI"),
            ("short.nii", plain[:100], "truncated: it ends within its header"),
            ("cut.nii", plain[:-1], "truncated"),
            ("more.nii", plain + bytes(2), "more than the 3 x 4 x 5 voxels"),
            ("more.nii.gz", gzip.compress(plain + bytes(2)), "more than the 3 x 4 x 5 voxels"),
            ("half.nii.gz", whole[: len(whole) // 2], "truncated"),
            ("checksum.nii.gz", whole[:-8] + bytes(8), "damaged compression"),
            ("tail.nii.gz", whole[:-4], "truncated"),
            ("pair.nii", plain.replace(b"n+1\0", b"ni1\0"), "one file.*convert .hdr and .img"),
        ):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UnreadableImageError, match=reason) as raised:
                read_volume(tmp_path / name)
            assert raised.value.truncated == reason.startswith("truncated")
        for read in (read_volume, read_image, read_mask, read_header, image_shape):
            with pytest.raises(FileNotFoundError, match="does not exist"):
                read(tmp_path / "absent.nii.gz")

    def test_a_promise_of_gigabytes_takes_no_memory(self, tmp_path):
        import tracemalloc

        path = save(tmp_path / "a.nii.gz")
        rewrite(path, DIM, "<8h", 3, 1000, 1000, 1000, 1, 1, 1, 1)
        bomb = tmp_path / "bomb.nii.gz"  # an honest 100 MB of zeros after the header
        bomb.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(10**8)))
        tracemalloc.start()
        for file in (path, bomb):
            with pytest.raises(UnreadableImageError, match="truncated"):
                read_volume(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**24

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_no_damage_escapes_the_two_errors(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "damaged.nii.gz"
        content = bytearray(gzip.decompress(save(path).read_bytes()))
        for _ in range(data.draw(st.integers(1, 6))):
            position = data.draw(st.integers(0, 351))
            content[position] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))]
        path.write_bytes(gzip.compress(bytes(content)) if data.draw(st.booleans()) else content)
        try:
            read_volume(path)
        except UnreadableImageError:
            pass


class TestWritingMasks:
    def test_the_suffix_chooses_the_format(self, tmp_path):
        image = save(tmp_path / "a.nii.gz")
        write_mask(tmp_path / "m.nii.gz", COUNTS % 2, like=image)
        assert read_mask(tmp_path / "m.nii.gz").shape == SHAPE
        write_mask(tmp_path / "m.png", COUNTS[0] % 3, classes=3)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png", classes=3), COUNTS[0] % 3)
        with pytest.raises(ValueError, match=r"`path`.*`like`.*Received.*m\.nii\.gz"):
            write_mask(tmp_path / "m.nii.gz", COUNTS)
        with pytest.raises(ValueError, match=r"`path`.*\(3, 4, 5\)"):
            write_mask(tmp_path / "n.png", COUNTS)

    def test_equal_masks_are_equal_files(self, tmp_path):
        image = save(tmp_path / "a.nii.gz")
        first = write_mask_like(tmp_path / "1.nii.gz", COUNTS % 2, image).read_bytes()
        # Masks are also on the grid of each other.
        again = write_mask_like(tmp_path / "2.NII.GZ", COUNTS % 2, tmp_path / "1.nii.gz")
        assert again.read_bytes() == first

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (COUNTS[:2], r"shape of the volume.*\(3, 4, 5\).*Received: labels of shape \(2, 4, 5"),
            (COUNTS * 5, "0 to 255.*from 0 to 295"),
            (COUNTS - 1, "0 to 255.*from -1 to 58"),
            (COUNTS / 2, "whole numbers"),
        ],
    )
    def test_wrong_labels_leave_the_old_file(self, tmp_path, labels, message):
        image = save(tmp_path / "a.nii.gz")
        mask = write_mask_like(tmp_path / "m.nii.gz", COUNTS % 2, image)
        before = mask.read_bytes()
        with pytest.raises(ValueError, match=message):
            write_mask_like(mask, labels, image)
        assert mask.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


class TestResizing:
    @pytest.mark.parametrize("size", [(5, 7), (31, 40), (64, 3), (20, 33)])
    def test_slices_are_resized_as_images_are(self, size):
        slice_ = np.random.default_rng(0).normal(size=(20, 33)).astype(np.float32)
        height, width = size
        picture = Image.fromarray(slice_).resize((width, height), Image.Resampling.BILINEAR)
        volume = np.repeat(slice_[None], 4, axis=0)
        resized = resize_volume(volume, (2, *size))
        np.testing.assert_allclose(resized, np.stack([picture] * 2), atol=1e-5)
        labels = Image.fromarray((slice_ > 0).astype(np.uint8))
        nearest = np.asarray(labels.resize((width, height), Image.Resampling.NEAREST))
        np.testing.assert_array_equal(
            resize_labels(np.asarray(labels)[None], (3, *size)), np.stack([nearest] * 3)
        )

    def test_axes_are_resized_alike(self):
        volume = np.random.default_rng(0).normal(size=(6, 9, 4)).astype(np.float32)
        expected = resize_volume(volume, (3, 12, 5))
        turned = resize_volume(volume.transpose(2, 0, 1), (5, 3, 12)).transpose(1, 2, 0)
        np.testing.assert_allclose(turned, expected, atol=1e-6)

    def test_resized_grids_cover_the_same_box(self, tmp_path):
        header = read_header(save(tmp_path / "a.nii"))
        resized = resized_header(header, (6, 2, 5))
        for corner in itertools.product((0, 1), repeat=3):
            # Corners of the box lie half a voxel outside the centres of the outermost voxels.
            old, new = (
                h.affine @ [*(np.array(h.shape) * corner - 0.5), 1] for h in (header, resized)
            )
            np.testing.assert_allclose(old, new, atol=1e-4)
        np.testing.assert_allclose(
            resized.spacing_mm, np.array(header.spacing_mm) * [0.5, 2, 1], rtol=1e-6
        )


def test_a_real_volume_and_its_mask(data_pack):
    folder = data_pack("msd_hippocampus")
    image, _, header = read_volume(folder / "images" / "hippocampus_001.nii.gz")
    mask = read_mask(folder / "labels" / "hippocampus_001.nii.gz", classes=3)
    assert image.shape == mask.shape == header.shape == (35, 51, 35)
    assert header.spacing_mm == (1.0, 1.0, 1.0)
    # As the manifest of the pack counts them.
    assert (mask == 1).sum() == 1324 and (mask == 2).sum() == 1624 and image.max() == 139
