import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.data.files.maps import (
    above_half,
    from_levels,
    has_map,
    read_map,
    to_levels,
    write_map,
)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("shape", [(4, 7), (3, 4, 5)])
def test_maps_come_back(tmp_path, shape, channels):
    levels = np.random.default_rng(0).integers(0, 256, (*shape, channels), np.uint8)
    like = None
    if len(shape) == 3:
        like = tmp_path / "image.nii.gz"
        nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([-2, 1, 3, 1])).to_filename(like)
    assert not has_map(tmp_path / "maps", "a", channels)
    files = write_map(tmp_path / "maps", "a", levels, like)
    assert len(files) == channels and has_map(tmp_path / "maps", "a", channels)
    np.testing.assert_array_equal(read_map(tmp_path / "maps", "a", channels), levels)
    if like is not None:
        np.testing.assert_array_equal(nibabel.load(files[0]).affine, np.diag([-2, 1, 3, 1]))
    # Writing again leaves the same bytes, so that an interrupted audit can be compared.
    before = [file.read_bytes() for file in files]
    write_map(tmp_path / "maps", "a", levels, like)
    assert [file.read_bytes() for file in files] == before


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_levels_are_within_half_a_step(values):
    levels = to_levels(np.array(values))
    assert np.abs(levels / 255 - values).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(to_levels(levels), levels)


@pytest.mark.parametrize("id", ["case 1", "a/b", "..", "ä", "a_1"])
def test_ids_never_become_folders(tmp_path, id):
    folder = tmp_path / "maps"
    for channels in (1, 3):
        write_map(folder, id, np.zeros((2, 2, channels)))
        assert read_map(folder, id, channels).shape == (2, 2, channels)
    assert all(path.parent == folder for path in tmp_path.rglob("*") if path.is_file())


def test_a_map_that_lies_elsewhere_than_its_image_is_refused(tmp_path):
    """An image that was exported on other axes after its map was written."""
    like = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(np.zeros((3, 4, 5)), np.diag([-2, 1, 3, 1])).to_filename(like)
    write_map(tmp_path / "maps", "a", np.ones((3, 4, 5, 2)), like)
    assert read_map(tmp_path / "maps", "a", 2, like).all()
    nibabel.Nifti1Image(np.zeros((3, 4, 5)), np.diag([2, 1, 3, 1])).to_filename(like)
    with pytest.raises(ValueError, match="a_0.nii.gz.*orientation.*LAS instead of RAS"):
        read_map(tmp_path / "maps", "a", 2, like)


def test_ids_that_look_like_channels_do_not_collide(tmp_path):
    write_map(tmp_path, "a", np.zeros((1, 1, 3)))
    write_map(tmp_path, "a_1", np.ones((1, 1, 3)))
    assert not read_map(tmp_path, "a", 3).any() and read_map(tmp_path, "a_1", 3).all()


def test_maps_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"as a\.png or a\.nii\.gz"):
        read_map(tmp_path, "a")
    with pytest.raises(ValueError, match="like=None"):
        write_map(tmp_path, "a", np.zeros((2, 2, 2, 1)))
    (path,) = write_map(tmp_path, "a", np.zeros((20, 20, 1)))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.png"):
        read_map(tmp_path, "a")


@given(
    st.one_of(
        st.floats(0, 1),
        st.floats(0, 1, width=32),
        st.integers(-3, 3).map(lambda steps: 0.5 + steps * 2.0**-24),
        st.integers(-3, 3).map(lambda steps: 0.5 + steps * 2.0**-53),
    ),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_a_file_gives_the_labels_of_the_numbers_that_it_was_made_of(probability, dtype):
    value = np.array([probability], dtype)
    levels = to_levels(value)
    assert above_half(levels) == above_half(value) == above_half(from_levels(levels))
    assert abs(from_levels(levels) - value) <= 1 / 255  # a half beside the cut
    np.testing.assert_array_equal(to_levels(from_levels(levels)), levels)


def test_every_level_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_levels(from_levels(levels)), levels)
