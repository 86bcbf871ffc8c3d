import json
import tracemalloc
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from keras_robust.data import Dataset, sample
from keras_robust.data.files.soft_masks import write_soft_mask
from keras_robust.planning import preprocessing
from keras_robust.planning.fingerprint import fingerprint
from keras_robust.planning.intensities import normalize
from keras_robust.planning.plan import make_plan
from keras_robust.planning.preprocessing import PreprocessedCase, preprocess, preprocess_image
from keras_robust.training.patches.patches import Patches

RNG = np.random.default_rng(0)


@pytest.fixture
def volumes(tmp_path):
    """Three volumes with thick slices last, a black frame, and two classes."""
    folder = tmp_path / "volumes"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        image = np.zeros((30, 28, 10), np.float32)
        image[4:26, 3:25] = RNG.normal(100, 20, (22, 22, 10))
        labels = np.zeros(image.shape, np.uint8)
        labels[8:18, 8:18, 2:7], labels[10:14, 10:14, 3:5] = 1, 2
        affine = np.diag([1, 1, 4 + number, 1])
        nibabel.Nifti1Image(image, affine).to_filename(
            folder / "imagesTr" / f"c{number}_0000.nii.gz"
        )
        nibabel.Nifti1Image(labels, affine).to_filename(folder / "labelsTr" / f"c{number}.nii.gz")
    meta = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(meta))
    return Dataset.open(folder)


def test_the_thick_axis_comes_first_and_is_resampled_apart(volumes):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    assert plan.axes == (2, 0, 1)
    case = volumes.cases[2]  # spacing 6 along its last axis, median 5
    image, labels, geometry = preprocess_image(
        volumes.read_image(case), case.spacing, plan, found, volumes.read_mask(case)
    )
    # 10 slices of 6 mm become 12 of 5 mm; the frame of zeros is gone: 22 x 22.
    assert image.shape == (12, 22, 22, 1) and labels.shape == (12, 22, 22)
    assert geometry.box == ((0, 10), (4, 26), (3, 25))
    assert set(np.unique(labels)) == {0, 1, 2}
    # Whole slices are taken over from the nearest, so that each is one of the ten.
    before = volumes.read_mask(case).transpose(2, 0, 1)[:, 4:26, 3:25]
    for new in labels:
        assert any((new == old).all() for old in before)


def test_cases_on_disk_equal_cases_in_memory_and_are_read_in_part(volumes, tmp_path, monkeypatch):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    seen = []
    cases = preprocess(volumes, plan, found, tmp_path / "out", lambda *done: seen.append(done))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for case, stored in zip(volumes, cases, strict=True):
        image, labels, geometry = preprocess_image(
            volumes.read_image(case), case.spacing, plan, found, volumes.read_mask(case)
        )
        np.testing.assert_array_equal(stored.image[:], image)
        np.testing.assert_array_equal(stored.labels[2:5, 3:9], labels[2:5, 3:9])
        assert stored.geometry == geometry
        for value, voxels in stored.locations.items():
            assert (labels[tuple(voxels.T)] == value).all()
            assert len(voxels) == (labels == value).sum()  # all of them: fewer than 10,000
        assert stored.annotated is None  # all are
    monkeypatch.setattr("keras_robust.planning.preprocessing.MIN_LOCATIONS", 5)
    fewer = stored.relabelled(tmp_path / "fewer", labels, volumes)
    assert fewer.sizes == {label: (labels == label).sum() for label in (1, 2)}
    assert all(5 <= len(fewer.locations[label]) < fewer.sizes[label] for label in (1, 2))


