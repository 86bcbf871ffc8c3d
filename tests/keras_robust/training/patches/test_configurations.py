"""Slices, the coarse stage and the cascade of one data set: planned, trained, chosen, predicted."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.cli.run_config import run_config, runs_in
from keras_robust.data import Dataset
from keras_robust.inference import evaluate_run, load_predictor, predict
from keras_robust.inference.best import choose_best
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.plan import Plan
from keras_robust.planning.plan_files import file_of, load_configuration
from keras_robust.training import train
from keras_robust.training.patches.previous import PREVIOUS, PreviousStage, changed, one_hot
from tests.keras_robust.training.patches.test_run import change

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def plans(volumes, tmp_path_factory):
    """The plans of the volumes in all configurations, small ones, in a folder."""
    folder = tmp_path_factory.mktemp("plans")
    shutil.copy(volumes[1] / "fingerprint.json", folder)
    full = Plan.model_validate_json((volumes[1] / "plan.json").read_text())
    full = full.model_copy(update={"batch_size": 2, "features": (2, 4), "patch_size": (8, 16, 16)})
    small = {"strides": ((2, 2, 2),), "kernels": ((3, 3, 3),) * 2}
    full = full.model_copy(update=small)
    flat = {"strides": ((2, 2),), "kernels": ((3, 3),) * 2, "patch_size": (16, 16)}
    flat |= {"spacing_mm": full.spacing_mm[1:], "median_shape": full.median_shape[1:]}
    coarse = {"spacing_mm": tuple(2 * s for s in full.spacing_mm), "patch_size": (4, 8, 8)}
    for name, changes in {
        "3d_fullres": {},
        "2d": flat,
        "3d_lowres": coarse,
        "3d_cascade_fullres": {},
    }.items():
        plan = Plan(**{**full.model_dump(), **changes, "configuration": name})
        file = "plan.json" if name == "3d_fullres" else file_of(name)
        (folder / file).write_text(plan.to_json())
    return folder


@pytest.fixture(scope="module")
def runs(plans, planned_config, tmp_path_factory):
    """A run of each configuration of the first fold of two, of the coarse one both."""
    folder = tmp_path_factory.mktemp("configurations")

    def trained(configuration, fold, **options):
        config = change(
            planned_config,
            data={"fold": (fold, 2), "annotator": "expert"},
            plan={
                "folder": plans,
                "configuration": configuration,
                "features": None,
                "patch_size": None,
                "batch_size": None,
                "mirror_axes": (),
                "steps_per_epoch": 1,
                "deep_supervision": False,
                "validation_steps": int(configuration == "3d_cascade_fullres"),
                **options,
            },
            epochs=1,
            evaluate_last=1 if configuration == "3d_cascade_fullres" else 0,
            save_predictions=0,
        )
        return train(config, folder / f"{configuration}-{fold}")

    found = {"2d": [trained("2d", 0)], "3d_lowres": [trained("3d_lowres", n) for n in (0, 1)]}
    before = tuple(run.folder for run in found["3d_lowres"])
    found["3d_cascade_fullres"] = [trained("3d_cascade_fullres", 0, previous=before)]
    return found


def test_networks_see_slices_and_masks_are_volumes(runs, volumes, tmp_path):
    (run,) = runs["2d"]
    assert run.load_model().input_shape == (None, 16, 16, 1)
    few = volumes[0].select(ids=volumes[0].ids[:1])
    predict(run.folder, few, tmp_path)
    (found,) = load_predictor(run.folder).cases(few)
    mask = np.asarray(nibabel.load(tmp_path / f"{few.ids[0]}.nii.gz").dataobj)
    assert mask.shape == found[1].shape[:-1] == few.read_image(few.cases[0]).shape[:-1]
    np.testing.assert_array_equal(mask, found[1].argmax(axis=-1))


def test_each_slice_is_predicted_by_itself(runs, volumes):
    predictor = load_predictor(runs["2d"][0].folder)
    plan = predictor.plan.model_copy(update={"normalization": ("none",)})
    predictor.plan = plan
    image = np.random.default_rng(0).normal(size=(18, 16, 6, 1)).astype("float32")
    assert plan.axes == (2, 0, 1)
    whole = predictor.probabilities(image, (1, 1, 1.5))
    part = predictor.probabilities(image[:, :, 2:4], (1, 1, 1.5))
    np.testing.assert_allclose(part, whole[:, :, 2:4], atol=1e-5)


def test_a_cascade_is_given_what_was_predicted_of_unseen_images(runs, volumes):
    (run,) = runs["3d_cascade_fullres"]
    classes = volumes[0].classes
    assert run.load_model().input_shape == (None, 8, 16, 16, 1 + classes - 1)
    stage = PreviousStage.read(run.folder)
    assert sorted(stage.held_out.values()) == [0, 0, 1, 1]  # four images to train on, two folds
    dataset = Dataset.open(run.config.data.path).select(annotator="expert")
    for case in dataset.select(split="train"):
        own = [stage.of_image(dataset.read_image(case), case.spacing, n) for n in (0, 1)]
        (held_by,) = [n for n in (0, 1) if case.id in _held_out(runs["3d_lowres"][n], dataset)]
        np.testing.assert_array_equal(stage.of_case(case), own[held_by])
    stored = list((run.config.plan.folder / "previous").glob("*/*.b2nd"))
    assert len(stored) == 4


def _held_out(run, dataset):
    from keras_robust.training.choosing import choose_fold

    return choose_fold(dataset, "expert", run.config.data)[1].ids


def test_a_cascade_predicts_in_one_go(runs, volumes, tmp_path):
    (run,) = runs["3d_cascade_fullres"]
    held_out = evaluate_run(run.folder)
    assert held_out.per_image == pytest.approx(
        {
            row.split(",")[0]: float(row.split(",")[1])
            for row in (run.folder / "test.csv").read_text().splitlines()[1:]
        }
    )
    new = volumes[0].select(split="test", annotator="expert")
    predictor = load_predictor(run.folder)
    for case, found in predictor.cases(new):
        # Of an image that is new to all, all of the previous stage are asked.
        image = new.read_image(case)
        before = predictor.previous.of_image(image, case.spacing)
        np.testing.assert_array_equal(predictor.previous.of_case(case), before)
        np.testing.assert_array_equal(found, predictor.probabilities(image, case.spacing))
        other = predictor._probabilities(image, case.spacing, (before + 1) % 3)
        assert abs(other - found).max() > 1e-4  # what is given is looked at


def test_the_best_of_configurations_is_chosen_and_followed(runs, tmp_path, volumes):
    folder = tmp_path / "runs"
    folder.mkdir()
    chosen_of = [runs["2d"][0].folder, runs["3d_lowres"][0].folder]
    seen = []
    choice = choose_best(chosen_of, folder, progress=lambda *c: seen.append(c))
    assert set(choice.dice) == {"2d", "3d_lowres", "2d+3d_lowres"} and seen[-1] == (6, 6)
    best = max(choice.dice.values())
    assert choice.dice["+".join(choice.best)] == best
    assert len(choice.runs) == len(choice.best)
    stored = json.loads((folder / "postprocessing.json").read_text())
    assert stored["keep_largest"] == [list(group) for group in choice.components.largest]
    told = CliRunner().invoke(app, ["choose", *map(str, chosen_of), "-o", str(folder), "--json"])
    assert told.exit_code == 0, told.output  # from the predictions that are there
    assert json.loads(told.stdout)["dice"] == choice.dice
    (folder / "held-out" / "2d" / "fold-0" / "predicted-1-of-1.jsonl").write_text("{}\n")
    assert choose_best(chosen_of, folder) == choice  # what is not known to be the same, anew
    new = volumes[0].select(split="test", annotator="expert")
    predict(folder, new, tmp_path / "followed")
    predict(list(choice.runs), new, tmp_path / "named", postprocess=False)
    if not choice.components.largest:
        for case in new:
            name = f"{case.id}.nii.gz"
            first, second = (nibabel.load(tmp_path / n / name) for n in ("followed", "named"))
            np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
    # What the file says is done, and left out where it is told so.
    (folder / "postprocessing.json").write_text(json.dumps({**stored, "keep_largest": [[1, 2]]}))
    predict(folder, new, tmp_path / "largest")
    for case in new:
        name = f"{case.id}.nii.gz"
        found = np.asarray(nibabel.load(tmp_path / "largest" / name).dataobj)
        plain = np.asarray(nibabel.load(tmp_path / "named" / name).dataobj)
        assert ((found == plain) | (found == 0)).all()


def test_what_cannot_be_chosen_from_is_refused(runs, tmp_path, planned_run):
    folders = [run.folder for run in runs["3d_lowres"]]
    with pytest.raises(ValueError, match="held out the same images"):
        choose_best([runs["2d"][0].folder, *folders], tmp_path)
    with pytest.raises(ValueError, match="one run of each fold"):
        choose_best([folders[0], folders[0]], tmp_path)
    with pytest.raises(ValueError, match="finished runs of a fold"):
        choose_best([planned_run.folder], tmp_path)
    with pytest.raises(ValueError, match="a folder that is no run"):
        choose_best(folders, folders[0])


def test_a_cascade_without_its_first_stage_is_refused(plans, planned_config, runs, tmp_path):
    options = {"folder": plans, "configuration": "3d_cascade_fullres", "features": 2}
    config = change(planned_config, data={"fold": (0, 2)}, plan=options)
    with pytest.raises(ValueError, match=r"plan\.previous.*the runs of 3d_lowres"):
        train(config, tmp_path / "a")
    wrong = change(config, plan={"previous": (runs["2d"][0].folder,)})
    with pytest.raises(ValueError, match="runs of 3d_lowres, each of a fold"):
        train(wrong, tmp_path / "b")
    half = change(config, plan={"previous": (runs["3d_lowres"][0].folder,)})
    with pytest.raises(ValueError, match="together held out every image"):
        train(half, tmp_path / "c")


def test_configurations_are_files_beside_the_plan(plans, tmp_path):
    assert load_configuration(plans)[0].configuration == "3d_fullres"
    assert load_configuration(plans, "2d")[0].slices
    (tmp_path / "fingerprint.json").write_text((plans / "fingerprint.json").read_text())
    (tmp_path / "plan.json").write_text((plans / "plan.json").read_text())
    with pytest.raises(ValueError, match=r"one of those planned, \['3d_fullres'\]"):
        load_configuration(tmp_path, "3d_lowres")


def test_augmented_labels_of_a_previous_stage_stay_labels():
    labels = np.zeros((12, 12), np.uint8)
    labels[2:6, 2:6], labels[8:11, 8:11] = 1, 2
    generator = np.random.default_rng(0)
    many = [changed(one_hot(labels, 3), generator) for _ in range(100)]
    assert all(set(np.unique(found)) <= {0, 1} and found.sum(axis=-1).max() <= 1 for found in many)
    same = sum(np.array_equal(found, one_hot(labels, 3)) for found in many)
    # Neither redrawn (0.6 + 0.4 / 4) nor with a part removed (0.8 + 0.2 / 4): 0.595 of them.
    assert 40 < same < 75


def test_the_command_plans_and_trains_configurations(volumes, tmp_path):
    told = CliRunner().invoke(
        app, ["plan", str(volumes[0].root), "-o", str(tmp_path), "--annotator", "expert", "--json"]
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["configurations"] == ["3d_fullres", "2d"]
    assert Fingerprint.model_validate_json((tmp_path / "fingerprint.json").read_text()).classes == 3
    assert PREVIOUS.endswith(".json")


def test_words_of_the_command_become_a_configuration(runs, plans, tmp_path):
    folders = [run.folder for run in runs["3d_lowres"]]
    options = {"data.path": "lesions", "plan.configuration": "3d_cascade_fullres"}
    options["plan.previous"] = runs_in(folders)
    config, _ = run_config(None, tmp_path, options, [f"plan.folder={plans}"])
    assert list(config.plan.previous) == folders and config.plan.folder == plans
    # Without a folder a plan is made, of which the configuration is taken.
    options = {"data.path": "lesions", "plan.configuration": "2d"}
    assert run_config(None, tmp_path, options, [])[0].plan is None
