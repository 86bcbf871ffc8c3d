"""Audits from beginning to end: folds, given predictions, interruptions, reports."""

import html
import json
import re
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.annotators import simulate_dataset
from keras_robust.audit import read_audit
from keras_robust.audit.run import audit
from keras_robust.cli import app
from keras_robust.common.files import locked
from keras_robust.data import Dataset, sample_path
from keras_robust.inference.predict import Predictor
from keras_robust.noise import LabelNoise

NOISY = "noisy-a0.5-b0.7-s0"
SMALL = {
    "size": (32, 32),
    "folds": 2,
    "epochs": 2,
    "training": {"model": {"features": 4, "max_features": 8, "depth": 2}, "batch_size": 4},
}
BY_DICE = ["soft_dice", "surface"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Sixteen packaged images at 48 x 48, half of the masks made wrong, two images per patient."""
    root = tmp_path_factory.mktemp("small")
    sample = Dataset.open(sample_path()).select(split="train")
    lines = ["id,image,mask,annotator,split,group,site"]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, case in enumerate(sample.cases[:16]):
        Image.fromarray(sample.read_image(case, (48, 48))).save(root / f"images/{case.id}.png")
        mask = sample.read_mask(case, (48, 48))
        Image.fromarray(255 * mask).save(root / f"masks/{case.id}.png")
        paths = f"images/{case.id}.png,masks/{case.id}.png"
        lines.append(f"{case.id},{paths},isic_gt,train,patient{number // 2},{'AB'[number > 9]}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    simulate_dataset(root, LabelNoise(alpha=0.5, beta=0.7, seed=0))
    return root


@pytest.fixture
def dataset(source, tmp_path):
    return shutil.copytree(source, tmp_path / "small")


@pytest.fixture
def predictions(dataset, tmp_path):
    """What a good model says: the clean mask, with doubt everywhere."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    opened = Dataset.open(dataset).select(annotator="isic_gt")
    for case in opened:
        levels = np.where(opened.read_mask(case), 200, 20).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{case.id}.png")
    return folder


def times(folder, pattern):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.glob(pattern))}


class Interrupted:
    """Ctrl-C once a stage has got so far."""

    def __init__(self, stage, done):
        self.stage, self.done = stage, done

    def __call__(self, stage, done, total):
        if stage == self.stage and done >= self.done:
            raise KeyboardInterrupt


def test_an_audit_by_folds_goes_on_where_it_was_stopped(dataset, tmp_path, monkeypatch):
    output = tmp_path / "audit"
    judged = {}
    load = Predictor.load

    def load_and_note(run, **options):
        predictor = load(run, **options)
        cases = predictor.cases

        def noted(chosen):
            judged.setdefault(run.name, []).extend(case.id for case in chosen)
            return cases(chosen)

        predictor.cases = noted
        return predictor

    monkeypatch.setattr(Predictor, "load", load_and_note)

    def run(progress=None, **options):
        return audit(
            dataset, output, annotator=NOISY, truth="isic_gt", scores=["default", *BY_DICE],
            progress=progress, **SMALL | {"training": training} | options,
        )  # fmt: skip

    training = SMALL["training"] | {"data": {"stratify": "site"}}
    # In the second fold, after one of its two epochs, or both.
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted("training", 3))
    first = output / "folds" / "fold-1"
    assert json.loads((first / "run.json").read_text())["results"].keys() >= {"dice_test"}
    with pytest.raises(FileNotFoundError, match="same command again continues"):
        read_audit(output)
    trained = times(first, "**/*.npz")
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted("predicting", 3))
    predicted = times(output, "predictions/*.png")
    assert 3 <= len(predicted) < 16 and times(first, "**/*.npz") == trained
    with pytest.raises(ValueError, match=r"training\.epochs: 2 -> 3.*--output"):
        run(epochs=3)

    found = run()
    assert times(output, "predictions/*.png").items() >= predicted.items()
    opened = Dataset.open(dataset).select(annotator=NOISY)
    assert sorted(case.id for case in found.cases) == sorted(opened.ids)
    assert [case.rank for case in found.cases] == list(range(1, 17))
    scores = [case.score for case in found.cases]
    assert scores == sorted(scores, reverse=True) and found.ranked_by == "default"
    for case in opened:
        assert found.prediction(case.id).shape == (48, 48, 1)
        assert found.error_map(case.id).shape == (48, 48)
    _check_folds(output, opened, judged)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.count('<div class="card">') == 16 and "T-Loss" in page
    assert "where the simulation changed it" in page and "AUROC" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    assert (output / "detection.csv").read_text().count("\n") == 1 + len(found.score_names)


