"""Annotators whose masks are probabilities."""

import json

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from keras_robust.annotators import majority, mix_annotators, simulate_dataset, soft_consensus
from keras_robust.data import (
    Dataset,
    read_header,
    read_image,
    read_soft_mask,
    verify,
    write_soft_mask,
)
from keras_robust.data.layouts.manifest_writing import add_soft_annotator, append_rows, write_view
from keras_robust.noise import LabelNoise


@pytest.fixture
def soft(build):
    """A manifest folder with the annotator `soft`, whose masks are ramps from 0 to 1."""
    home = build.manifest()
    cases = Dataset.open(home).cases
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    for case in cases:
        target = home / "masks" / "soft" / f"{case.id}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(ramp).save(target)
    add_soft_annotator(home, "soft")
    append_rows(home, cases, "soft")
    return home


def test_soft_masks_are_probabilities_to_train_on_and_labels_to_compare(soft):
    dataset = Dataset.open(soft)
    assert dataset.soft_annotators == ("soft",)
    case = dataset.select(annotator="soft").cases[0]
    target, labels = dataset.read_target(case), dataset.read_mask(case)
    assert target.dtype == np.float32 and labels.dtype == np.uint8
    np.testing.assert_allclose(target[0], np.arange(256) / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, target > 0.5)
    assert 0 < dataset.read_target(case, (32, 32)).min() < 0.02  # resized by averaging
    other = dataset.select(annotator="isic_gt").cases[0]
    np.testing.assert_array_equal(dataset.read_target(other), dataset.read_mask(other))
    assert dataset.read_target(other).dtype == np.uint8


def test_a_soft_dataset_is_sound_and_keeps_its_other_keys(soft):
    report = verify(soft)
    assert report.ok, report.text()
    meta = json.loads((soft / "dataset.json").read_text())
    (soft / "dataset.json").write_text(json.dumps({**meta, "name": "mine"}))
    add_soft_annotator(soft, "soft")
    add_soft_annotator(soft, "softer")
    known = json.loads((soft / "dataset.json").read_text())
    assert known == {"name": "mine", "soft": ["soft", "softer"]}


def test_a_view_knows_soft_annotators_and_takes_more(soft, tmp_path):
    dataset = Dataset.open(soft)
    view = write_view(dataset, tmp_path / "view")
    assert Dataset.open(view).soft_annotators == ("soft",)
    add_soft_annotator(view, "another")
    write_view(dataset, view)  # the same view, once more
    noise = LabelNoise(alpha=0.5, beta=0.5)
    simulate_dataset(soft, noise, source="isic_gt", output=view)
    assert Dataset.open(view).soft_annotators == ("soft", "another")


def test_soft_masks_are_not_corrupted_or_mixed(soft):
    with pytest.raises(ValueError, match="`source`.*'soft', whose masks are probabilities.*--anno"):
        simulate_dataset(soft, LabelNoise(alpha=0.5, beta=0.5), source="soft")
    with pytest.raises(ValueError, match="soft, whose masks are probabilities"):
        mix_annotators(soft, ["soft"])


@pytest.mark.parametrize("soft", ["consensus", [1], {"a": 1}])
def test_soft_must_be_a_list_of_names(build, soft):
    home = build.manifest()
    (home / "dataset.json").write_text(json.dumps({"soft": soft}))
    with pytest.raises(ValueError, match="`soft` as a list of annotators"):
        Dataset.open(home)


def test_soft_masks_of_two_classes_have_one_channel(soft):
    dataset = Dataset.open(soft).select(annotator="soft")
    Image.new("RGB", (256, 256), (1, 2, 3)).save(dataset.cases[0].mask)
    with pytest.raises(ValueError, match="one channel of whole numbers.*3 channels"):
        dataset.read_mask(dataset.cases[0])


@pytest.mark.parametrize("name", ["a.tif", "a.nii.gz"])
def test_fractions_are_not_taken_for_255ths(tmp_path, name):
    def written(values):
        values = np.asarray(values, np.float32).reshape(2, 2)
        if name == "a.tif":
            Image.fromarray(values).save(tmp_path / name)
        else:
            nibabel.Nifti1Image(values[..., None], np.eye(4)).to_filename(tmp_path / name)
        return tmp_path / name

    for values, remedy in (
        ([0, 0.25, 0.5, 1], "multiply them by 255"),
        ([0, 0, 0, 1], "multiply them by 255"),
        ([1, 1, 1, 1], "multiply them by 255"),
        ([0, 63.75, 127.5, 255], "round them"),
    ):
        with pytest.raises(ValueError, match=f"that are no 255ths: {remedy}.*write_soft_mask"):
            read_soft_mask(written(values), (4,) * (2 if name == "a.tif" else 3))
    for levels in ([0, 0, 0, 0], [0, 1, 51, 255]):
        found = read_soft_mask(written(levels))
        np.testing.assert_array_equal(found.ravel(), np.float32(levels) / np.float32(255))


def test_verify_tells_of_fractions_and_of_labels_among_soft_masks(soft):
    first, second, *_ = Dataset.open(soft).select(annotator="soft").cases
    fractions = np.random.default_rng(0).random((256, 256), np.float32)
    Image.fromarray(fractions).save(first.mask, "TIFF")  # Pillow goes by content
    Image.fromarray(np.tri(256, dtype=np.uint8)).save(second.mask)
    found = {(p.severity, p.kind, p.id): p.message for p in verify(soft).problems}
    assert "no 255ths" in found["error", "values", first.id]
    assert "out of `soft` if it holds labels" in found["warning", "empty-mask", second.id]


