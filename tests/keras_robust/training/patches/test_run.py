import csv
import json
import shutil

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import Dataset, sample, sample_path
from keras_robust.planning.plan_files import load_plan
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.panels import mask_panels
from keras_robust.training import NoiseConfig, Run, SelectionConfig, TrainConfig, train
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.patches.evaluation import predictions
from keras_robust.training.patches.recipe import planned
from keras_robust.training.patches.task import PlannedTask
from tests.keras_robust.training.patches.conftest import write_plan

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def state(run, folder="checkpoints"):
    return Checkpoints(run.folder / folder).newest()


def figures(run):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]


def change(config, **changes):
    plan = config.plan.model_copy(update=changes.pop("plan", {}))
    data = config.data.model_copy(update=changes.pop("data", {}))
    return config.model_copy(update={"plan": plan, "data": data, **changes})


def test_the_history_holds_pseudo_dice_and_the_schedule(planned_run):
    first, last = planned_run.history
    for row in (first, last):
        mean = (row["pseudo_dice_train_1"] + row["pseudo_dice_train_2"]) / 2
        assert row["pseudo_dice_train"] == pytest.approx(mean, abs=1e-6)
    assert first["pseudo_dice_train_ema"] == first["pseudo_dice_train"]
    average = 0.9 * first["pseudo_dice_train"] + 0.1 * last["pseudo_dice_train"]
    assert last["pseudo_dice_train_ema"] == pytest.approx(average, abs=2e-6)
    assert first["learning_rate"] == pytest.approx(0.01)
    assert last["learning_rate"] == pytest.approx(0.01 * 0.5**0.9)
    assert [row["step"] for row in (first, last)] == [3, 6]


