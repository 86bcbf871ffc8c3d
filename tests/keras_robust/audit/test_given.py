"""Predictions as other programs lay them: nnU-Net (by itself), MONAI, TotalSegmentator."""

import io
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.audit import read_audit
from keras_robust.audit.given import GivenModels
from keras_robust.audit.given.finding import find_stored, model_folders
from keras_robust.audit.run import audit
from keras_robust.data import Dataset
from keras_robust.data.files.images import read_mask

NNUNET = Path(__file__).with_name("nnunet")
MODEL = "nnUNetTrainer__nnUNetPlans__2d"


def raw(name, folder):
    """The dataset of nnU-Net's files; its images are its labels."""
    root = shutil.copytree(NNUNET / "raw" / name, folder / name)
    masks = sorted((root / "labelsTr").iterdir())
    meta = json.loads((root / "dataset.json").read_text()) | {"numTraining": len(masks)}
    (root / "dataset.json").write_text(json.dumps(meta))
    (root / "imagesTr").mkdir()
    for mask in masks:
        id, _, ending = mask.name.partition(".")
        image = root / "imagesTr" / f"{id}_0000.{ending}"
        if ending == "png":
            Image.fromarray(read_mask(mask) * 100).convert("RGB").save(image)
        else:
            shutil.copy(mask, image)
    return Dataset.open(root)


def models(dataset, *folders):
    return GivenModels.find(folders, dataset, dataset.ids)


def labels(found):
    return found.argmax(axis=-1) if found.shape[-1] > 1 else found[..., 0] > 0.5


@pytest.mark.parametrize(
    "name", ["Dataset901_Boxes", "Dataset902_Regions", "Dataset903_Pictures", "Dataset904_Turned"]
)
def test_nnunets_probabilities_lie_as_its_labels(name, tmp_path):
    """nnU-Net's own labels, which it wrote on the grid of the image, are those of the .npz."""
    dataset = raw(name, tmp_path)
    found = models(dataset, NNUNET / "results" / name)
    assert len(found.models) == 1
    first, case = found.models[0].with_meaning(), dataset.cases[0]
    mask = dataset.read_mask(case)
    read = first.read(case, mask.shape)
    assert first.files[case.id][0].suffix == ".npz" and read.dtype == np.float32
    own = first.files[case.id][0].with_suffix(".png" if mask.ndim == 2 else ".nii.gz")
    theirs = read_mask(own, classes=3)
    agree = (labels(read) == theirs).mean()
    # Painted regions are not the most probable labels everywhere.
    assert agree > 0.9 if name == "Dataset902_Regions" else agree == 1
    assert 0 < (theirs > 0).sum() < theirs.size
    assert read.shape[-1] == 1 or np.allclose(read.sum(axis=-1), 1, atol=1e-4)


def test_an_audit_of_what_nnunet_was_trained_on(tmp_path):
    dataset = raw("Dataset901_Boxes", tmp_path)
    model = NNUNET / "results" / "Dataset901_Boxes" / MODEL
    results = {}
    for name, folder in {"model": model, "cv": model / "crossval_results_folds_0_1"}.items():
        found = audit(dataset.root, tmp_path / name, predictions=folder, scores=["soft_dice"])
        results[name] = found
        assert sorted(case.id for case in found.cases) == ["case_00", "case_02"]
        own = read_mask(model / "crossval_results_folds_0_1/case_02.nii.gz", classes=3)
        np.testing.assert_array_equal(found.labels("case_02"), own)
    soft, hard = (results[name].prediction("case_00") for name in ("model", "cv"))
    assert set(np.unique(hard)) == {0, 255} and len(np.unique(soft)) > 50
    assert not (tmp_path / "model" / "spread").exists()


