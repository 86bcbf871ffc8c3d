import json
import re

import nibabel
import numpy as np
import pytest

from keras_robust.data import Dataset, UnreadableImageError, read_volume, verify
from keras_robust.data.layouts.manifest_writing import append_rows, write_view
from tests.keras_robust.data.conftest import write_rows

AFFINE = np.diag([-0.5, 0.5, 2.0, 1.0])
COS, SIN = np.cos(np.radians(2)), np.sin(np.radians(2))
TILTED = np.array([[COS, -SIN, 0, 0], [SIN, COS, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
RNG = np.random.default_rng(0)


def volume(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(array, affine).to_filename(path)
    return path


def labels(number, classes=3):
    """Blocks of every class, at another place for every number."""
    mask = np.zeros((8, 10, 6), np.uint8)
    for label in range(1, classes):
        mask[number % 3 + 1 : 5, 2 * label : 2 * label + 2, 1 : 4 + number // 3] = label
    return mask


@pytest.fixture
def manifest(tmp_path):
    """A manifest folder of 5 volumes without dataset.json, two annotators, three classes."""

    def build(classes=3, name="volumes"):
        folder, rows = tmp_path / name, []
        for number in range(5):
            mask = labels(number, classes)
            noise = RNG.normal(size=mask.shape)
            image = volume(folder / "images" / f"v{number}.nii.gz", (mask + noise).astype("f4"))
            for annotator in ("ann", "bo"):
                path = volume(folder / "masks" / annotator / f"v{number}.nii.gz", mask)
                rows.append(
                    {
                        "id": f"v{number}",
                        "image": image.relative_to(folder).as_posix(),
                        "mask": path.relative_to(folder).as_posix(),
                        "annotator": annotator,
                        "split": "train" if number < 4 else "test",
                        "spacing": "",
                    }
                )
        write_rows(folder / "manifest.csv", rows)
        return folder

    return build


def kinds(report, severity="error"):
    return [problem.kind for problem in report.problems if problem.severity == severity]


class TestManifest:
    def test_classes_and_spacing_come_from_the_files(self, manifest):
        dataset = Dataset.open(manifest())
        assert dataset.classes == 3 and len(dataset) == 10
        case = dataset.cases[2]
        assert case.spacing == (0.5, 0.5, 2.0)
        assert dataset.read_image(case).shape == (8, 10, 6, 1)
        np.testing.assert_array_equal(dataset.read_mask(case), labels(1))
        assert dataset.read_mask(case, (4, 5, 3)).shape == (4, 5, 3)
        assert Dataset.open(manifest(2, "binary")).classes == 2

    def test_what_the_dataset_says_comes_first(self, manifest):
        folder = manifest()
        names = {"background": 0, "head": 1, "body": 2, "tail": 3}
        (folder / "dataset.json").write_text(json.dumps({"labels": names}))
        text = (folder / "manifest.csv").read_text()
        (folder / "manifest.csv").write_text(text.replace("train,\n", "train,1x1x3\n"))
        dataset = Dataset.open(folder)
        assert dataset.classes == 4 and dataset.cases[0].spacing == (1, 1, 3)

    def test_a_class_that_was_not_seen_is_refused_not_lost(self, manifest):
        folder = manifest(2)
        path = folder / "masks" / "bo" / "v4.nii.gz"
        volume(path, labels(4, 2) * 7)
        dataset = Dataset.open(folder)
        assert dataset.classes == 2
        with pytest.raises(ValueError, match=r"other value\(s\): 7\..*`labels` in the dataset"):
            dataset.read_mask(dataset.select(annotator="bo", ids=["v4"]).cases[0])
        assert kinds(verify(folder)) == ["values"]

    def test_damaged_files_do_not_keep_a_dataset_from_opening(self, manifest):
        folder = manifest()
        image = folder / "images" / "v0.nii.gz"
        image.write_bytes(image.read_bytes()[:30])
        (folder / "masks" / "ann" / "v1.nii.gz").write_bytes(b"")
        dataset = Dataset.open(folder)
        assert dataset.cases[0].spacing is None and dataset.classes == 3
        with pytest.raises(UnreadableImageError, match="v0"):
            dataset.read_image(dataset.cases[0])
        report = verify(folder)
        assert sorted(kinds(report)) == ["truncated", "unreadable"]

    def test_a_view_tells_the_classes_that_were_found(self, manifest, tmp_path):
        view = write_view(Dataset.open(manifest()), tmp_path / "view")
        assert json.loads((view / "dataset.json").read_text())["labels"] == {
            "background": 0,
            "1": 1,
            "2": 2,
        }
        opened, original = Dataset.open(view), Dataset.open(tmp_path / "volumes")
        assert opened.classes == 3
        assert [c.spacing for c in opened] == [c.spacing for c in original]
        write_view(Dataset.open(tmp_path / "volumes"), tmp_path / "view")  # the same again

    def test_rows_of_new_masks_have_the_suffix_of_volumes(self, manifest):
        folder = manifest()
        append_rows(folder, Dataset.open(folder).cases[:1], "new")
        assert "masks/new/v0.nii.gz,new" in (folder / "manifest.csv").read_text()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nnunet_raw_folders(tmp_path, ending):
    for number, split in enumerate(("Tr", "Tr", "Ts")):
        mask = labels(number)
        for channel in range(2):
            image = (mask + channel).astype(np.int16)
            volume(tmp_path / f"images{split}" / f"c{number}_{channel:04d}{ending}", image)
        volume(tmp_path / f"labels{split}" / f"c{number}{ending}", mask)
    meta = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "head": 1, "tail": 2},
        "file_ending": ending,
    }
    (tmp_path / "dataset.json").write_text(json.dumps(meta))
    dataset = Dataset.open(tmp_path)
    assert dataset.layout == "nnunet" and dataset.classes == 3
    assert [case.split for case in dataset] == ["train", "train", "test"]
    image = dataset.read_image(dataset.cases[1])
    assert image.shape == (8, 10, 6, 2)
    np.testing.assert_array_equal(image[..., 1] - 1, dataset.read_mask(dataset.cases[1]))
    assert dataset.cases[0].spacing == (0.5, 0.5, 2.0)
    assert verify(tmp_path).ok


class TestVerify:
    def test_a_sound_dataset(self, manifest):
        report = verify(manifest())
        assert report.ok and report.cases == 10

    @pytest.mark.parametrize(
        ("affine", "kind", "message"),
        [
            (np.diag([-0.5, 0.5, 2.5, 1]), "spacing", "0.5 x 0.5 x 2 mm.*0.5 x 0.5 x 2.5 mm"),
            (AFFINE + 3 * np.eye(4, k=3), "origin", "origin"),
            (np.diag([0.5, 0.5, 2.0, 1.0]), "orientation", "Received: RAS instead of LAS"),
            (AFFINE[:, [1, 0, 2, 3]], "orientation", "Received: ALS instead of LAS"),
            (TILTED @ AFFINE, "orientation", "turned by 2 degrees"),
        ],
    )
    def test_masks_that_lie_elsewhere(self, manifest, affine, kind, message):
        folder = manifest()
        volume(folder / "masks" / "bo" / "v2.nii.gz", labels(2), affine)
        report = verify(folder)
        assert kinds(report) == [kind]
        assert re.search(message, report.errors[0].message), report.errors[0].message
        assert report.errors[0].path == "masks/bo/v2.nii.gz"

    def test_rounding_of_an_affine_is_no_problem(self, manifest):
        folder = manifest()
        volume(folder / "masks" / "bo" / "v2.nii.gz", labels(2), AFFINE + 1e-4)
        assert verify(folder).ok

    def test_a_spacing_of_the_manifest_that_is_not_the_header_s(self, manifest):
        folder = manifest()
        text = (folder / "manifest.csv").read_text()
        (folder / "manifest.csv").write_text(text.replace("test,\n", "test,1x1x1\n"))
        report = verify(folder)
        assert report.ok and kinds(report, "warning") == ["spacing"]
        assert "1 x 1 x 1" in report.warnings[0].message

    def test_a_spacing_without_that_of_the_slices(self, manifest):
        folder = manifest()
        text = (folder / "manifest.csv").read_text()
        (folder / "manifest.csv").write_text(text.replace("test,\n", "test,1x1\n"))
        assert "as in 0.5x0.5x0.5. Received: '1x1'" in verify(folder).errors[0].message

    def test_values_and_sizes(self, manifest):
        folder = manifest()
        image = read_volume(folder / "images" / "v0.nii.gz")[0]
        image[0, 0, 0] = np.nan
        volume(folder / "images" / "v0.nii.gz", image)
        image[0, 0, 0] = np.inf
        volume(folder / "images" / "v1.nii.gz", image)
        volume(folder / "masks" / "ann" / "v2.nii.gz", labels(2)[:-1])
        volume(folder / "masks" / "ann" / "v3.nii.gz", labels(3) / 2)
        volume(folder / "masks" / "bo" / "v3.nii.gz", labels(3) * 0)
        report = verify(folder)
        assert sorted(kinds(report)) == ["size", "values", "values", "values"]
        assert kinds(report, "warning") == ["empty-mask"]
        size = next(p.message for p in report.errors if p.kind == "size")
        assert "8 x 10 x 6" in size and "7 x 10 x 6" in size


def test_the_hippocampus_pack(data_pack, tmp_path):
    dataset = Dataset.open(data_pack("msd_hippocampus"))
    assert len(dataset) == 260 and dataset.classes == 3
    assert {case.spacing for case in dataset} == {(1.0, 1.0, 1.0)}
    some = dataset.select(ids=dataset.ids[:6])
    assert verify(some).ok
    case = some.cases[0]
    mask = dataset.read_mask(case)
    assert (mask == 1).sum() == int(case.extra["anterior"])
    assert Dataset.open(write_view(dataset, tmp_path / "view")).classes == 3
