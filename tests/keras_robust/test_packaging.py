"""The wheel holds the two packages, their sample data, and nothing else."""

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import keras_robust

ROOT = Path(__file__).parents[2]
PACKAGES = ("keras_robust", "napari_plugin")
KINDS = {".py", ".pyi", ".typed", ".csv", ".jpg", ".png", ".md", ".yaml", ".svg", ".json", ".txt"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_only_the_packages_and_their_metadata(wheel):
    metadata = f"keras_robust-{keras_robust.__version__}.dist-info"
    assert {name.split("/")[0] for name in wheel.namelist()} == {*PACKAGES, metadata}
    inside = [Path(name) for name in wheel.namelist() if name.split("/")[0] in PACKAGES]
    stray = [str(p) for p in inside if p.suffix not in KINDS or "__pycache__" in p.parts]
    assert stray == []


def test_every_module_and_the_stub_are_inside(wheel):
    modules = {str(p.relative_to(ROOT)) for name in PACKAGES for p in (ROOT / name).rglob("*.py")}
    others = {"keras_robust/__init__.pyi", "napari_plugin/napari.yaml", "napari_plugin/icon.svg"}
    assert (modules | others) - set(wheel.namelist()) == set()


def test_the_sample_is_inside_and_small(wheel):
    sample = [i for i in wheel.infolist() if i.filename.startswith("keras_robust/data/sample/")]
    names = [i.filename for i in sample]
    assert "keras_robust/data/sample/manifest.csv" in names
    assert sum("/images/" in name for name in names) == 115
    assert sum("/masks/" in name for name in names) == 115
    assert sum(i.file_size for i in sample) < 2_000_000


def test_the_installed_wheel_reads_its_sample(wheel, tmp_path):
    wheel.extractall(tmp_path)
    program = "import keras_robust as kr; print(kr.__file__, len(kr.data.sample()))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert run.returncode == 0, run.stderr
    path, cases = run.stdout.split()
    assert Path(path).is_relative_to(tmp_path) and int(cases) == 115


def test_metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(wheel.read(name))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Name"] == "keras-robust"
    assert metadata["Version"] == project["version"] == keras_robust.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert "Framework :: napari" in metadata.get_all("Classifier")
    assert "bash scripts/demo.sh" in metadata.get_payload()
    assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())


def test_the_citation_names_the_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {keras_robust.__version__}\n" in text


def test_constraints_name_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line and "/" not in line for line in lines)
