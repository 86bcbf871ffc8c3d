"""Given predictions, truth and pictures of an audit, without any training."""

import io
import json
import threading
import time

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.audit import folds as audit_folds
from keras_robust.audit.folder import Audit, AuditCase
from keras_robust.audit.given import GivenModels, GivenPredictions
from keras_robust.audit.inputs import choose_inputs
from keras_robust.audit.options import AuditOptions
from keras_robust.audit.panels import MASK_COLOUR, PREDICTION_COLOUR, panel
from keras_robust.audit.report import _groups, _lines
from keras_robust.audit.truth import TrueCase, Truth, compare_with_truth
from keras_robust.common.files import locked
from keras_robust.data import Case, Dataset
from keras_robust.data.files.maps import read_map
from keras_robust.reports.look import to_rgb
from keras_robust.scheduling.state import RunState, StudyState
from keras_robust.scheduling.worker import LOCK
from keras_robust.suspicion.class_differences import ClassDifferences

SHAPE = (3, 4)
CASE = Case("a 1", "image.png", "mask.png", "anna", "")


def given(folder, classes=2, ids=("a 1",)):
    return GivenPredictions.find(folder, ids, classes).with_meaning()


def png(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full(SHAPE, 102, np.uint8), 102),
        (np.full((*SHAPE, 1), 0.4, np.float16), 0.4),
        (np.full(SHAPE, 0.4), 0.4),
        (np.ones(SHAPE, bool), 255),
        (np.ones(SHAPE, np.int64), 255),  # labels, since nothing is above 1
        (np.full((*SHAPE, 2), [0.6, 0.4]), 0.4),
    ],
)
def test_binary_arrays(tmp_path, stored, expected):
    np.save(tmp_path / "a 1.npy", stored)
    found = given(tmp_path).read(CASE, SHAPE)
    assert found.shape == (*SHAPE, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_zeros_and_ones_are_labels_only_where_no_file_has_more(tmp_path):
    png(tmp_path / "a 1.png", np.ones(SHAPE))
    assert (given(tmp_path).read(CASE, SHAPE) == 255).all()
    png(tmp_path / "b.png", np.full(SHAPE, 200))
    # Then a file of ones is a probability of 1/255.
    assert (given(tmp_path, ids=("a 1", "b")).read(CASE, SHAPE) == 1).all()


def test_several_classes(tmp_path):
    labels = np.array([[0, 1, 2, 2]] * 3)
    png(tmp_path / "a%201.png", labels)
    found = given(tmp_path, classes=3).read(CASE, SHAPE)
    np.testing.assert_array_equal(found.argmax(axis=-1), labels)
    assert set(np.unique(found)) == {0, 255} and (found.sum(axis=-1) == 255).all()
    for label in range(3):
        png(tmp_path / "of classes" / f"a 1_{label}.png", np.full(SHAPE, 84 + label))
    found = given(tmp_path / "of classes", classes=3).read(CASE, SHAPE)
    assert found[0, 0].tolist() == [84, 85, 86]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, float])