def test_test_images_are_scored_as_they_are_stored(planned_run, planned_config):
    """The table, the results and a prediction made here from the loaded model agree."""
    with open(planned_run.folder / "test.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["c4", "c5"]
    assert planned_run.results["dice_test"] == pytest.approx(
        np.mean([float(row["dice"]) for row in rows])
    )
    plan, found = planned_run.plan
    assert plan.patch_size == (8, 16, 16) and plan.axes == (2, 0, 1)
    model = planned_run.load_model()
    assert model.output_shape == (None, 8, 16, 16, 3)
    test = Dataset.open(planned_config.data.path).select(annotator="expert", split="test")
    for row, (case, probabilities) in zip(
        rows, predictions(model, test, plan, found, (1,)), strict=True
    ):
        predicted, mask = probabilities.argmax(-1), test.read_mask(case)
        assert predicted.shape == mask.shape
        for label in (1, 2):
            both = ((predicted == label) & (mask == label)).sum()
            total = (predicted == label).sum() + (mask == label).sum()
            assert float(row[f"dice_{label}"]) == pytest.approx(2 * both / total if total else 1)
    kept = {path.name for path in (planned_run.folder / "predictions").iterdir()}
    assert kept == {"c0.nii.gz", "c4.nii.gz"}


def test_pictures_of_training_images_are_not_mirrored(planned_run, planned_config):
    plan, found = planned_run.plan
    first = Dataset.open(planned_config.data.path).select(annotator="expert", ids=["c0"])
    ((_, probabilities),) = predictions(planned_run.load_model(), first, plan, found)
    kept = nibabel.load(planned_run.folder / "predictions/c0.nii.gz").get_fdata()
    np.testing.assert_allclose(kept, 255 * (1 - probabilities[..., 0]), atol=0.6)


def test_the_report_reads_it(planned_run):
    record = RunRecord.read(planned_run.folder)
    assert record.mean_of_last() == pytest.approx(planned_run.results["dice_test"])
    figure = mask_panels([record])
    shown = [axes.get_title() for axes in figure.axes]
    assert shown[:4] == ["image", "clean mask", "noisy mask", "CE+Dice"]


def test_the_best_epoch_is_kept_beside_the_last(planned_run):
    averages = [row["pseudo_dice_train_ema"] for row in planned_run.history]
    best = int(np.argmax(averages)) + 1
    assert state(planned_run, "checkpoints/best")[0] == best
    assert state(planned_run)[0] == 2
    last, kept = planned_run.load_model(), planned_run.load_model(best=True)
    same = all((a == b).all() for a, b in zip(last.get_weights(), kept.get_weights(), strict=True))
    assert same == (best == 2)


def test_interrupted_and_resumed_equals_uninterrupted(planned_config, planned_run, tmp_path):
    def interrupt(stage, done, total, figures):
        if (stage, done) == ("step", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(planned_config, tmp_path, progress=interrupt)
    assert Run(tmp_path).status == "interrupted"
    in_memory = change(planned_config, data={"cache": "memory"})
    with pytest.raises(ValueError, match="other values of data"):
        train(in_memory, tmp_path, resume=True)
    told = []
    run = train(planned_config, tmp_path, resume=True, progress=lambda *event: told.append(event))
    stage, done, total, _ = told[-1]
    assert (stage, done) == ("predict", total)
    assert figures(run) == figures(planned_run)
    assert state(run)[1]["state.npz"] == state(planned_run)[1]["state.npz"]
    assert state(run, "checkpoints/best") is not None


def test_a_run_does_not_go_on_with_another_plan(planned_config, planned_run, volumes, tmp_path):
    """Planned again meanwhile, with a spacing that fits the weights as well."""
    shutil.copytree(planned_run.folder, tmp_path / "run")
    again = write_plan(volumes[0], tmp_path / "plan", spacing_mm=(3.0, 2.0, 2.0))
    options = planned_config.plan.model_copy(update={"folder": again})
    run = Run(tmp_path / "run")
    with pytest.raises(ValueError, match="Expected the plan that the run in .* began with"):
        PlannedTask(volumes[0], planned_config, options, run, lambda *_: None)
    assert run.plan == planned_run.plan
    PlannedTask(volumes[0], planned_config, planned_config.plan, run, lambda *_: None)


def test_two_peers_on_noisy_masks_with_a_fold_held_out(planned_config, tmp_path):
    config = change(
        planned_config,
        data={"fold": (0, 2), "annotator": "expert", "cache": "memory"},
        plan={"validation_steps": 1, "steps_per_epoch": 1},
        noise=NoiseConfig(alpha=1, beta=0.3),
        loss="t+dice",
        selection=SelectionConfig(name="stocot", options={"warmup": 0}),
        epochs=1,
        save_predictions=0,
    )
    run = train(config, tmp_path)
    (row,) = run.history
    assert {"kept_a", "kept_b", "nu_tilde", "nu_tilde_2", "pseudo_dice_val_ema"} <= set(row)
    assert {entry.kind for entry in run.noise} <= {"dilate", "erode", "affine"}
    assert run.load_model().output_shape == (None, 8, 16, 16, 3)


def test_photographs_with_deep_supervision(tmp_path):
    """Two dimensions and one class; each of the two outputs has a ν of its own."""
    config = TrainConfig(
        data={"path": sample_path(), "train_limit": 2, "test_split": None},
        loss="t",
        plan={
            "folder": write_plan(sample().select(ids=sample().ids[:2]), tmp_path / "plan"),
            "patch_size": (32, 32),
            "batch_size": 2,
            "features": 2,
            "steps_per_epoch": 1,
        },
        epochs=1,
        save_predictions=0,
        tensorboard=False,
    )
    run = train(config, tmp_path / "run")
    (row,) = run.history
    assert row["nu_tilde"] != row["nu_tilde_2"] and "nu_tilde_3" not in row
    assert not any(key.startswith("probabilities") for key in row)
    assert run.load_model().output_shape == (None, 32, 32, 1)
    assert run.results == {}


def test_preprocessing_from_the_command_line(volumes, tmp_path):
    dataset, plan = volumes
    folder = tmp_path / "plan"
    shutil.copytree(plan, folder, ignore=shutil.ignore_patterns("cases"))
    options = ["preprocess", str(dataset.root), "--plan", str(folder), "--annotator", "expert"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("4 cases")
    assert len(list((folder / "cases" / "labels" / "expert").glob("*.labels.b2nd"))) == 4


def test_a_folder_without_a_plan_is_refused(planned_config, tmp_path):
    with pytest.raises(FileNotFoundError, match="keras-robust plan"):
        load_plan(tmp_path)
    with pytest.raises(ValueError, match=r"plan\.mirror_axes"):
        train(change(planned_config, plan={"mirror_axes": (3,)}), tmp_path / "run")
    plan, _ = load_plan(planned_config.plan.folder)
    with pytest.raises(ValueError, match=r"plan\.features"):
        planned(plan.model_copy(update={"features": (32, 48, 100)}), planned_config.plan)
    with pytest.raises(ValueError, match=r"plan\.patch_size"):
        train(change(planned_config, plan={"patch_size": (8, 8)}), tmp_path / "run")


def test_a_plan_of_another_data_set_is_refused(planned_config, volumes, tmp_path):
    folder = shutil.copytree(volumes[1], tmp_path / "plan", ignore=lambda *_: ["cases"])
    found = json.loads((folder / "fingerprint.json").read_text())
    (folder / "fingerprint.json").write_text(json.dumps({**found, "classes": 2}))
    with pytest.raises(ValueError, match="a plan for 3 classes.*one for 2. Plan again"):
        train(change(planned_config, plan={"folder": folder}), tmp_path / "run")
