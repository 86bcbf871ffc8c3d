"""A run goes on with the images and masks that it began with, wherever they lie."""

import json
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_robust.data import Dataset
from keras_robust.training.config import DataConfig, TrainConfig
from keras_robust.training.records.identity import differences, digest, identity
from keras_robust.training.records.inputs import (
    dataset_of,
    digest_of_inputs,
    move_data,
    require_data,
    require_inputs,
    require_same_cases,
)
from keras_robust.training.run import Run

LINES = ["id,image,mask,annotator,split"]


@pytest.fixture
def data(tmp_path):
    """Three images, two to train on, each with a mask of anna and one of ben."""
    root = tmp_path / "data"
    root.mkdir()
    lines = list(LINES)
    for number, split in enumerate(["train", "train", "test"]):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(root / f"i{number}.bmp")
        for annotator in ("anna", "ben"):
            mask = np.zeros((4, 4), np.uint8)
            mask[: number + 1] = 255
            Image.fromarray(mask).save(root / f"{annotator}{number}.png")
            lines.append(f"c{number},i{number}.bmp,{annotator}{number}.png,{annotator},{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def options(path, **more):
    return DataConfig(path=path, annotator="anna", clean_annotator="anna", **more)


def begin(folder, path, **more):
    folder.mkdir(exist_ok=True)
    require_inputs(folder, Dataset.open(path), options(path, **more), begun=False)
    return folder


def go_on(folder, path, **more):
    require_inputs(folder, Dataset.open(path), options(path, **more), begun=True)


def test_the_same_files_elsewhere_are_the_same(data, tmp_path):
    run = begin(tmp_path / "run", data)
    go_on(run, data)
    moved = shutil.copytree(data, tmp_path / "other disk")
    go_on(run, moved)
    require_data(run, moved)
    assert digest_of_inputs({"data": options(data).model_dump()}) == digest_of_inputs(
        {"data": options(moved).model_dump()}
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("anna0.png", "mask c0 of anna is another"),
        ("i1.bmp", "image c1 is another"),  # of the same size in bytes
        ("i2.bmp", "image c2 is another"),
    ],
)
def test_a_changed_file_is_named_and_refused(data, tmp_path, name, told):
    run = begin(tmp_path / "run", data)
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(data / name)
    for check in (lambda: go_on(run, data), lambda: require_data(run, data)):
        with pytest.raises(ValueError, match=told) as caught:
            check()
        assert "--output" in str(caught.value) and str(run) in str(caught.value)


def test_what_a_run_does_not_see_may_change(data, tmp_path):
    run = begin(tmp_path / "run", data)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(data / "ben0.png")
    go_on(run, data)


def test_another_choice_of_cases_is_another_input(data, tmp_path):
    run = begin(tmp_path / "run", data)
    lines = (data / "manifest.csv").read_text().replace("c1,i1.bmp,anna1.png,anna,train\n", "")
    (data / "manifest.csv").write_text(lines)
    with pytest.raises(ValueError, match="mask c1 of anna is missing"):
        go_on(run, data)


def test_classes_are_part_of_it(data, tmp_path):
    run = begin(tmp_path / "run", data)
    for annotator in ("anna", "ben"):
        for number in range(3):
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(data / f"{annotator}{number}.png")
    require = begin(tmp_path / "empty", data)
    labels = {"background": 0, "core": 1, "rim": 2}
    (data / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert Dataset.open(data).classes == 3
    with pytest.raises(ValueError, match="classes and ignored label"):
        go_on(require, data)
    with pytest.raises(ValueError, match="is another"):
        go_on(run, data)


def test_runs_of_before_go_on(data, tmp_path):
    (tmp_path / "run").mkdir()
    go_on(tmp_path / "run", data)
    assert (tmp_path / "run/inputs.json").is_file()


def test_only_the_cases_that_are_scored_are_compared(data, tmp_path):
    run = begin(tmp_path / "run", data)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(data / "anna0.png")
    tested = Dataset.open(data).select(annotator="anna", split="test")
    require_same_cases(run, tested, data)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(data / "anna2.png")
    with pytest.raises(ValueError, match="mask c2 of anna is another"):
        require_same_cases(run, tested, data)


def test_a_run_is_told_where_its_data_lies_now(data, tmp_path):
    run = begin(tmp_path / "run", data)
    config = TrainConfig(data=options(data))
    (run / "config.yaml").write_text(config.to_yaml())
    moved = data.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="--data FOLDER"):
        dataset_of(run, Run(run).config.data.path)
    move_data(run, moved)
    assert Run(run).config == config.model_copy(update={"data": options(moved)})
    other = shutil.copytree(moved, tmp_path / "other")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(other / "anna0.png")
    with pytest.raises(ValueError, match="mask c0 of anna is another"):
        move_data(run, other)
    assert Run(run).config.data.path == moved


def test_paths_are_stored_as_absolute_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(data={"path": "d2"}, plan={"folder": "plans/../plan"})
    with Run("run").claimed(config, resume=False):
        stored = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert stored["data"]["path"] == str(tmp_path / "d2")
    assert stored["plan"]["folder"] == str(tmp_path / "plan")


VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from(["data", "plan", "loss", "x"]), inner),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.sampled_from(["data", "plan", "loss", "threads", "seed"]), VALUES)


@given(CONFIGS, CONFIGS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_differences_are_empty_for_equals_alone(one, other):
    assert (differences(one, other) == {}) == (one == other)
    assert set(differences(one, other)) == set(differences(other, one))
    assert (digest(one) == digest(other)) == (identity(one) == identity(other))


@given(CONFIGS, st.text(max_size=3), st.integers(1, 9))
def test_paths_and_threads_are_no_part_of_the_identity(config, path, threads):
    moved = {**config, "threads": threads}
    for section, name in (("data", "path"), ("plan", "folder")):
        if isinstance(config.get(section), dict):
            moved[section] = {**config[section], name: path}
    assert identity(moved) == identity(config)
