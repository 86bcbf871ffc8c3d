"""How the judges of an audit train where nobody says otherwise, and the time that they take."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.audit.inputs import choose_inputs
from keras_robust.audit.judges import Pace, judge_config, with_plan, with_steps
from keras_robust.audit.judges.recipe import steps_of
from keras_robust.audit.options import AuditOptions
from keras_robust.data import Dataset


def pictures(root, shape, side):
    """Four images of a shape with one square object each, the side in pixels."""
    root.mkdir(parents=True)
    lines = ["id,image,mask,annotator,split"]
    mask = np.zeros(shape, np.uint8)
    mask[:side, :side] = 255
    for id in "abcd":
        Image.fromarray(mask // 2 + 60).save(root / f"{id}-image.png")
        Image.fromarray(mask).save(root / f"{id}.png")
        lines.append(f"{id},{id}-image.png,{id}.png,anna,")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return choose_inputs(Dataset.open(root), [])


def volumes(root):
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    meta = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "box": 1}}
    (root / "dataset.json").write_text(json.dumps(meta | {"file_ending": ".nii.gz"}))
    for id, shape in {"a": (35, 50, 17), "b": (36, 51, 70), "c": (60, 49, 80)}.items():
        array = np.random.default_rng(0).integers(0, 9, shape).astype(np.uint8)
        mask = np.zeros(shape, np.uint8)
        mask[9:20, 9:20, 4:12] = 1
        for path, content in (("imagesTr/{}_0000", array), ("labelsTr/{}", mask)):
            volume = nibabel.Nifti1Image(content, np.eye(4))
            volume.to_filename(root / f"{path.format(id)}.nii.gz")
    return choose_inputs(Dataset.open(root), [])


@pytest.mark.parametrize(
    ("shape", "side", "size"),
    [
        ((48, 40), 20, [48, 48]),
        ((256, 100), 20, [256, 112]),
        # 500 of 500 pixels do not fit a patch, so that images are learned at half of their size.
        ((500, 500), 400, [256, 256]),
    ],
)
def test_pictures_are_learned_whole_at_their_own_size(tmp_path, shape, side, size):
    config = judge_config(pictures(tmp_path / "d", shape, side), AuditOptions())
    assert config["data"]["size"] == size and config["plan"] is None
    assert config["loss"] == "t+dice"


def test_larger_pictures_of_small_objects_and_volumes_are_learned_in_patches(tmp_path):
    inputs = pictures(tmp_path / "d", (500, 500), 40)
    config = with_plan(judge_config(inputs, AuditOptions()), inputs, tmp_path / "plan")
    assert config["plan"]["patch_size"] == [192, 192]
    inputs = volumes(tmp_path / "v")
    config = judge_config(inputs, AuditOptions(steps=990))
    config = with_steps(with_plan(config, inputs, tmp_path / "other"), 990)
    # Of the median, 36 x 50 x 70, by the plan; along no axis more than 48.
    assert max(config["plan"]["patch_size"]) == 48 and config["plan"]["mirror_axes"] == []
    assert (config["epochs"], config["plan"]["steps_per_epoch"]) == (20, 50)
    assert steps_of(config, 3) == 1000
    # The same plan again.
    before = (tmp_path / "other" / "plan.json").stat().st_mtime_ns
    assert with_steps(with_plan(config, inputs, tmp_path / "other"), 990) == config
    assert (tmp_path / "other" / "plan.json").stat().st_mtime_ns == before


def test_what_is_given_counts(tmp_path):
    inputs = volumes(tmp_path / "v")
    asked = AuditOptions(size=(16, 16, 16), loss="gce", epochs=7, training={"batch_size": 3})
    config = judge_config(inputs, asked)
    assert config["data"]["size"] == [16, 16, 16] and config["plan"] is None
    assert (config["loss"], config["epochs"], config["batch_size"]) == ("gce", 7, 3)
    assert config["evaluate_every"] == 7 and config["data"]["clean_annotator"] == inputs.trained_on
    asked = AuditOptions(training={"plan": {"features": 4, "patch_size": [16, 16, 16]}})
    config = with_plan(judge_config(inputs, asked), inputs, tmp_path / "plan")
    assert config["plan"]["features"] == 4 and config["plan"]["patch_size"] == [16, 16, 16]
    with pytest.raises(ValueError, match=r"plan\.folder, which it sets"):
        judge_config(inputs, AuditOptions(training={"plan": {"folder": "x"}}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 3, "steps": 100}, "one of budget.*budget=3, steps=100"),
        ({"epochs": 0}, "`epochs`.*positive"),
        ({"budget": -1}, "`budget`.*positive"),
        ({"repeats": 0}, "`repeats`.*positive"),
    ],
)
def test_lengths_that_contradict_each_other(options, message):
    with pytest.raises(ValueError, match=message):
        AuditOptions(**options)


def test_a_budget_holds_where_nothing_else_is_said():
    assert AuditOptions().minutes == 20 and AuditOptions(budget=3).minutes == 3
    for other in ({"steps": 9}, {"epochs": 9}, {"training": {"epochs": 9}}):
        assert AuditOptions(**other).minutes is None


def test_more_minutes_are_more_steps_and_their_forecast_fits():
    pace = Pace(step=0.1, begin=10, image=0.5)
    found = [pace.steps_within(minutes, folds=5, images=100) for minutes in (1, 5, 20, 40, 600)]
    assert found == sorted(found) and found[0] == 200 and found[-1] == 5000
    for minutes, steps in ((20, found[2]), (40, found[3])):
        assert pace.forecast(steps, folds=5, images=100) == pytest.approx(60 * minutes, rel=0.01)
    # Two at a time take three rounds of five.
    assert pace.forecast(100, 5, 0, jobs=2) == pytest.approx(3 * 20)
