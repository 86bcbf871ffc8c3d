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

SAMPLE = str(sample_path())


WRONG = """train nowhere
train SAMPLE --loss t+x
train SAMPLE --annotator x
train SAMPLE --configuration 3d_cascade_fullres --previous nowhere
train SAMPLE --set model.name=x
train SAMPLE --set loss_options.x=1
predict nowhere RUN -o OUT
predict SAMPLE nowhere -o OUT
predict SAMPLE RUN -o OUT --split x
predict SAMPLE RUN -o OUT --normalize x
predict SAMPLE RUN -o OUT --peers x
evaluate SAMPLE nowhere.keras
evaluate SAMPLE RUN --split x
evaluate SAMPLE RUN --tolerance -1
tune nowhere --space cot
tune SAMPLE --space cot --objective x -o OUT
audit nowhere
refine nowhere
view SAMPLE --audit nowhere
agree nowhere
compare nowhere --losses t
compare SAMPLE --losses t --set model.name=x -o OUT
crossval nowhere
crossval RUN --baseline x
choose RUN -o OUT"""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_train_resumes_what_was_trained(small_config, trained_run, tmp_path):
    (tmp_path / "config.yaml").write_text(small_config.to_yaml())
    options = ["--output", tmp_path / "run", "--epochs", 1, "--set", "noise.alpha=0.5"]
    result = run("train", "--config", tmp_path / "config.yaml", *options)
    assert result.exit_code == 0, result.output
    assert "dice_test:" in result.output
    done = Run(tmp_path / "run")
    assert (done.status, done.config.epochs, done.config.noise.alpha) == ("finished", 1, 0.5)

    again = run("train", "--config", tmp_path / "config.yaml", *options)
    assert again.exit_code == 2 and "--resume" in again.output
    assert run("train", "--output", tmp_path / "run", "--resume").exit_code == 0


def test_predict_and_evaluate(trained_run, tmp_path):
    data = trained_run.config.data.path
    result = run("predict", data, trained_run.folder, "--output", tmp_path, "--split", "test")
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.glob("*.png"))) == 35
    scores = [
        run("evaluate", data, predictions, "--output", tmp_path / "dice.csv")
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
        (["train"], "keras-robust train DATASET"),
        (
            ["train", "/nowhere", "--set", "epohcs=3"],
            "Invalid value for argument `epohcs`. Expected a field of TrainConfig",
        ),
        (
            ["train", "/nowhere", "--set", "epochs=x", "--set", "data.cache=disk"],
            "argument `data.cache`. Expected 'none' or 'memory'. Received: data.cache='disk'. C",
        ),
        (
            ["train", "/nowhere", "--set", "noise.alpha=0.5"],
            "argument `noise.beta`. Expected a value. Received: none.",
        ),
        (["predict", "/nowhere", "/nowhere.keras", "--output", "x"], "Expected a dataset folder"),
        (["predict", SAMPLE, "/nowhere.h5", "--output", "x"], ".keras file"),
        (["predict", SAMPLE, "/nowhere.keras", "--output", "x"], "Received: path='/nowhere.keras'"),
        (["predict", SAMPLE, "--output", "x"], "models"),
        (["train", SAMPLE, "--loss", "tt"], "='tt'. A loss of your own is registered"),
        (["train", SAMPLE, "--annotator", "bo"], "argument `annotator`. Expected one of"),
        (["train", SAMPLE, "--size", "big"], "whole numbers, as in 256x256"),
        (["train", SAMPLE, "--set", "plan.folder=/nowhere"], "keras-robust plan"),
        (["train", "nowhere.yaml"], "is given by --config nowhere.yaml"),
        (
            ["tune", "--config", "nowhere.yaml", "--space", "cot"],
            "does not exist. Correct the path",
        ),
        (["benchmark", "nowhere.yaml"], "does not exist. Correct the path"),
        (["benchmark", "/"], "path='/', which is a folder."),
        (["evaluate", "/nowhere", "/nowhere"], "/nowhere"),
        (["preprocess", "/nowhere", "--workers", "0"], "--workers"),
        (["simulate", "/nowhere", "--mean-dice", "0.8", "--kinds", "erode"], "--mean-dice alone"),
        (["agree", "/nowhere", "--name", "mine"], "argument `name`. Expected none without"),
        (["agree", "/nowhere", "--report", "x"], "Expected --output"),
        (["agree", "/nowhere", "--annotators=x"], "Expected --annotator"),
        (["simulate", "/nowhere", "--source", "x"], "Expected --annotator"),
        (["train", "a", "--data", "b"], "Expected none beside DATASET"),
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
        result = run("tune", "--config", tmp_path / "base.yaml", "--space", tmp_path / "space.yaml")
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
    result = run("train", SAMPLE, "--output", tmp_path / "run")
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
        (["evaluate", SAMPLE, "x"], "keras_robust.inference.evaluate", False),
    ],
)
def test_interrupted_commands_say_whether_they_continue(monkeypatch, command, function, continues):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupted)
    result = run(*command)
    assert result.exit_code == 130 and "Interrupted." in result.output
    assert ("again continues" in result.output) == continues