@pytest.mark.parametrize("classes", [2, 3])
def test_one_of_the_classes_with_certainty(tmp_path, classes, dtype):
    labels = np.array([[0, 1, classes - 1, 0]] * 3)
    certain = np.eye(classes, dtype=dtype)[labels]
    np.save(tmp_path / "a 1.npy", certain)
    found = given(tmp_path, classes).read(CASE, SHAPE)
    top = 1 if dtype is float else 255
    np.testing.assert_array_equal(found, certain[..., 1:] * top if classes == 2 else certain * top)
    if found.dtype == np.uint8 and dtype is not bool:
        # A file with more than zeros and ones says that all are of 255.
        np.save(tmp_path / "b.npy", np.full((*SHAPE, classes), 255 // classes, np.uint8))
        with pytest.raises(ValueError, match="add up to 0.00392 to 0.00392 of it.*softmax"):
            given(tmp_path, classes, ids=("a 1", "b")).read(CASE, SHAPE)


def test_files_of_other_images_are_no_classes(tmp_path):
    for id in ("case_0", "case_1"):
        png(tmp_path / f"{id}.png", np.full(SHAPE, 200))
    assert len(GivenPredictions.find(tmp_path, ["case"], 2).files["case"]) == 2
    with pytest.raises(FileNotFoundError, match="without 1 of them, such as 'case'"):
        GivenPredictions.find(tmp_path, ["case", "case_0", "case_1"], 2)


@pytest.mark.parametrize(
    ("stored", "classes", "message"),
    [
        (np.zeros((4, 3)), 2, r"3 x 4 elements.*shape \(4, 3\).*predict --probabilities"),
        (np.zeros((*SHAPE, 4)), 3, r"each 3 probabilities"),
        (np.full((*SHAPE, 3), 0.9), 3, r"3 classes.*add up to 2.7 to 2.7 of it"),
        (np.full(SHAPE, 5.0), 2, "from 5.0 to 5.0.*sigmoid"),
        (np.full(SHAPE, np.nan), 2, "sigmoid"),
        (np.full(SHAPE, 300), 2, "300"),
        (np.full(SHAPE, 3), 3, "labels from 0 to 2"),
        (np.full(SHAPE, 0.5), 3, "labels from 0 to 2, or one file per class"),
    ],
)
def test_predictions_that_do_not_fit(tmp_path, stored, classes, message):
    np.save(tmp_path / "a 1.npy", stored)
    with pytest.raises(ValueError, match=message):
        given(tmp_path, classes).read(CASE, SHAPE)


def test_pictures_in_colour_are_no_predictions(tmp_path):
    grey = np.full((*SHAPE, 4), [102, 102, 102, 255])
    for channels in ((0,), (0, 3), (0, 1, 2), (0, 1, 2, 3)):
        png(tmp_path / "a 1.png", np.squeeze(grey[..., channels]))
        assert (given(tmp_path).read(CASE, SHAPE) == 102).all()
    Image.fromarray(np.full(SHAPE, 40000, np.uint16)).save(tmp_path / "a 1.png")
    with pytest.raises(ValueError, match="0..255.*40000"):
        given(tmp_path).read(CASE, SHAPE)
    png(tmp_path / "a 1.png", np.full((*SHAPE, 3), [200, 120, 90]))
    with pytest.raises(ValueError, match="a 1.png' in colour: an image.*Name the folder"):
        given(tmp_path)


@pytest.mark.parametrize("of_classes", [False, True])
@pytest.mark.parametrize(
    ("affine", "problem"),
    [
        (np.diag([-1.0, 1, 2, 1]), "orientation.*LAS instead of RAS"),
        (np.diag([1.0, 1, 3, 1]), "spacing.*1 x 1 x 3 mm"),
        (np.diag([1.0, 1, 2, 1]) + 4 * np.eye(4, k=3), "origin"),
    ],
)
def test_volumes_that_lie_elsewhere_are_no_predictions(tmp_path, affine, problem, of_classes):
    shape, right = (4, 5, 6), np.diag([1.0, 1, 2, 1])
    array = np.full(shape, 85, np.uint8)
    nibabel.Nifti1Image(array, right).to_filename(tmp_path / "image.nii")
    case = Case("a", tmp_path / "image.nii", tmp_path / "image.nii", "anna", "")
    names = ["a_0", "a_1", "a_2"] if of_classes else ["a"]
    found = (tmp_path / f"{name}.nii.gz" for name in names)
    for path in found:
        nibabel.Nifti1Image(array, right).to_filename(path)
    predictions = given(tmp_path, 3 if of_classes else 2, ["a"])
    assert (predictions.read(case, shape) == 85).all()
    nibabel.Nifti1Image(array, affine).to_filename(path)
    with pytest.raises(ValueError, match=f"`predictions`.*{path.name}.*{problem}"):
        predictions.read(case, shape)


def test_predictions_that_are_missing_or_damaged(tmp_path):
    np.save(tmp_path / "b.npy", np.zeros(SHAPE))
    with pytest.raises(FileNotFoundError, match=r"without 2 of them, such as 'a'.*--split"):
        GivenPredictions.find(tmp_path, ["a", "b", "c"], 2)
    with pytest.raises(FileNotFoundError, match="ID_0 to ID_2"):
        GivenPredictions.find(tmp_path / "nowhere", ["a"], 3)
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"numpy\.save"):
        GivenPredictions.find(tmp_path, ["b"], 2).with_meaning()
    # An id is never a path out of the folder.
    np.save(tmp_path / "secret.npy", np.zeros(SHAPE))
    (tmp_path / "inner").mkdir()
    with pytest.raises(FileNotFoundError):
        GivenPredictions.find(tmp_path / "inner", ["../secret"], 2)


@pytest.fixture
def dataset(tmp_path):
    """Four masks by anna and two simulated annotators: by journal, and by name alone."""
    root = tmp_path / "data"
    whole, half = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    whole[2:6, 2:6] = 1
    half[2:6, 2:4] = 1  # Dice with the whole: 2 * 8 / (16 + 8) = 2/3
    drawn = {"anna": [whole] * 4, "noise": [half, half, whole, whole], "ben": [half, whole] * 2}
    rows = ["id,image,mask,annotator,split"]
    for annotator, masks in drawn.items():
        for id, mask in zip("abcd", masks, strict=True):
            path = root / "masks" / annotator / f"{id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            png(path, 255 * mask)
            png(root / f"{id}.png", 255 * mask)
            rows.append(f"{id},{id}.png,masks/{annotator}/{id}.png,{annotator},train")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    kinds = ["erode", "affine", "dilate", "clean"]  # the third could not be carried out
    lines = [{"noise": {}}]
    lines += [{"id": i, "corruption": {"kind": k}} for i, k in zip("abcd", kinds, strict=True)]
    journal = root / "masks" / "noise" / "simulation.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Dataset.open(root)


def audit_of(*annotators):
    cases = [
        AuditCase(rank, id, annotator, score, "too small", {"default": score, "other": -score})
        for annotator in annotators
        for rank, (id, score) in enumerate(zip("abcd", [0.9, 0.8, 0.3, 0.2], strict=True), 1)
    ]
    return Audit("audit", {"annotators": annotators}, tuple(cases))


def test_simulated_masks_are_wrong_where_they_were_changed(dataset):
    truth = compare_with_truth(audit_of("noise"), dataset, "anna")
    assert truth.wrong().tolist() == [True, True, False, False]
    assert [case.kind for case in truth.cases[:2]] == ["too small", "shifted"]
    assert truth.cases[0].dice == pytest.approx(2 / 3)
    assert truth.kind_accuracy() == 0.5 and "where the simulation changed it" in truth.rule
    table = truth.detection()
    assert table.loc["default", "AUROC"] == 1 and table.loc["other", "AUROC"] == 0
    assert table.loc["default", "precision at 2"] == 1
    assert table.loc["default", "Spearman"] > 0.8
    assert truth.kinds().loc["shifted", "too small"] == 1


@pytest.mark.parametrize(("below", "wrong"), [(None, 2), (0.8, 2), (0.6, 0)])
def test_other_masks_are_wrong_by_their_dice(dataset, below, wrong):
    truth = compare_with_truth(audit_of("ben"), dataset, "anna", below)
    assert truth.wrong().sum() == wrong and truth.kinds() is None
    assert f"below {below or 0.8}" in truth.rule


def test_a_given_limit_holds_for_simulated_masks_too(dataset):
    truth = compare_with_truth(audit_of("noise", "ben"), dataset, "anna", 0.5)
    assert not truth.wrong().any() and "simulation" not in truth.rule
    both = compare_with_truth(audit_of("noise", "ben"), dataset, "anna")
    assert both.wrong().sum() == 4 and "one that was not simulated, where" in both.rule


@pytest.mark.parametrize("truth, below", [("ben", None), ("nobody", None), ("anna", 0)])
def test_a_truth_that_is_none(dataset, truth, below):
    with pytest.raises(ValueError, match="truth|annotator|wrong_below"):
        compare_with_truth(audit_of("ben"), dataset, truth, below)


def test_a_limit_is_of_a_truth():
    with pytest.raises(ValueError, match="wrong_below"):
        AuditOptions(wrong_below=0.7)


def test_masks_whose_truth_is_not_known_are_not_called_right(dataset):
    manifest = dataset.root / "manifest.csv"
    rows = manifest.read_text().split()
    rows = [row for row in rows if ",anna," not in row or row[0] in "ad"]
    manifest.write_text("\n".join(rows) + "\n")
    audit = audit_of("noise")
    truth = compare_with_truth(audit, Dataset.open(dataset.root), "anna")
    groups = {name: chosen.tolist() for name, (_, chosen) in _groups(audit, truth).items()}
    assert groups == {
        "right": [False, False, False, True],
        "wrong": [True, False, False, False],
        "not known": [False, True, True, False],
    }
    truth = compare_with_truth(audit, dataset, "anna")
    assert list(_groups(audit, truth)) == ["right", "wrong"]
    assert list(_groups(audit, None)) == ["all"]


def test_the_report_names_classes_beside_their_numbers(tmp_path):
    classes = tuple(ClassDifferences(label, 4.0, 5.0, 0.8, 0.1, 0.2, 0.3) for label in (1, 2))
    case = AuditCase(1, "a", "ben", 0.9, "none", {"default": 0.9}, classes)
    for names, shown in ((["background", "liver", ""], "1 liver"), ([], "1")):
        audit = Audit(tmp_path, {"annotators": ["ben"], "class_names": names}, (case,))
        lines = list(_lines(audit, case))
        assert [line.split(":")[0] for line in lines[1:]] == [f"Class {shown}", "Class 2"]
        assert " px" in lines[1] or " voxels" in lines[1]


def test_truth_is_written(dataset, tmp_path):
    case = AuditCase(1, "a", "ben", 0.9, "none", {"default": 0.9})
    Truth("anna", (TrueCase(case, 0.5, True),), "").write(tmp_path)
    assert (tmp_path / "truth.csv").read_text().splitlines()[1] == "1,a,ben,0.9,none,,0.5,True"
    assert (tmp_path / "detection.csv").read_text().startswith("score,AUROC,average precision")


def test_folds_that_another_process_trains_are_waited_for(tmp_path, monkeypatch):
    """As after a kill of the audit, whose last fold goes on to its end."""
    calls = []
    held, about_to_end = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path / "folds/fold-1" / LOCK):
            held.set()
            time.sleep(0.1)
            about_to_end.set()

    def run_planned(plans, output, **options):
        calls.append(about_to_end.is_set())
        state = "finished" if about_to_end.is_set() else "elsewhere"
        return StudyState([RunState(plan, output / plan.name, 1, state) for plan in plans])

    monkeypatch.setattr(audit_folds, "run_planned", run_planned)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    runs = audit_folds.train_folds({"data": {}}, 2, tmp_path)
    holder.join()
    assert calls[-1] and len(calls) <= 2
    assert [[run.name for run in of_fold] for of_fold in runs] == [["fold-1"], ["fold-2"]]