def test_shares_are_resampled_as_labels_are_and_stay_shares(volumes, tmp_path):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    case = volumes.cases[2]
    image, labels = volumes.read_image(case), volumes.read_mask(case)
    _, expected, _ = preprocess_image(image, (1, 1.3, 6), plan, found, labels)
    sure = np.eye(3, dtype=np.float32)[labels]
    _, shares, _ = preprocess_image(image, (1, 1.3, 6), plan, found, sure)
    assert shares.shape == (*expected.shape, 3) and ((shares > 0.01) & (shares < 0.99)).any()
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(shares.argmax(axis=-1), expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_soft_masks_are_stored_in_255ths_of_the_foreground(volumes, tmp_path, classes):
    labels = volumes.read_mask(volumes.cases[2])
    # Where the lesion is, (.2, .3, .5) or .3; where the organ is around it, (.6, .4, 0) or 1.
    shares = np.array([[1, 0, 0], [0.6, 0.4, 0], [0.2, 0.3, 0.5]])[labels]
    path = tmp_path / "soft.nii.gz"
    case = replace(volumes.cases[2], mask=path)
    binary = np.array([0, 1, 0.3])[labels]
    write_soft_mask(path, shares if classes == 3 else binary, case.image)
    soft = replace(volumes, cases=(case,), classes=classes, soft_annotators=(case.annotator,))
    found = fingerprint(soft)
    plan = make_plan(found, memory_gib=1)
    (stored,) = preprocess(soft, plan, found, tmp_path / "out")
    levels = stored.labels[:]
    assert levels.dtype == np.uint8 and levels.shape == (*stored.image.shape[:-1], classes - 1)
    assert stored.labels.chunks == (*stored.image.chunks[:-1], classes - 1)
    # 255 times .4, .3 and .5 is 102, 76.5 and 127.5, which the lower class is rounded up of.
    kinds = {(0, 0), (102, 0), (77, 127)} if classes == 3 else {(0,), (255,), (76,)}
    assert {tuple(values.tolist()) for values in levels.reshape(-1, classes - 1)} == kinds
    # Around the most probable class: the lesion's voxels of K classes, the organ's of two.
    most, value = (2, levels[..., -1] == 127) if classes == 3 else (1, levels[..., 0] == 255)
    assert {name: len(voxels) for name, voxels in stored.locations.items()} == {most: value.sum()}
    assert value[tuple(stored.locations[most].T)].all()
    patches = Patches([stored], plan.model_copy(update={"patch_size": (4, 8, 8)}), 4, seed=0)
    for number in range(4):
        _, target = patches(0, number)
        assert target.shape == patches.target_shape == (4, 8, 8, classes if classes > 2 else 1)
        assert target.dtype == np.float32 and target.min() >= 0 and target.max() <= 1
        assert classes == 2 or abs(target.sum(axis=-1) - 1).max() < 1e-6
    # Labels of the same annotator, as before the data set named its masks soft, are apart.
    hard = replace(soft, soft_annotators=(), cases=volumes.cases[2:], classes=3)
    (other,) = preprocess(hard, plan, found, tmp_path / "out")
    assert other.labels.shape == stored.image.shape[:-1] and stored.labels[:].shape == levels.shape


def test_where_most_is_ignored_patches_are_drawn_around_the_rest(volumes, tmp_path):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1).model_copy(
        update={"patch_size": (3, 3, 3), "batch_size": 3}
    )
    sparse = replace(volumes.select(ids=["c0"]), ignore_label=255)
    (case,) = preprocess(sparse, plan, found, tmp_path)
    assert len(case.annotated) == np.prod(case.labels.shape)
    labels = np.full(case.labels.shape, 255, np.uint8)
    labels[4, 10, 10:14], labels[2, 5, 5] = 0, 1  # four of background, one of foreground
    case = case.relabelled(tmp_path / "other", labels, sparse)
    assert sorted(case.annotated.tolist()) == np.argwhere(labels != 255).tolist()
    patches = Patches([case], plan, per_epoch=60, seed=0, augmented=False)
    middles = [patches(0, number)[1][1, 1, 1] for number in range(60)]
    assert middles[2::3] == [1] * 20 and 0 < sum(middles) - 20 < 20  # one of three is foreground
    everything = case.relabelled(tmp_path / "none", np.full_like(labels, 255), sparse)
    assert everything.annotated is None and not everything.locations
    assert (Patches([everything], plan, 1, seed=0)(0, 0)[1] == 255).any()


def test_places_to_draw_around_take_little_memory(volumes, tmp_path):
    """The positions of all voxels and their order, 8 bytes each, and little else."""
    (case,) = preprocess(
        volumes.select(ids=["c0"]),
        make_plan(fingerprint(volumes), memory_gib=1),
        fingerprint(volumes),
        tmp_path,
    )
    labels = np.ones((120, 120, 120), np.uint8)
    tracemalloc.start()
    case.relabelled(tmp_path / "other", labels, volumes)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 24 * labels.size