def test_a_size_is_written_in_either_way(monkeypatch, tmp_path):
    from keras_robust import training

    seen = []
    monkeypatch.setattr(training, "train", lambda config, *rest, **more: seen.append(config))
    for size in (["64x48"], ["64", "48"]):
        run("train", SAMPLE, "--size", *size, "--loss", "ce+dice", "-o", tmp_path / "run")
    run("train", "--loss", "ce+dice", "--size", "64", "48", "-o", tmp_path / "run", SAMPLE)
    assert [(config.data.size, config.loss) for config in seen] == [((64, 48), "ce+dice")] * 3


def test_the_dataset_may_also_come_last(trained_run, tmp_path):
    data = trained_run.config.data.path
    options = ["--output", tmp_path, "--split", "test"]
    assert run("predict", trained_run.folder, data, *options).exit_code == 0
    assert len(list(tmp_path.glob("*.png"))) == 35


def test_every_command_writes_where_o_says_and_can_be_quiet():
    without_output = {
        "verify",
        "import",
        "preprocess",
        "view",
    }  # what these write has a place of its own
    for name, command in get_command(app).commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--quiet" in options and "-q" in options, name
        assert name in without_output or {"--output", "-o"} <= options, name


def test_quiet_leaves_results_and_errors(tmp_path):
    noisy = ["simulate", SAMPLE, "--alpha", 0, "--beta", 1, "--output"]
    told = run(*noisy, tmp_path / "a").output
    assert run(*noisy, tmp_path / "b", "-q").output == told.replace("/a/", "/b/")
    assert "does not exist" in run("verify", "nowhere", "-q").output
    assert run("demo", "--jobs", "0", "-q").exit_code == 2


def test_the_version_is_told():
    from keras_robust import __version__

    for option in ("--version", "-V"):
        result = run(option)
        assert result.exit_code == 0 and f"keras-robust {__version__}\n" in result.output
    assert run("-h").exit_code == 0 and run("train", "-h").exit_code == 0


def test_what_was_given_is_looked_at_before_keras_is_imported(trained_run, tmp_path):
    """Paths, values and names; `scripts/bench/wrong_words.py` times these and more."""
    given = {"SAMPLE": SAMPLE, "RUN": str(trained_run.folder), "OUT": str(tmp_path / "new")}
    lines = [[given.get(word, word) for word in line.split()] for line in WRONG.splitlines()]
    program = f"""
import sys
from typer.testing import CliRunner
from keras_robust.cli import app
for line in {lines!r}:
    done = CliRunner().invoke(app, line)
    found = {{"tensorflow", "keras"}} & set(sys.modules)
    if done.exit_code != 2 or found or isinstance(done.exception, Exception):
        sys.exit(f"{{line}} {{done.exit_code}} {{found}} {{done.output}} {{done.exception!r}}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