@pytest.mark.parametrize(
    ("state", "message"),
    [("failed", "fold 1 of 2 failed: no memory .*once more"), ("interrupted", "again continues")],
)
def test_folds_that_did_not_finish(tmp_path, monkeypatch, state, message):
    def run_planned(plans, output, **options):
        return StudyState([RunState(plans[0], output, 1, state, error="no memory")])

    monkeypatch.setattr(audit_folds, "run_planned", run_planned)
    with pytest.raises(ValueError, match=message):
        audit_folds.train_folds({"data": {}}, 2, tmp_path)


def test_images_that_were_not_trained_on_follow_their_patient(dataset, tmp_path):
    """Anna, who is trained on, has no mask of e and f; e is of the patient of c."""
    manifest = dataset.root / "manifest.csv"
    rows = manifest.read_text().split()
    group = {"id": "group", "c": "p", "e": "p", "f": "q"}
    for id in "ef":
        png(dataset.root / f"{id}.png", np.zeros((8, 8)))
        rows.append(f"{id},{id}.png,{id}.png,ben,train")
    rows = [f"{row},{group.get(row.split(',')[0], '')}" for row in rows]
    manifest.write_text("\n".join(rows) + "\n")
    inputs = choose_inputs(Dataset.open(dataset.root), ["ben"], trained_on="anna")
    assert {case.annotator for case in inputs.cases} == {"ben"} and len(inputs.cases) == 6
    runs = [tmp_path / f"fold-{number}" for number in (1, 2)]
    for run, held_out in zip(runs, (["a", "d"], ["b", "c"]), strict=True):
        run.mkdir()
        (run / "test.csv").write_text("\n".join(["id", *held_out]) + "\n")
    fold_of = audit_folds._held_out(inputs, runs)
    assert fold_of == {"a": 0, "b": 1, "c": 1, "d": 0, "e": 1, "f": 0}
    # As after a change of manifest.csv between the training of the folds.
    (runs[1] / "test.csv").write_text("id\nb\n")
    with pytest.raises(ValueError, match=r"has seen \['c'\] \(of 1\)"):
        audit_folds._held_out(inputs, runs)