def test_several_models_are_averaged_and_their_disagreement_kept(tmp_path):
    dataset = raw("Dataset903_Pictures", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for case in dataset:
        Image.fromarray(255 * dataset.read_mask(case)).save(other / f"{case.id}.png")
    own = NNUNET / "results" / "Dataset903_Pictures" / MODEL
    found = audit(
        dataset.root, tmp_path / "audit", predictions=[own, other], scores=["soft_dice", "default"]
    )
    case = dataset.cases[0]
    shape = dataset.read_mask(case).shape
    first = models(dataset, own).models[0].with_meaning().read(case, shape)[..., 0]
    second = dataset.read_mask(case).astype(float)
    np.testing.assert_allclose(
        found.prediction("a")[..., 0] / 255, (first + second) / 2, atol=0.005
    )
    apart = np.asarray(Image.open(tmp_path / "audit" / "spread" / "a.png")) / 255
    np.testing.assert_allclose(apart, np.abs(first - second), atol=0.005)
    # The same again continues, one model less is another audit.
    audit(dataset.root, tmp_path / "audit", predictions=[own, other], scores=["soft_dice"])
    with pytest.raises(ValueError, match="2 folders"):
        audit(dataset.root, tmp_path / "audit", predictions=own, scores=["soft_dice"])
    assert read_audit(tmp_path / "audit").ranked_by == "soft_dice"


def test_models_that_have_seen_the_images_are_refused(tmp_path):
    (tmp_path / "model" / "fold_all" / "validation").mkdir(parents=True)
    for folder in ("model", "model/fold_all", "model/fold_all/validation"):
        with pytest.raises(ValueError, match="fold_all.*was not trained on"):
            model_folders(tmp_path / folder)
    (tmp_path / "model" / "fold_3" / "validation").mkdir(parents=True)
    held_out = (tmp_path / "model" / "fold_3" / "validation",)
    for folder in (".", "model", "model/fold_3"):
        assert model_folders(tmp_path / folder) == [held_out]
    second = tmp_path / "other" / "crossval_results_folds_0_1"
    second.mkdir(parents=True)
    assert model_folders(tmp_path) == [held_out, (second,)]


class Spy:
    def __reduce__(self):
        return (Path("opened").touch, ())


def test_a_strangers_pickle_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = raw("Dataset903_Pictures", tmp_path)
    folder = shutil.copytree(NNUNET / "results" / "Dataset903_Pictures", tmp_path / "results")
    for path in folder.rglob("*.npz"):
        np.savez(path, probabilities=np.array([Spy()], object))
        with open(path.with_suffix(".pkl"), "wb") as file:
            import pickle

            pickle.dump(Spy(), file)
    with pytest.raises(ValueError, match="--npz.*pickle"):
        models(dataset, folder).models[0].with_meaning()
    assert not Path("opened").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:2], "probabilities of 3 classes on the grid"),
        (lambda p: p[:, :, 1:], "probabilities of 3 classes on the grid 26 x 22 x 4"),
        (lambda p: p * np.nan, "diverged"),
        (lambda p: p[:, :, ::-1, ::-1], "lies otherwise.*plans.json"),
    ],
)
def test_probabilities_that_do_not_fit(tmp_path, change, message):
    dataset = raw("Dataset901_Boxes", tmp_path)
    folder = shutil.copytree(NNUNET / "results" / "Dataset901_Boxes", tmp_path / "results")
    (path,) = folder.rglob("case_00.npz")
    with np.load(path) as stored:
        changed = change(stored["probabilities"])
    np.savez(path, probabilities=changed)
    case = dataset.select(ids=["case_00"]).cases[0]
    with pytest.raises(ValueError, match=message):
        models(dataset, folder).models[0].read(case, dataset.read_mask(case).shape)


NAMES = ["background", "left kidney", "spleen"]
VOLUME = np.zeros((6, 5, 4), np.uint8)
VOLUME[1:3, 1:4, 1:3], VOLUME[4:, 1:4, 1:3] = 1, 2


@pytest.fixture
def organs(tmp_path):
    """Two volumes with two organs, in nnU-Net's layout."""
    root = tmp_path / "organs"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    meta = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}
    meta["labels"] = {name: number for number, name in enumerate(NAMES)}
    (root / "dataset.json").write_text(json.dumps(meta))
    for id in ("s1", "s2"):
        save(root / "imagesTr" / f"{id}_0000.nii.gz", VOLUME)
        save(root / "labelsTr" / f"{id}.nii.gz", VOLUME)
    return Dataset.open(root)


def save(path, array, names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([-1.5, 1.5, 3, 1]))
    if names:  # as totalsegmentator.nifti_ext_header.add_label_map_to_nifti
        table = "".join(
            f'<Label Key="{key}" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[{name}]]></Label>\n'
            for key, name in names.items()
        )
        xml = f"<CaretExtension><LabelTable>{table}</LabelTable></CaretExtension>"
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    image.to_filename(path)


def classes_of(folder, id):
    for number, name in enumerate(("kidney_left", "spleen"), start=1):
        save(folder / id / f"{name}.nii.gz", (VOLUME == number).astype(np.uint8))
    save(folder / id / "liver.nii.gz", np.ones_like(VOLUME))


def classes_deeper(folder, id):
    classes_of(folder / id, "segmentations")


