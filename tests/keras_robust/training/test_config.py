from pathlib import Path

import pytest

from keras_robust.cli.run_config import run_config
from keras_robust.training import TrainConfig


def test_yaml_round_trip(tmp_path):
    config = TrainConfig(
        data={"path": "lesions", "size": (64, 48)},
        noise={"alpha": 0.7, "beta": 0.5},
        loss="ngce+rce",
        loss_options={"q": 0.5},
        model={"features": 8},
    )
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert TrainConfig.load(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    "fields",
    [
        {"epohcs": 3},
        {"epochs": 0},
        {"data": {"path": "a", "size": (0, 4)}},
        {"noise": {"alpha": 2, "beta": 0.5}},
        {"noise": {"alpha": 0.5, "beta": 0.5, "kinds": ("dilat",)}},
        {"noise": {"alpha": 0.5, "beta": 0.5, "max_angle": 200}},
        {"precision": "float8"},
    ],
)
def test_what_does_not_fit_is_named(fields):
    name = next(iter(fields))
    with pytest.raises(ValueError, match=name):
        TrainConfig(**{"data": {"path": "a"}, **fields})


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="holds list"):
        TrainConfig.load(tmp_path / "config.yaml")


def test_a_file_that_cannot_be_read_is_told_with_a_remedy(tmp_path):
    (tmp_path / "base.yaml").write_bytes(b"loss: \xff")
    with pytest.raises(IsADirectoryError, match=r"a folder\. Name a file in it: base\.yaml\.$"):
        TrainConfig.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent' does not exist\. Correct the path"):
        TrainConfig.load(tmp_path / "absent")
    with pytest.raises(ValueError, match="not a text in UTF-8"):
        TrainConfig.load(tmp_path / "base.yaml")
    (tmp_path / "base.yaml").write_text("1: t")
    with pytest.raises(ValueError, match="Keys should be strings"):
        TrainConfig.load(tmp_path / "base.yaml")


def test_what_is_no_yaml_is_named(tmp_path):
    path = tmp_path / "lesions.yaml"
    path.write_text("data: {path: a\nepochs: 5\n")
    with pytest.raises(ValueError, match=r"lesions\.yaml.*\n.*line 1"):
        TrainConfig.load(path)
    with pytest.raises(ValueError, match=r"'epochs=\[3'"):
        run_config(None, None, {"data.path": "a"}, ["epochs=[3"])


def test_options_override_the_file(tmp_path):
    path = tmp_path / "lesions.yaml"
    path.write_text("data: {path: a}\nepochs: 5\nloss: mae\n")
    options = {"epochs": 7, "loss": None, "data.size": (32, 16)}
    config, folder = run_config(path, None, options, ["loss_options.from_logits=true"])
    assert (config.epochs, config.loss, config.data.size) == (7, "mae", (32, 16))
    assert config.loss_options == {"from_logits": True}
    assert folder == Path("runs/lesions")


def test_resuming_needs_the_run_folder_alone(tmp_path):
    config = TrainConfig(data={"path": "a"}, epochs=4)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert run_config(None, tmp_path, {}, [], resume=True) == (config, tmp_path)


@pytest.mark.parametrize(
    ("assignments", "message"), [(["epochs"], "set='epochs'"), ([], "dataset folder, as in")]
)
def test_errors_of_the_command_line(assignments, message):
    with pytest.raises(ValueError, match=message):
        run_config(None, None, {}, assignments)


def test_numbers_without_a_point_are_numbers_in_options(tmp_path):
    """PyYAML reads 1e-1 as a text; pydantic mends fields of a known type, but not options."""
    given = ["loss=gce", "loss_options.q=1e-1", "selection.name=cot", "learning_rate=1e-3"]
    given += ["selection.options.forget_rate=5E-2"]
    config, _ = run_config(None, None, {"data.path": "a"}, given)
    assert (config.loss_options, config.learning_rate) == ({"q": 0.1}, 0.001)
    assert config.selection.options == {"forget_rate": 0.05}
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert TrainConfig.load(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("options", "assignments", "instead"),
    [
        ({"batch_size": 4}, [], "plan.batch_size"),
        ({"data.size": (32, 32)}, [], "plan.patch_size"),
        ({}, ["learning_rate=0.1"], "plan.learning_rate"),
    ],
)
def test_what_a_plan_has_of_its_own_is_refused_on_the_command_line(options, assignments, instead):
    given = {"data.path": "a", **options}
    assert run_config(None, None, given, assignments)
    with pytest.raises(ValueError, match=f"none with a plan.*--set {instead}="):
        run_config(None, None, given, [*assignments, "plan.folder=plan"])
