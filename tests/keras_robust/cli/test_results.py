"""What commands print: results as lines or as one JSON object, and commands that can be typed."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from keras_robust.cli import app

ROOT = Path(__file__).parents[3]
COMMANDS = get_command(app).commands
BOTH = ["--annotator", "clean", "--annotator", "noisy-*"]
WITHOUT_RESULTS = {"view"}  # opens a window
NAMED = (r"`keras-robust ([^`]+)`", r"(?m)(?:^ *|: )keras-robust ([^`\n]+?)(?:   .*|\.? *)$")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_command_with_results_gives_them_as_json():
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (name not in WITHOUT_RESULTS), name


def test_results_are_one_object_on_standard_output(study_data, tmp_path):
    data, mask = shutil.copytree(study_data, tmp_path / "data"), study_data / "masks"
    calls = {
        "verify": ["verify", study_data],
        "simulate": ["simulate", data, "--alpha", 1, "--beta", 0.5],
        "agree": ["agree", data, *BOTH, "--output", tmp_path / "agreement"],
        "plan": ["plan", study_data, "--output", tmp_path / "plan"],
        "evaluate": ["evaluate", study_data, mask, "--details", tmp_path / "rows.csv"],
        "audit": ["audit", study_data, "--predictions", mask, "--output", tmp_path / "audit"],
    }
    found = {}
    for name, call in calls.items():
        result = run(*call, "--json")
        assert result.exit_code == 0, result.output
        found[name] = json.loads(result.stdout)
    assert (found["verify"]["cases"], found["verify"]["errors"]) == (8, 0)
    assert found["simulate"]["noisy"] == 6 and found["agree"]["images"] == 6
    assert Path(found["plan"]["plan"]).is_file() and found["plan"]["unit"] == "px"
    assert found["evaluate"]["dice"] == 1 and found["evaluate"]["unit"] == "px"
    assert [case["rank"] for case in found["audit"]["cases"]] == list(range(1, 9))
    assert "Next: keras-robust view" in run(*calls["audit"]).stdout


def test_a_comparison_goes_on_as_it_was_asked_for(study_data, tmp_path, monkeypatch):
    from keras_robust.scheduling.state import StudyState
    from keras_robust.studies import protocol

    found = {"t+dice": {0: {"loss_options": {"nu": 2}}}}
    scores = {"ce+dice": 0.7, "t+dice": 0.8}
    done = protocol.ProtocolResult(None, StudyState([]), found, scores)
    monkeypatch.setattr(protocol, "run_protocol", lambda *args, **options: done)
    rows = {"table1": [], "paired": []}
    monkeypatch.setattr("keras_robust.cli.studies.rows_of", lambda path: rows[path.stem])
    words = ["--annotator", "clean", "--size", "32x48", "--epochs", 4]
    call = ["compare", study_data, "--losses", "ce+dice", "t+dice", *words, "--set", "batch_size=4"]
    said = run(*call, "-o", tmp_path / "out").output
    expected = ["train", study_data, "--loss", "t+dice", *words]
    expected += ["--set", "batch_size=4", "--set", "loss_options.nu=2"]
    line = said[said.index("Next: ") :].strip()
    assert shlex.split(line)[1:] == ["keras-robust", *map(str, expected)]


def test_what_is_not_finite_is_null(capsys):
    from keras_robust.cli import console

    console._as_json = True
    try:
        console.tell({"a": float("inf"), "b": (float("nan"), 0.5), "c": Path("x")}, "not this")
    finally:
        console._as_json = False
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 0.5], "c": "x"}


def test_a_value_for_json_is_told_what_took_its_place(tmp_path):
    result = run("verify", "x", "--json", tmp_path / "report.json")
    assert result.exit_code == 2 and "> report.json" in result.output


def texts(path):
    """The strings of a program, a placeholder for each value in them."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    parts = {id(v) for node in nodes if isinstance(node, ast.JoinedStr) for v in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "X" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in parts:
                yield node.value


def named_commands():
    for top in ("keras_robust", "napari_plugin"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for text in texts(path):
                for pattern in NAMED:
                    for found in re.findall(pattern, text):
                        yield f"{path.relative_to(ROOT)}: {found}", found


def refused(line):
    """Why a command cannot be typed; what is only left out of it is no reason."""
    name, *words = shlex.split(line)
    if name not in COMMANDS:
        return None if name.startswith("-") or name == "X" else f"no command {name}"
    try:
        COMMANDS[name].make_context(name, [word for word in words if word != "..."])
    except (Exception, SystemExit) as error:  # Typer has click's errors from a copy of its own
        fine = type(error).__name__ in ("MissingParameter", "Exit")  # the latter after --help
        return None if fine else repr(error)
    return None


def test_commands_that_texts_name_can_be_typed():
    named = list(named_commands())
    assert len(named) > 20
    wrong = {where: why for where, line in named if (why := refused(line))}
    assert wrong == {}


@pytest.mark.parametrize("line", ["train lesions --los t", "trane lesions", "verify a b"])
def test_one_that_cannot_is_found(line):
    assert refused(line)


def test_parts_of_a_cross_validation_score_each_run_once(study, monkeypatch):
    from keras_robust.scheduling.records import find_runs
    from keras_robust.studies.crossval import report, scores

    scored = []
    monkeypatch.setattr(scores, "score_runs", lambda runs, *_, **options: scored.append(runs))
    monkeypatch.setattr(report, "write_cross_validation_report", None)  # parts do not report
    for number in (1, 2, 3):
        result = run("crossval", study, "--part", f"{number}/3")
        assert result.exit_code == 0, result.output
        assert f"Scored part {number}/3" in result.output
    names = [one.name for part in scored for one in part]
    assert len(scored) == 3 and sorted(names) == sorted(one.name for one in find_runs([study]))