@st.composite
def shares(draw, rank):
    """Shares of two to nine annotators who chose one of three to five classes."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    classes, annotators = draw(st.integers(3, 5)), draw(st.integers(2, 9))
    votes = draw(arrays(np.uint8, (annotators, *shape), elements=st.integers(0, classes - 1)))
    return soft_consensus(votes, classes=classes), majority(votes, classes=classes)


@settings(max_examples=30, deadline=None)
@given(shares(2))
def test_shares_of_classes_survive_the_file_but_for_a_255th(tmp_path_factory, drawn):
    probabilities, labels = drawn
    path = tmp_path_factory.mktemp("soft") / "a.tif"
    write_soft_mask(path, probabilities)
    found = read_soft_mask(path, classes=probabilities.shape[-1])
    assert found.dtype == np.float32 and np.abs(found - probabilities).max() < 1 / 255
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=-1), labels)
    again = path.read_bytes()
    write_soft_mask(path, found)  # what was rounded once is not rounded again
    assert path.read_bytes() == again


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_shares_of_a_volume_keep_its_grid(tmp_path, suffix):
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -7], [0, 0, -3, 1], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, 1)
    image.to_filename(tmp_path / "image.nii.gz")
    votes = np.random.default_rng(0).integers(0, 4, (3, 4, 5, 6))
    probabilities = soft_consensus(votes, classes=4)
    path = write_soft_mask(tmp_path / f"a{suffix}", probabilities, tmp_path / "image.nii.gz")
    found = read_soft_mask(path, classes=4)
    np.testing.assert_allclose(found, probabilities, atol=1e-6)  # thirds of 255 are whole
    stored = nibabel.load(path)
    assert stored.shape == (4, 5, 6, 4) and stored.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(stored.affine, affine)
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert stored.header[field] == image.header[field]
    assert read_header(path, channels=True).spacing_mm == (1.5, 2.0, 3.0)
    with pytest.raises(ValueError, match="4 dimensions"):  # as an image it would be a mistake
        read_image(path)
    half = read_soft_mask(path, (2, 5, 6), classes=4)
    assert half.shape == (2, 5, 6, 4)
    np.testing.assert_allclose(half.sum(axis=-1), 1, rtol=1e-6)


def test_ties_are_the_lowest_label_as_in_a_majority(tmp_path):
    path = write_soft_mask(tmp_path / "a.tif", np.array([[[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]]))
    found = read_soft_mask(path, classes=3)
    np.testing.assert_array_equal(found * 255, [[[0, 128, 127], [128, 0, 127]]])


def test_resized_shares_are_means_that_sum_to_one(tmp_path):
    corner = np.zeros((8, 8, 3))
    corner[..., 0] = 1
    corner[:4, :4] = [0, 0, 1]
    path = write_soft_mask(tmp_path / "a.tif", corner)
    small = read_soft_mask(path, (2, 2), classes=3)
    np.testing.assert_allclose(small.sum(axis=-1), 1, rtol=1e-6)
    assert small[0, 0].argmax() == 2 and small[1, 1].argmax() == 0
    assert 0 < small[0, 1, 2] < 0.5  # by averaging, not by choosing a pixel


def _tiff(path, *pages):
    first, *others = (Image.fromarray(np.asarray(page)) for page in pages)
    first.save(path, save_all=True, append_images=others)
    return path


def test_refusals_of_files_name_what_is_there(tmp_path):
    page = np.full((2, 2), 85, np.uint8)
    for pages, received in (
        ([page], r"1 page\(s\)"),
        ([page, page], r"2 page\(s\)"),
        ([page] * 4, r"4 page\(s\)"),
        ([page, page, page - 5], "4 places with another sum, such as 250"),
        ([page, page, np.full((2, 3), 85, np.uint8)], "pages of uint8 2 x 2 x 1, uint8 2 x 3 x 1"),
        ([page, page, page.astype(np.float32)], "pages of uint8 2 x 2 x 1, float32 2 x 2 x 1"),
    ):
        path = _tiff(tmp_path / "a.tif", *pages)
        with pytest.raises(ValueError, match=f"3 pages of 8 bits.*sum to 255.*{received}.*Correct"):
            read_soft_mask(path, classes=3)
    nibabel.Nifti1Image(np.ones((4, 4, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "c.nii")
    with pytest.raises(ValueError, match=r"fourth axis.*shape \(4, 4, 3\)"):
        read_soft_mask(tmp_path / "c.nii", classes=3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path):
    drawn = np.random.default_rng(0).dirichlet([1, 1, 1], (20, 20))
    path = write_soft_mask(tmp_path / "a.tif", drawn)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 50, 20):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Expected a (readable image|soft mask of 3 pages)"):
            read_soft_mask(path, classes=3)


def test_refusals_of_probabilities_say_what_to_do(tmp_path):
    third = np.full((2, 2, 3), 1 / 3)
    for wrong, match in (
        (third * 2, "sum to 1.*2"),
        (third * 4, "from 0 to 1.*1.33"),
        (third - 1, "from 0 to 1.*-0.66"),
        (third[..., :2], "three or more classes"),
        (third[:0], "none"),
    ):
        with pytest.raises(ValueError, match=match):
            write_soft_mask(tmp_path / "a.tif", wrong)
    with pytest.raises(ValueError, match=r"`path`.*\.tif"):
        write_soft_mask(tmp_path / "a.png", third)
    with pytest.raises(ValueError, match=r"`path`.*with `like`"):
        write_soft_mask(tmp_path / "a.nii.gz", np.full((2, 2, 2, 3), 1 / 3))
    assert not list(tmp_path.iterdir())