def _check_folds(output, opened, judged):
    """Each image is held out once, with the other image of its patient, and judged by that fold."""
    group = {case.id: case.group for case in opened}
    rows = [path.read_text().splitlines()[1:] for path in sorted(output.glob("folds/*/test.csv"))]
    held_out = [{row.split(",")[0] for row in lines} for lines in rows]
    assert sorted([*held_out[0], *held_out[1]]) == sorted(opened.ids)
    assert [set(judged[name]) for name in ("fold-1", "fold-2")] == held_out
    assert not {group[id] for id in held_out[0]} & {group[id] for id in held_out[1]}


def test_an_audit_by_given_predictions(dataset, predictions, tmp_path):
    output = tmp_path / "audit"
    found = audit(
        dataset, output, annotator=[NOISY, "isic_gt"], predictions=predictions, scores=BY_DICE
    )
    assert found.annotators == (NOISY, "isic_gt") and len(found.cases) == 32
    assert found.ranked_by == "soft_dice" and found.score_names == tuple(BY_DICE)
    # The clean masks agree with the predictions, and half of the noisy ones are clean.
    best = found.cases[-1]
    assert best.classes[0].dice == 1 and best.classes[0].surface_offset == 0
    assert found.case(best.id, "isic_gt").classes[0].dice == 1
    wrong = found.cases[0]
    assert wrong.p_wrong > 0.5 > best.p_wrong
    assert found.info["trust"]["found"] and not found.info["trust"]["blind"]
    assert wrong.annotator == NOISY and wrong.classes[0].dice < 0.9 and wrong.kind != "none"
    # Where the mask says foreground and the model 20 of 255, the error map says 235.
    opened = Dataset.open(dataset)
    case = opened.select(annotator=NOISY, ids=[wrong.id]).cases[0]
    mask, clean = opened.read_mask(case), found.labels(wrong.id)
    error = found.error_map(wrong.id, NOISY)
    assert set(error[(mask == 1) & (clean == 0)]) <= {235}
    assert set(error[(mask == 0) & (clean == 0)]) == {20}
    assert "annotator" in (output / "audit.csv").read_text().splitlines()[0]

    # The truth may come later, and other scores: nothing else is done again.
    maps = times(output, "**/*.png")
    table = (output / "audit.csv").stat().st_mtime_ns
    with pytest.raises(ValueError, match="masks are not judged"):
        audit(
            dataset, output, annotator=[NOISY, "isic_gt"], predictions=predictions,
            scores=BY_DICE, truth="isic_gt",
        )  # fmt: skip
    again = audit(
        dataset, output, annotator=[NOISY, "isic_gt"], predictions=predictions, scores=BY_DICE
    )
    assert (output / "audit.csv").stat().st_mtime_ns == table and again.cases == found.cases
    # What was lost is made again.
    (output / "audit.csv").unlink()
    lost = next((output / "error_maps" / NOISY).iterdir())
    lost.unlink()
    again = audit(
        dataset, output, annotator=[NOISY, "isic_gt"], predictions=predictions, scores=BY_DICE
    )
    assert again.cases == found.cases and lost.is_file()
    maps = times(output, "**/*.png")
    other = audit(
        dataset, output, annotator=[NOISY, "isic_gt"], predictions=predictions, scores=["surface"]
    )
    assert other.ranked_by == "surface" and times(output, "**/*.png") == maps


