"""What stays unimported, so that imports and `--help` are quick and the numpy floor has no Keras.

The seconds themselves are measured by `scripts/bench/startup.py`.
"""

import subprocess
import sys

HEAVY = ("tensorflow", "keras", "jax", "torch", "pandas", "matplotlib", "pingouin", "skimage")
FRAMEWORKS = ("tensorflow", "keras", "jax", "torch")


def imported(program: str, among: tuple[str, ...]) -> str:
    """Modules of `among` that a fresh interpreter has imported after running `program`."""
    question = f"import sys; print(*sorted(set({among!r}) & set(sys.modules)), file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\n{question}"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stderr.strip()


def test_the_package_imports_nothing_heavy():
    assert imported("import keras_robust", (*HEAVY, "numpy", "scipy", "pydantic")) == ""


def test_help_imports_nothing_heavy():
    program = """
from typer.testing import CliRunner
from keras_robust.cli import app
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0 and "simulate" in result.output, result.output
"""
    assert imported(program, (*HEAVY, "scipy", "pydantic")) == ""


def test_the_numpy_floor_works_without_a_framework():
    program = """
import keras_robust as kr
cases = list(kr.data.sample().select(split="train"))[:2]
masks = [kr.data.read_mask(case.mask, size=(64, 64)) for case in cases]
noisy, log = kr.noise.LabelNoise(alpha=1.0, beta=0.5).apply(masks, [case.id for case in cases])
kr.metrics.dice(masks[0], noisy[0])
"""
    assert imported(program, FRAMEWORKS) == ""


def test_reading_runs_and_configurations_needs_no_framework():
    program = "from keras_robust.training import TrainConfig, Run\nRun('nowhere').status"
    assert imported(program, FRAMEWORKS) == ""


def test_every_public_name_resolves():
    import keras_robust

    for name in keras_robust.__all__:
        assert getattr(keras_robust, name) is not None


def test_rooms_stay_rooms_also_where_one_holds_a_function_of_its_name():
    program = "import keras_robust.audit, keras_robust; keras_robust.audit.read_audit"
    assert imported(program, ("pandas", "matplotlib")) == ""
