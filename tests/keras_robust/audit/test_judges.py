"""How the judges of an audit train where nobody says otherwise, and the time that they take."""

import importlib
import json
import sys
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.audit import folds as audit_folds
from keras_robust.audit import sources
from keras_robust.audit.inputs import choose_inputs
from keras_robust.audit.judges import Pace, judge_config, with_plan, with_steps
from keras_robust.audit.judges.recipe import steps_of
from keras_robust.audit.options import AuditOptions
from keras_robust.data import Dataset, Part
from keras_robust.data.files.maps import read_map
from keras_robust.inference.predict import Predictor
from keras_robust.scheduling.state import RunState, StudyState

run_module = importlib.import_module("keras_robust.audit.run")


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
        ({"wrong_below": 0.5}, "none without a truth"),
        ({"loss": "tt+dice"}, "`loss`.*tt"),
        ({"training": {"loss": "x"}}, "`loss`.*x"),
        ({"training": {"loss_options": {"q": 1}}}, "`loss_options`.*q"),
        ({"training": {"model": {"name": "vnet"}}}, "`model.name`.*vnet"),
    ],
)
def test_what_contradicts_itself_or_is_unknown_is_refused_before_a_dataset_is_opened(
    options, message, monkeypatch
):
    # Where Keras is imported, somebody may have registered a name of their own.
    monkeypatch.delitem(sys.modules, "keras", raising=False)
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


@pytest.fixture
def untrained(monkeypatch):
    """An audit without training: what its folds would train with, and the paces to find."""
    configs, paces = [], [Pace(0.1, 10, 0.5), Pace(9.0, 10, 0.5)]

    def train_folds(config, folds, output, **options):
        configs.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "measure", lambda *args: paces.pop(0))
    monkeypatch.setattr(sources, "train_folds", train_folds)
    monkeypatch.setattr(sources, "check_folds", lambda *args: None)
    return SimpleNamespace(configs=configs, paces=paces)


def test_the_steps_of_a_budget_are_chosen_once_and_told(tmp_path, untrained):
    inputs = pictures(tmp_path / "d", (32, 32), 9)
    said = []

    def run(**options):
        with pytest.raises(KeyboardInterrupt):
            run_module.audit(
                inputs.dataset.root, tmp_path / "audit", folds=2, say=said.append, **options
            )

    run(budget=20)
    # 1200 s less 2 x 10 to begin and 2 x 4 x 0.5 to predict: 588 s for each of two folds.
    config = untrained.configs[0]
    assert config["epochs"] * config["steps_per_epoch"] == 5000
    assert said[0].startswith("Forecast: about 17 min, for 2 models of 5000 steps of 0.1 s")
    # The same command goes on with the same steps, however slow the machine is now.
    run(budget=20)
    assert untrained.configs[1] == config and len(untrained.paces) == 1 and len(said) == 1
    with pytest.raises(ValueError, match="budget: 20.*-> 30"):
        run_module.audit(inputs.dataset.root, tmp_path / "audit", folds=2, budget=30)


def test_parts_of_the_folds_are_trained_with_the_steps_that_the_first_chose(tmp_path, monkeypatch):
    root, begun = pictures(tmp_path / "d", (32, 32), 9).dataset.root, []

    def run_planned(plans, output, **options):
        begun.append([(plan.name, plan.config["steps_per_epoch"]) for plan in plans])
        return StudyState([RunState(plan, output / plan.name, 1, "finished") for plan in plans])

    paces = [Pace(0.1, 10, 0.5)]
    monkeypatch.setattr(sources, "measure", lambda *args: paces.pop())
    monkeypatch.setattr(sources, "check_folds", lambda *args: None)
    monkeypatch.setattr(audit_folds, "run_planned", run_planned)
    options = {"folds": 3, "repeats": 2, "budget": 20}
    found = [
        run_module.train_part(root, tmp_path / "audit", part=Part(number, 4), **options)
        for number in (1, 2, 3, 4)
    ]
    assert found == [2, 2, 1, 1] and len({steps for part in begun for _, steps in part}) == 1
    names = {name for part in begun for name, _ in part}
    assert names == {f"fold-{n}{again}" for n in (1, 2, 3) for again in ("", "-again-1")}
    with pytest.raises(ValueError, match="already"):
        run_module.train_part(root, tmp_path / "other", predictions=tmp_path, part=Part(1, 2))


def test_a_budget_that_is_too_small_says_so(tmp_path, untrained):
    inputs, said = pictures(tmp_path / "d", (32, 32), 9), []
    untrained.paces.pop(0)
    with pytest.raises(KeyboardInterrupt):
        run_module.audit(
            inputs.dataset.root, tmp_path / "audit", folds=2, budget=5, say=said.append
        )
    assert "2 models of 200 steps of 9 s" in said[0] and "over 5 min" in said[0]
    with pytest.raises(KeyboardInterrupt):  # too short for a forecast
        run_module.audit(inputs.dataset.root, tmp_path / "short", folds=2, steps=9, say=said.append)
    assert len(said) == 1 and untrained.configs[1]["steps_per_epoch"] == 1


def test_folds_that_are_trained_twice_disagree(tmp_path, monkeypatch):
    inputs = pictures(tmp_path / "d", (32, 32), 9)
    runs = [[tmp_path / f"fold-1{end}" for end in ("", "-again-1")]]
    runs[0][0].mkdir()
    (runs[0][0] / "test.csv").write_text("\n".join(["id", *"abcd"]) + "\n")

    def load(run, **options):
        level = 0.2 if run.name == "fold-1" else 0.6
        return SimpleNamespace(
            cases=lambda cases: ((c, np.full((32, 32, 1), level)) for c in cases)
        )

    monkeypatch.setattr(Predictor, "load", load)
    audit_folds.predict_folds(runs, inputs, tmp_path / "p", tmp_path / "s", 1)
    for id in inputs.dataset.ids:
        assert (read_map(tmp_path / "p", id) == 102).all()  # 0.4 of 255
        assert (read_map(tmp_path / "s", id) == 102).all()
    plans = [audit_folds._planned({"data": {}, "seed": 3}, 0, 5, repeat) for repeat in (0, 1)]
    assert [plan.name for plan in plans] == ["fold-1", "fold-1-again-1"]
    assert [plan.config["seed"] for plan in plans] == [3, 4]