def test_a_second_run_does_only_what_is_missing(volumes, tmp_path, monkeypatch):
    found = fingerprint(volumes)
    plan, folder = make_plan(found, memory_gib=1), tmp_path / "out"
    preprocess(volumes, plan, found, folder)
    (image_of_c1,) = folder.glob("images/c1.json")
    image_of_c1.unlink()  # as after a kill before the last file
    (labels_of_c2,) = folder.glob("labels/*/c2.json")
    labels_of_c2.write_text("{")
    done = []
    whole = preprocessing._preprocess_case

    def counted(dataset, case, *rest):
        done.append(case.id)
        whole(dataset, case, *rest)

    monkeypatch.setattr(preprocessing, "_preprocess_case", counted)
    preprocess(volumes, plan, found, folder)
    assert done == ["c1", "c2"]
    preprocess(volumes, make_plan(found, 1, "M"), found, folder)
    assert done[2:] == []  # another network, the same images
    coarser = plan.model_copy(update={"spacing_mm": tuple(2 * mm for mm in plan.spacing_mm)})
    preprocess(volumes, coarser, found, folder)
    assert done[2:] == ["c0", "c1", "c2"]
    preprocess(replace(volumes, classes=4), coarser, found, folder)  # as after a corrected label
    assert done[5:] == ["c0", "c1", "c2"]
    first, *others = volumes.cases
    respaced = (replace(first, spacing=(1.0, 1.0, 9.0)), *others)
    preprocess(replace(volumes, classes=4, cases=respaced), coarser, found, folder)
    assert done[8:] == ["c0"]


def test_arrays_that_are_missing_or_cut_short_are_made_anew(volumes, tmp_path):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    preprocess(volumes, plan, found, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    (lost,) = tmp_path.glob("labels/*/c0.locations.npz")
    lost.unlink()
    for pattern in ("images/c1.image.b2nd", "labels/*/c2.labels.b2nd"):
        (path,) = tmp_path.glob(pattern)
        path.write_bytes(before[path][:-1])
    preprocess(volumes, plan, found, tmp_path)
    assert {path: path.read_bytes() for path in files} == before


def test_processes_give_the_same_files(volumes, tmp_path):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    preprocess(volumes, plan, found, tmp_path / "one")
    preprocess(volumes, plan, found, tmp_path / "two", workers=2)
    files = [file for file in (tmp_path / "one").rglob("*") if file.is_file()]
    assert len(files) == 3 * 5
    for file in files:
        other = tmp_path / "two" / file.relative_to(tmp_path / "one")
        assert file.read_bytes() == other.read_bytes(), file.name


def test_photographs_are_normalised_and_stay_as_they_are_otherwise(tmp_path):
    dataset = sample().select(ids=sample().ids[:2])
    found = fingerprint(dataset)
    cases = preprocess(dataset, make_plan(found), found, tmp_path)
    image = cases[0].image[:]
    assert image.shape == (256, 256, 3)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(image.std(axis=(0, 1)), 1, atol=1e-4)
    np.testing.assert_array_equal(cases[0].labels[:], dataset.read_mask(dataset.cases[0]))


def test_normalisation_by_hand():
    image = np.array([[0.0, 10], [20, 30]])[..., np.newaxis]
    inside = np.array([[False, True], [False, True]])
    # Mean 20 and standard deviation 10 of 10 and 30; outside stays 0.
    found = normalize(image, ["zscore"], inside=inside)
    np.testing.assert_allclose(found[..., 0], [[0, -1], [0, 1]])
    np.testing.assert_allclose(normalize(image, ["rescale_to_0_1"])[1, :, 0], [2 / 3, 1])
    np.testing.assert_allclose(normalize(image, ["rgb_to_0_1"])[1, 1, 0], 30 / 255)
    assert not normalize(np.full((2, 2, 1), 7), ["zscore"]).any()
    with pytest.raises(ValueError, match="`intensities`"):
        normalize(image, ["ct"])
    with pytest.raises(ValueError, match="one per channel"):
        normalize(image, ["none", "none"])


def test_values_that_are_not_finite_are_refused_before_they_fill_a_case(volumes, tmp_path):
    found = fingerprint(volumes)
    image = nibabel.load(volumes.cases[1].image)
    values = image.get_fdata()
    values[0, 0, 0] = np.nan
    nibabel.Nifti1Image(values, image.affine).to_filename(volumes.cases[1].image)
    for look in (
        lambda: fingerprint(volumes),
        lambda: preprocess(volumes, make_plan(found, memory_gib=1), found, tmp_path),
    ):
        with pytest.raises(ValueError, match="image 'c1'.*finite.*keras-robust verify"):
            look()


def test_an_image_with_another_number_of_axes_is_refused(volumes):
    found = fingerprint(volumes)
    with pytest.raises(ValueError, match="Expected 3 spatial axes and 1 channels"):
        preprocess_image(np.zeros((4, 4, 1)), None, make_plan(found), found)


def test_an_unknown_case_is_not_there(tmp_path):
    with pytest.raises(OSError):
        PreprocessedCase(tmp_path, tmp_path, "nobody").geometry  # noqa: B018
