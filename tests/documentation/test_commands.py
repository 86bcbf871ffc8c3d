"""Every command that README and the documentation show, run from the wheel as a reader types it.

Each in a process of its own, in the order of its page, on the small data of `prepared.py` and made
short by `tables.py`.
"""

import doctest
import re
import subprocess
import tomllib

import pytest
from typer.main import get_command

from keras_robust.cli import app
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.training import TrainConfig
from tests.documentation import pages, tables
from tests.documentation.prepared import prepare

# First those that take long, so that the last processor is not waited for.
LONG = ("docs/how-to/find-wrong-masks.md", "README.md", "docs/tutorial.md", "docs/how-to/tune.md",
        "docs/how-to/compare-robust-methods.md", "docs/how-to/from-nifti-to-report.md")  # fmt: skip
WITH_COMMANDS = [page for page in pages.pages() if pages.commands(page)]
ORDER = [*LONG, *(page for page in WITH_COMMANDS if page not in LONG)]
WHAT_TO_DO = (
    "Mend the command or what it shows. Is the page right, and lacks the test what the command "
    "reads? Make it in tests/documentation/prepared.py. Is it too long for a test? Add options "
    "that make it short to SHORTER in tables.py; what cannot run here at all gets a stand-in "
    "there, with the reason."
)


@pytest.mark.parametrize("page", ORDER)
def test_the_commands_of_a_page_run_as_shown(page, installed, tmp_path):
    failed = []
    for block in pages.commands(page):
        prepare(tmp_path, page, block, installed.python)
        shown = f"{page}:{block.line}\n{block.text}"
        try:
            ran = installed.run(block.text, tmp_path)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failed.append(f"{shown}{error}")
            continue
        for command in ran:
            line = f"{command.seconds:5.1f} s  keras-robust {' '.join(command.arguments)}"
            print(line)
            if command.code or "Traceback" in command.said:
                failed.append(f"{shown}{line}: exit code {command.code}\n{command.said}")
        if "keras-robust " in re.sub(r"^pip .*", "", block.text, flags=re.MULTILINE) and not ran:
            failed.append(f"{shown}Nothing of the project was run.")
    assert not failed, "\n\n".join([*failed, WHAT_TO_DO])


def test_the_checkout_is_not_what_runs(installed, tmp_path):
    program = "import keras_robust, napari_plugin, sys; print(keras_robust.__file__, *sys.path)"
    done = subprocess.run(
        [installed.python, "-c", program],
        cwd=tmp_path,
        env=installed.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    file, *path = done.stdout.split()
    assert file.startswith(str(installed.folder))
    assert str(pages.ROOT) not in path


def test_the_python_of_the_front_page_runs_from_the_wheel(installed, tmp_path):
    """Examples with prompts as they are; others with the `model` that they speak of."""
    shown = pages.blocks("README.md", "python")
    plain = [block.text for block in shown if ">>>" not in block.text]
    prompts = "\n".join(block.text for block in shown if ">>>" in block.text)
    (tmp_path / "README.md").write_text(prompts)
    program = "import doctest, keras\n"
    for text in plain:
        layers = "keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, activation='sigmoid')"
        program += f"model = keras.Sequential([{layers}])\n{text}\n"
    program += "print(doctest.testfile('README.md', module_relative=False))\n"
    done = subprocess.run(
        [installed.python, "-c", program],
        cwd=tmp_path,
        env=installed.environment(),
        capture_output=True,
        text=True,
    )
    examples = len(doctest.DocTestParser().get_examples(prompts))
    said = f"TestResults(failed=0, attempted={examples})"
    assert plain and examples and said in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages.pages())
def test_the_files_of_a_page_are_valid(page):
    """As they stand, not as they are cut down."""
    for name, content in pages.yaml_files(page).items():
        if "base" in content:
            BenchmarkConfig(**content)
        elif "data" in content:
            TrainConfig(**content)
        else:
            assert all("." in field or field in TrainConfig.model_fields for field in content), name


@pytest.mark.parametrize("page", pages.pages())
def test_commands_in_running_text_are_known(page):
    program = get_command(app)
    for line in pages.inline_commands(page):
        _, *words = line.split()
        name = words[0].rstrip(",.")
        assert name in program.commands or name.startswith("-"), f"{page}: `{line}`"
        parameters = program.commands.get(name, program).params
        options = {option for parameter in parameters for option in
                   (*parameter.opts, *parameter.secondary_opts)}  # fmt: skip
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options | {"--help"}, f"{page}: `{line}`"


def test_every_extra_that_is_named_exists():
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in pages.pages():
        for extras in re.findall(r"keras-robust\[([\w,]+)\]", pages.read(page)):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), page


def test_no_rule_is_left_over():
    shown = "\n".join(block.text for page in pages.pages() for block in pages.commands(page))
    for (name, *words), _ in tables.SHORTER:
        assert all(word in shown for word in words), (name, words)
        assert f"keras-robust {name}" in shown or name == "demo", name
