"""Runs by a plan on soft masks: the shares of annotators in place of labels."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import Dataset, write_soft_mask
from keras_robust.data.layouts.manifest_writing import add_soft_annotator
from keras_robust.planning.plan_files import load_plan
from keras_robust.training import NoiseConfig, Run, SelectionConfig, TrainConfig, train
from keras_robust.training.patches.cases import prepare_cases
from keras_robust.training.patches.patches import Patches
from keras_robust.training.patches.recipe import planned
from keras_robust.training.patches.stream import patch_stream
from tests.keras_robust.training.patches.conftest import write_dataset, write_plan
from tests.keras_robust.training.patches.test_run import change, figures, state

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=[2, 3])
def config(request, tmp_path_factory):
    """To train on the shares of expert and student; "sure" has the student's masks as shares."""
    folder, classes = tmp_path_factory.mktemp("soft"), request.param
    dataset = write_dataset(folder / "data", [(16, 18, 9)] * 5, (1, 1, 1.5), classes)
    plan = write_plan(dataset, folder / "plan", batch_dice=True)
    lines = []
    for case in dataset.select(annotator="student"):
        shares = np.eye(classes)[dataset.read_mask(case)]
        mask = dataset.root / f"{case.id}-sure.nii.gz"
        write_soft_mask(mask, shares if classes > 2 else shares[..., 1], case.image)
        lines.append(f"{case.id},{case.image.name},{mask.name},sure,{case.split}\n")
    with open(dataset.root / "manifest.csv", "a") as file:
        file.writelines(lines)
    add_soft_annotator(dataset.root, "sure")
    options = ["--consensus", "soft", "--annotator", "expert", "--annotator", "student"]
    result = CliRunner().invoke(app, ["agree", str(dataset.root), *options])
    assert result.exit_code == 0, result.output
    return TrainConfig(
        data={
            "path": dataset.root,
            "annotator": "consensus-soft",
            "clean_annotator": "expert",
            "fold": (0, 2),
        },
        loss="ce+dice",
        plan={
            "folder": plan,
            "features": 2,
            "patch_size": (8, 16, 16),
            "batch_size": 2,
            "steps_per_epoch": 2,
            "validation_steps": 1,
            "deep_supervision": classes > 2,
            "mirror_axes": (1,),
        },
        epochs=1,
        evaluate_last=0,
        save_predictions=0,
        tensorboard=False,
    )


@pytest.mark.parametrize("config", [2], indirect=True)  # three classes: with regions, below
def test_labels_as_shares_train_as_labels_do(config, tmp_path):
    rows = []
    for annotator in ("student", "sure"):
        hard = change(config, data={"annotator": annotator}, augment=False)
        (row,) = figures(train(hard, tmp_path / annotator))
        rows.append(row)
    assert rows[0]["loss"] > 0.1 and "pseudo_dice_val" in rows[0]
    assert rows[1] == pytest.approx(rows[0], abs=1e-6)


@pytest.mark.parametrize("config", [3], indirect=True)
def test_regions_of_shares_train_as_those_of_labels_do(config, tmp_path):
    root = shutil.copytree(config.data.path, tmp_path / "data")
    meta = json.loads((root / "dataset.json").read_text())
    meta |= {"labels": {"back": 0, "organ": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    (root / "dataset.json").write_text(json.dumps(meta))
    rows = []
    for annotator in ("student", "sure"):
        data = {"path": root, "annotator": annotator}
        chosen = change(config, data=data, plan={"regions": True}, augment=False)
        (row,) = figures(train(chosen, tmp_path / annotator))
        rows.append(row)
    assert {"pseudo_dice_train_1", "pseudo_dice_val_2"} <= set(rows[0])
    assert rows[1] == pytest.approx(rows[0], abs=1e-6)


def test_batches_hold_the_shares_of_the_annotators(config, tmp_path):
    dataset = Dataset.open(config.data.path)
    plan, found = load_plan(config.plan.folder)
    plan = planned(plan, config.plan)
    cases = prepare_cases(dataset, config, plan, found, tmp_path, lambda *_: None)
    for augmented in (False, True):
        patches = Patches(cases.train, plan, 4, seed=0, augmented=augmented, mirror_axes=(1,))
        strides = [(1, 1, 1), (1, 2, 2)]
        both = [targets for _, targets in patch_stream(patches, 0, strides).take(8)]
        fine, coarse = (np.concatenate([t[n] for t in both]) for n in (0, 1))
        assert fine.dtype == np.float32
        np.testing.assert_array_equal(coarse, fine[:, :, 1::2, 1::2])
        if dataset.classes > 2:
            np.testing.assert_allclose(fine.sum(axis=-1), 1, atol=1e-6)
        # One of two drew it: 127 or 128 of 255, as they sum to 255; where a patch is turned,
        # anything in between.
        levels = set(np.unique(np.round(fine * 255, 2)).tolist())
        assert {0, 127, 255} <= levels
        assert (levels <= {0, 127, 128, 255}) != augmented


@pytest.mark.parametrize("config", [3], indirect=True)
def test_two_peers_learn_from_shares(config, tmp_path):
    options = {"name": "stocot", "options": {"warmup": 0}}
    peers = change(
        config,
        plan={"steps_per_epoch": 1, "validation_steps": 0, "deep_supervision": False},
        loss="svls-apl2",
        selection=SelectionConfig(**options),
    )
    (row,) = train(peers, tmp_path).history
    assert np.isfinite(row["loss"]) and {"kept_a", "kept_b"} <= set(row)


@pytest.mark.parametrize("config", [3], indirect=True)
def test_interrupted_and_resumed_equals_uninterrupted(config, tmp_path):
    plan = {"validation_steps": 0, "deep_supervision": False}
    chosen = change(config, plan=plan, epochs=2, loss="t+dice")

    def interrupt(stage, done, total, figures):
        if (stage, done) == ("step", 3):
            raise KeyboardInterrupt

    whole = train(chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(chosen, tmp_path / "cut", progress=interrupt)
    assert Run(tmp_path / "cut").status == "interrupted"
    again = train(chosen, tmp_path / "cut", resume=True)
    assert figures(again) == figures(whole)
    assert state(again)[1]["state.npz"] == state(whole)[1]["state.npz"]


def test_what_makes_no_sense_is_refused(config, tmp_path):
    plan, found = load_plan(config.plan.folder)
    dataset = Dataset.open(config.data.path)
    if dataset.classes == 2:
        regions = plan.model_copy(update={"regions": ((1, (1,)),)})
        with pytest.raises(ValueError, match=r"`plan\.regions`.*of one class.*'consensus-soft'"):
            prepare_cases(dataset, config, regions, found, tmp_path, print)
    noisy = change(config, noise=NoiseConfig(alpha=1, beta=0.3))
    with pytest.raises(ValueError, match="`noise`.*cannot corrupt"):
        prepare_cases(dataset, noisy, plan, found, tmp_path, print)