def test_other_files_or_settings_are_refused(dataset, predictions, tmp_path):
    output = tmp_path / "audit"

    def run(**options):
        return audit(
            dataset, output, **{"annotator": NOISY, "predictions": predictions, "scores": BY_DICE}
            | options
        )  # fmt: skip

    run()
    with pytest.raises(ValueError, match="annotators"):
        run(annotator="isic_gt")
    with pytest.raises(ValueError, match="predictions: .* -> null"):
        run(predictions=None)
    id = Dataset.open(dataset).ids[0]
    for path, what in (
        (predictions / f"{id}.png", f"predictions {id}"),
        (dataset / "masks" / NOISY / f"{id}.png", f"masks {NOISY} {id}"),
    ):
        before = path.read_bytes()
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(path)
        with pytest.raises(ValueError, match=rf"other ones \({what}\).*--output"):
            run()
        path.write_bytes(before)
    # Masks that the audit does not look at may change.
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(dataset / "masks" / f"{id}.png")
    run()
    with locked(output / ".audit.lock"), pytest.raises(BlockingIOError, match="audits into"):
        run()
    (output / "audit.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        run()
    (output / "audit.json").unlink()
    with pytest.raises(ValueError, match="holds other files"):
        run()


@pytest.mark.parametrize("classes", [2, 3])
def test_volumes(tmp_path, classes):
    """Boxes of 4 x 4 x 4 mm in nnU-Net's layout; in the second, half of the mask is missing."""
    root, predictions = tmp_path / "volumes", tmp_path / "predictions"
    for folder in (root / "imagesTr", root / "labelsTr", predictions):
        folder.mkdir(parents=True)
    names = {"background": 0, "box": 1} | ({"core": 2} if classes == 3 else {})
    meta = {"channel_names": {"0": "MRI"}, "labels": names, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(meta))
    affine = np.diag([1.0, 1.0, 2.0, 1.0])

    def save(path, array):
        nibabel.Nifti1Image(array, affine).to_filename(path)

    labels = np.zeros((12, 10, 6), np.uint8)
    labels[2:6, 2:6, 2:4] = 1
    labels[4:6, 4:6, 2:4] = classes - 1
    for id in "abc":
        mask = labels.copy()
        if id == "b":
            mask[:, :, 3] = 0
        save(root / "imagesTr" / f"{id}_0000.nii.gz", labels.astype(np.int16) * 100)
        save(root / "labelsTr" / f"{id}.nii.gz", mask)
        save(predictions / f"{id}.nii.gz", labels)
    found = audit(root, tmp_path / "audit", predictions=predictions, scores=["soft_dice"])
    first = found.cases[0]
    assert first.id == "b" and first.unit == "mm" and found.classes == classes
    # 2 x 16 mm³ of 4 x 4 x 2 voxels of 2 mm³, less the core.
    core = 2 * 2 * 2 * 2 if classes == 3 else 0
    assert first.classes[0].predicted_area == 64 - core
    assert first.classes[0].area == (64 - core) / 2
    np.testing.assert_array_equal(found.labels("b"), labels)
    error = found.error_map("b")
    assert (error[2:6, 2:6, 3] == 255).all() and not error[..., :3].any()
    (path,) = (tmp_path / "audit" / "error_maps").glob("*/b.nii.gz")
    np.testing.assert_array_equal(nibabel.load(path).affine, affine)
    page = (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    assert "1. b, slice 4 of 6" in page and "mm³" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"annotator": None}, r"whose masks to judge.*isic_gt, noisy.*--annotator"),
        ({"annotator": "nobody"}, "nobody"),
        ({"split": "test"}, "test"),
        ({"scores": ["sharpness"]}, "sharpness"),
        ({"truth": NOISY}, "masks are not judged"),
        ({"predictions": None, "loss": "tt"}, "'tt'"),
        ({"predictions": None, "folds": 9}, "2 to 8 folds"),
        ({"predictions": None, "training": {"data": {"fold": (0, 2)}}}, "data.fold"),
        ({"predictions": None, "training": {"epoch": 3}}, "epoch"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(
    dataset, predictions, tmp_path, options, message
):
    given = {"annotator": NOISY, "predictions": predictions} | options
    with pytest.raises(ValueError, match=message):
        audit(dataset, tmp_path / "audit", **given)
    assert not (tmp_path / "audit" / "audit.json").exists()


def test_masks_that_cannot_be_judged_are_named(dataset, predictions, tmp_path):
    ids = Dataset.open(dataset).ids
    masks = dataset / "masks" / NOISY
    (masks / f"{ids[0]}.png").unlink()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(masks / f"{ids[1]}.png")
    with pytest.raises(ValueError, match=rf"(?s)2 that cannot.*{ids[0]}.*{ids[1]}"):
        audit(dataset, tmp_path / "audit", annotator=NOISY, predictions=predictions)
    assert not (tmp_path / "audit" / "audit.json").exists()


def test_the_command(dataset, predictions, tmp_path):
    output = tmp_path / "audit"
    arguments = ["audit", str(dataset), "--output", str(output), "--score", "surface"]
    arguments += ["--predictions", str(predictions)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "--annotator NAME" in " ".join(refused.output.split())
    done = CliRunner().invoke(app, [*arguments, "--annotator", NOISY, "--truth", "isic_gt"])
    assert done.exit_code == 0, done.output
    assert "   1  " in done.output and (output / "report.html").is_file()
    # The good model of the fixture agrees with the masks that are clean.
    assert "of 10 were found among the first 10 %" in done.output
    assert "Judges: median Dice" in done.output and "probably wrong" in done.output
    page = (output / "report.html").read_text(encoding="utf-8")
    for line in done.output.splitlines():
        assert not line.startswith(("Judges", "Against the truth")) or html.escape(line) in page
    assert "AUROC of surface" in done.output
    assert read_audit(output).ranked_by == "surface"
    # Without the truth, nothing of it is left.
    assert (output / "truth.csv").is_file() and (output / "detection.csv").is_file()
    again = CliRunner().invoke(app, [*arguments, "--annotator", NOISY])
    assert again.exit_code == 0 and "AUROC" not in again.output, again.output
    assert not (output / "truth.csv").exists() and not (output / "detection.csv").exists()
    size = CliRunner().invoke(app, [*arguments, "--annotator", NOISY, "--size", "big"])
    assert size.exit_code == 2 and "256x256" in size.output