def many_labels(folder, id):
    names = {1: "spleen", 3: "kidney_left", 5: "liver"}
    save(folder / f"{id}.nii.gz", np.array([5, 3, 1], np.uint8)[VOLUME], names)


WRITTEN = {
    "TotalSegmentator, a file per class": classes_of,
    "TotalSegmentator's data": classes_deeper,
    "TotalSegmentator --ml": many_labels,
    "MONAI SaveImage": lambda f, id: save(f / id / f"{id}_seg.nii.gz", VOLUME.astype(np.float32)),
    "MONAI SaveImage of nnU-Net's images": lambda f, id: save(
        f / f"{id}_0000" / f"{id}_0000_trans.nii.gz", VOLUME.astype(np.float32)
    ),
    "MONAI Auto3DSeg": lambda f, id: save(f / f"{id}_ensemble.nii.gz", VOLUME),
    "MONAI, a channel for each class": lambda f, id: save(
        f / f"{id}_pred.nii.gz", np.eye(3, dtype=np.float32)[VOLUME]
    ),
}


@pytest.mark.parametrize("program", WRITTEN)
def test_label_maps_of_other_programs(program, organs, tmp_path):
    folder = tmp_path / "predictions"
    for id in organs.ids:
        WRITTEN[program](folder, id)
    model = models(organs, folder).models[0].with_meaning()
    for case in organs:
        found = model.read(case, VOLUME.shape)
        np.testing.assert_array_equal(found.argmax(axis=-1), VOLUME)
        assert found.max() in (1, 255) and (found.sum(axis=-1) == found.max()).all()


def test_names_that_do_not_fit_are_told(organs, tmp_path):
    folder = tmp_path / "predictions"
    for id in organs.ids:
        classes_of(folder, id)
        (folder / id / "spleen.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no file named after spleen"):
        models(organs, folder)
    save(tmp_path / "ml" / "s1.nii.gz", VOLUME, {1: "heart", 2: "aorta"})
    save(tmp_path / "ml" / "s2.nii.gz", VOLUME)
    model = models(organs, tmp_path / "ml").models[0]
    with pytest.raises(ValueError, match="left kidney, spleen.*heart.*dataset.json"):
        model.read(organs.cases[0], VOLUME.shape)


def test_files_that_one_image_cannot_be_told_by(tmp_path):
    for name in ("a_seg.png", "a_trans.png", "b_seg.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    with pytest.raises(ValueError, match="one prediction.*'a_seg.png', 'a_trans.png' for 'a'"):
        find_stored([tmp_path], ["a", "b"], 2)
    # A file of another image is no further one of this.
    found = find_stored([tmp_path], ["a", "a_trans", "b"], 2)
    assert found["a"].paths[0].name == "a_seg.png"


def test_a_binary_class_by_its_name(tmp_path):
    """One class, of which TotalSegmentator wrote a mask, or one label of many."""
    root = tmp_path / "d"
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    meta = {"channel_names": {"0": "CT"}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(
        json.dumps(meta | {"labels": {"background": 0, "Spleen": 1}})
    )
    spleen = (VOLUME == 2).astype(np.uint8)
    save(root / "imagesTr" / "s1_0000.nii.gz", VOLUME)
    save(root / "labelsTr" / "s1.nii.gz", spleen)
    dataset = Dataset.open(root)
    classes_of(tmp_path / "one", "s1")
    save(tmp_path / "many" / "s1.nii.gz", VOLUME, {1: "kidney_left", 2: "spleen"})
    for folder in ("one", "many"):
        found = models(dataset, tmp_path / folder).models[0].with_meaning()
        read = found.read(dataset.cases[0], VOLUME.shape)
        np.testing.assert_array_equal(read[..., 0], 255 * spleen)


def test_an_archive_that_promises_too_much(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    dataset = Dataset.open(_picture(tmp_path))
    with pytest.raises(ValueError, match=r"a\.npz.*cannot be read.*--npz"):
        models(dataset, tmp_path).models[0].with_meaning()
    content = io.BytesIO()
    np.savez(content, something=np.zeros(3))
    (tmp_path / "a.npz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match="probabilities"):
        models(dataset, tmp_path).models[0].with_meaning()


def _picture(folder):
    root = folder / "d"
    root.mkdir()
    Image.new("L", (4, 4)).save(root / "a.png")
    (root / "manifest.csv").write_text("id,image,mask,annotator,split\na,a.png,a.png,anna,train\n")
    return root
