"""The commands train, predict and evaluate."""

import errno
import os
import subprocess
import sys
import time

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import sample_path
from keras_robust.training import Run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_train_resumes_what_was_trained(small_config, trained_run, tmp_path):
    (tmp_path / "config.yaml").write_text(small_config.to_yaml())
    options = ["--output", tmp_path / "run", "--epochs", 1, "--set", "noise.alpha=0.5"]
    result = run("train", tmp_path / "config.yaml", *options)
    assert result.exit_code == 0, result.output
    assert "dice_test:" in result.output
    done = Run(tmp_path / "run")
    assert (done.status, done.config.epochs, done.config.noise.alpha) == ("finished", 1, 0.5)

    again = run("train", tmp_path / "config.yaml", *options)
    assert again.exit_code == 2 and "--resume" in again.output
    assert run("train", "--output", tmp_path / "run", "--resume").exit_code == 0


def test_predict_and_evaluate(trained_run, tmp_path):
    data = trained_run.config.data.path
    result = run("predict", trained_run.folder, data, "--output", tmp_path, "--split", "test")
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.glob("*.png"))) == 35
    scores = [
        run("evaluate", predictions, data, "--output", tmp_path / "dice.csv")
        for predictions in (trained_run.folder, tmp_path)
    ]
    assert "mean over 35 images" in scores[0].output
    assert scores[0].output == scores[1].output
    assert len((tmp_path / "dice.csv").read_text().splitlines()) == 36
    # The mean of a run with itself.
    twice = [trained_run.folder] * 2
    result = run("evaluate", *twice, data, "--details", tmp_path / "rows.csv", "--tolerance", 2)
    assert result.output.startswith(scores[0].output) and "surface_dice 0." in result.output
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 36


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "--data"),
        (
            ["train", "--data", "/nowhere", "--set", "epohcs=3"],
            "Invalid value for argument `epohcs`. Expected a field of TrainConfig",
        ),
        (
            ["train", "--data", "/nowhere", "--set", "epochs=x", "--set", "data.cache=disk"],
            "argument `data.cache`. Expected 'none' or 'memory'. Received: data.cache='disk'. C",
        ),
        (
            ["train", "--data", "/nowhere", "--set", "noise.alpha=0.5"],
            "argument `noise.beta`. Expected a value. Received: none.",
        ),
        (["predict", "/nowhere.h5", "/nowhere", "--output", "x"], ".keras file"),
        (["train", "nowhere.yaml"], "nowhere.yaml' does not exist. Correct the path"),
        (["tune", "nowhere.yaml", "--space", "cot"], "does not exist. Correct the path"),
        (["benchmark", "nowhere.yaml"], "does not exist. Correct the path"),
        (["benchmark", "/"], "path='/', which is a folder."),
        (["evaluate", "/nowhere", "/nowhere"], "/nowhere"),
        (["preprocess", "/nowhere", "--workers", "0"], "--workers"),
        (["simulate", "/nowhere", "--mean-dice", "0.8", "--kinds", "erode"], "--mean-dice alone"),
        (["agree", "/nowhere", "--output", "report"], "argument `output`. Expected none without"),
        (["agree", "/nowhere", "--name", "mine"], "argument `name`. Expected none without"),
        (["agree", "/nowhere", "--consensus", "soft", "--report", "x"], "argument `report`"),
    ],
)
def test_errors_are_messages_without_traceback(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    for word in ("Traceback", "pydantic", "input_value"):
        assert word not in result.output


def test_errors_in_a_space_name_the_field(tmp_path):
    (tmp_path / "base.yaml").write_text("data: {path: nowhere}\n")
    for line in ("loss_options.q: {low: 1}", "model: {features: 8}"):
        (tmp_path / "space.yaml").write_text(line)
        result = run("tune", tmp_path / "base.yaml", "--space", tmp_path / "space.yaml")
        assert result.exit_code == 2
        assert f"argument `search.{line.split(':')[0]}" in result.output


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "Make room"), (errno.EACCES, "readable and writable")]
)
def test_a_full_or_closed_disk_is_a_message_with_a_remedy(monkeypatch, number, remedy):
    from keras_robust import annotators

    def refused(*arguments, **options):
        raise OSError(number, os.strerror(number), "masks/a.png")

    monkeypatch.setattr(annotators, "write_consensus", refused)
    result = run("agree", "/nowhere", "--consensus", "majority")
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert f"{os.strerror(number)}: 'masks/a.png'. {remedy}" in result.output.replace(
        "Make it ", ""
    )


def test_interrupted_training_says_how_to_continue(monkeypatch, tmp_path):
    from keras_robust import training

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    result = run("train", "--data", sample_path(), "--output", tmp_path / "run")
    assert result.exit_code == 130
    assert f"--output {tmp_path / 'run'} --resume" in result.output.replace("\n", "")


@pytest.mark.parametrize(
    ("command", "function", "continues"),
    [
        (["verify", "x"], "keras_robust.data.verify", False),
        (
            ["simulate", "x", "--alpha", 1, "--beta", 1],
            "keras_robust.annotators.simulate_dataset",
            True,
        ),
        (["evaluate", "x", "x"], "keras_robust.inference.evaluate", False),
    ],
)
def test_interrupted_commands_say_whether_they_continue(monkeypatch, command, function, continues):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupted)
    result = run(*command)
    assert result.exit_code == 130 and "Interrupted." in result.output
    assert ("again continues" in result.output) == continues


def test_help_is_quick():
    code = "import sys; from keras_robust.cli import app; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not any(f"'{name}'" in loaded for name in ("tensorflow", "keras", "numpy", "pandas"))
    begin = time.process_time()
    assert run("--help").exit_code == 0
    assert time.process_time() - begin < 1


def test_help_shows_every_word_of_it():
    # Typer reads [square brackets] in help as markup, and leaves them out.
    for command in get_command(app).commands.values():
        for option in command.params:
            assert "[" not in (getattr(option, "help", None) or ""), (command.name, option.name)
    assert "OUTPUT/study.db" in run("tune", "--help").output