def near(picture, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(picture.astype(int) - wanted).max(axis=-1) < 50).sum()


def test_panels_show_mask_prediction_and_error():
    mask, predicted = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15] = 1
    predicted[20:35, 30:50] = 1
    error = np.where(mask != predicted, 255, 0).astype(np.uint8)
    content, shown = panel(np.zeros((40, 60, 3), np.uint8), mask, predicted, error, side=200)
    picture = np.asarray(Image.open(io.BytesIO(content)))
    assert shown == "" and picture.shape == (133, 404, 3)
    left, right = picture[:, :200], picture[:, 204:]
    assert near(left, MASK_COLOUR) > 50 and near(left, PREDICTION_COLOUR) > 50
    assert right.mean() > left.mean()
    nothing = np.zeros((40, 60), np.uint8)
    empty = panel(np.zeros((40, 60, 3), np.uint8), nothing, nothing, nothing, side=200)[0]
    assert not near(np.asarray(Image.open(io.BytesIO(empty))), MASK_COLOUR)


def test_panels_cut_to_what_is_to_be_seen():
    mask = np.zeros((100, 200), np.uint8)
    mask[90:96, 10:16] = 1
    image = np.where(mask[..., None], 255, 0).repeat(3, axis=2).astype(np.uint8)
    picture = Image.open(io.BytesIO(panel(image, mask, mask, 0 * mask, side=200)[0]))
    # A quarter of 200 pixels is shown as 200: 6 pixels are 24.
    bright = (np.asarray(picture)[:, :200].min(axis=-1) > 200).any(axis=0).sum()
    assert picture.size == (404, 100) and 15 <= bright <= 26


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_panels_of_volumes_show_the_slice_with_most_error(axis):
    error = np.zeros((6, 8, 10), np.uint8)
    np.moveaxis(error, axis, 0)[4, 2:4, 2:4] = 200
    np.moveaxis(error, axis, 0)[2] = 100  # much doubt is no error
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 3.0
    image = np.random.default_rng(0).normal(size=(6, 8, 10, 1))
    content, shown = panel(image, error > 150, error > 150, error, spacing, side=64)
    assert shown == f"slice 5 of {error.shape[axis]}"
    assert Image.open(io.BytesIO(content)).size[0] > 64


def test_pictures_of_any_values():
    assert to_rgb(np.full((2, 2, 1), np.nan)).tolist() == [[[0, 0, 0]] * 2] * 2
    assert to_rgb(np.array([[[0.0], [5.0]]])).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert to_rgb(np.ones((1, 1, 4), np.uint8)).shape == (1, 1, 3)


def test_maps_of_given_predictions_are_kept(dataset, tmp_path):
    folder, output = tmp_path / "given", tmp_path / "maps"
    for number, id in enumerate("abcd"):
        png(folder / f"{id}.png", np.full((8, 8), 100 + number))
    found = GivenModels.find([folder], dataset, "abcd")
    spread, calls = tmp_path / "spread", []
    found.copy(dataset, output, spread, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (4, 4) and (read_map(output, "d") == 103).all()
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    (output / "b.png").unlink()
    found.copy(dataset, output, spread)
    after = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert {path.name for path in after if after[path] != before[path]} == {"b.png"}
    assert not spread.exists()
