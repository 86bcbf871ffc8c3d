"""What is published: the wheel, the source archive, and the texts that index pages show."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from trove_classifiers import classifiers

import keras_robust

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
URLS = PROJECT["urls"]
PACKAGES = ("keras_robust", "napari_plugin")
KINDS = {".py", ".pyi", ".typed", ".csv", ".jpg", ".png", ".md", ".yaml", ".svg", ".json", ".txt"}


# Of conda-forge, where these differ from the names on PyPI.
CONDA_NAMES = {
    "blosc2": "python-blosc2",
    "lazy_loader": "lazy-loader",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
FOR_DEVELOPERS = ("test", "docs")  # extras


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the wheel and the sdist; the wheel is made from the sdist, as on an index."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return message_from_bytes(wheel.read(name))


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


def test_metadata(wheel, metadata):
    assert metadata["Name"] == "keras-robust"
    assert metadata["Version"] == PROJECT["version"] == keras_robust.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert "bash scripts/demo.sh" in metadata.get_payload()
    assert any(n.endswith("licenses/LICENSE") for n in wheel.namelist())


def test_an_index_shows_where_the_project_lives(metadata):
    shown = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= shown.keys()
    assert all(url.startswith("https://") for url in shown.values())


def test_classifiers_are_known_and_name_each_python(metadata):
    given = set(metadata.get_all("Classifier"))
    assert given <= classifiers
    assert "Framework :: napari" in given  # by which napari's hub finds plugins
    allowed = SpecifierSet(PROJECT["requires-python"])
    pythons = {f"3.{minor}" for minor in range(30) if f"3.{minor}" in allowed}
    named = {c.rpartition(" ")[2] for c in given if re.search(r":: 3\.\d+$", c)}
    assert named == pythons


def test_links_and_pictures_of_the_description_lead_somewhere(metadata):
    """Absolute, since an index has no files beside the text; those of the project to its files."""
    targets = re.findall(r"\]\(([^)\s]+)\)", metadata.get_payload())
    assert [t for t in targets if not t.startswith(("https://", "#"))] == []
    files = [_file_of(t) for t in targets if _file_of(t) is not None]
    assert len(files) > 10
    assert [str(file) for file in files if not file.is_file()] == []
    assert {".png", ".md"} <= {file.suffix for file in files}


def _file_of(target):
    """What a link to the project shows of this checkout; of other links and its front, None."""
    address = target.partition("#")[0]
    raw = URLS["Source"].replace("https://github.com", "https://raw.githubusercontent.com")
    for start in (f"{raw}/main/", f"{URLS['Source']}/blob/main/"):
        if address.startswith(start):
            return ROOT / address.removeprefix(start)
    start = f"{URLS['Documentation']}/en/latest/"
    if not address.startswith(start):
        return None
    page = ROOT / "docs" / address.removeprefix(start)
    one = page.with_suffix(".md")
    return one if one.is_file() and page != ROOT / "docs" else page / "index.md"


def test_the_source_archive_holds_what_it_is_built_and_tested_with(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "conda/recipe.yaml",
              "scripts/setup.sh", "tests/keras_robust/test_packaging.py"]  # fmt: skip
    assert [name for name in wanted if name not in names] == []
    assert [n for n in names if n.startswith((".git", ".venv")) and n != ".gitignore"] == []


def test_the_citation_names_version_and_places():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == keras_robust.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == URLS["Source"]
    assert citation["url"] == URLS["Documentation"]


def test_the_site_names_the_same_places():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"\nsite_url: {URLS['Documentation']}/\n" in text
    assert f"\nrepo_url: {URLS['Source']}\n" in text


def test_the_changelog_tells_of_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(keras_robust.__version__)
    assert re.search(rf"^## \[{version}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    needs, python = recipe["requirements"], f"python {PROJECT['requires-python']}"
    assert needs["run"] == [python, *map(_conda, PROJECT["dependencies"])]
    extras = PROJECT["optional-dependencies"]
    optional = [n for extra in extras if extra not in FOR_DEVELOPERS for n in extras[extra]]
    assert needs["run_constraints"] == list(dict.fromkeys(map(_conda, optional)))
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert needs["host"] == [python, "pip", *map(_conda, build["requires"])]
    assert recipe["context"]["version"] == PROJECT["version"]
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    about = recipe["about"]
    assert about["license"] == PROJECT["license"]
    assert about["license_file"] == PROJECT["license-files"]
    assert about["summary"] == PROJECT["description"]
    assert (about["homepage"], about["documentation"]) == (URLS["Homepage"], URLS["Documentation"])


def _conda(requirement):
    need = Requirement(requirement)
    return f"{CONDA_NAMES.get(need.name, need.name)} {need.specifier}"


def test_constraints_name_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line and "/" not in line for line in lines)


def test_every_extra_is_installed_before_a_release():
    """By the matrix of the release, and by the script when it is run without a cell."""
    users = {f"[{name}]" for name in PROJECT["optional-dependencies"]} - {
        f"[{name}]" for name in FOR_DEVELOPERS
    }
    workflow = ROOT / ".github/workflows/release.yml"
    if not workflow.is_file():
        pytest.skip("the source archive has no workflows")
    release = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    matrix = release["jobs"]["install"]["strategy"]["matrix"]
    assert set(matrix["extra"]) == {"", *users}
    script = (ROOT / "scripts/install_matrix.sh").read_text(encoding="utf-8")
    assert set(re.findall(r'^    "(\[\w+\])"\)', script, re.MULTILINE)) == users  # what each is for
    (listed,) = re.findall(r"for extra in (.+); do", script)
    assert {*re.findall(r"\[\w+\]", listed)} == users
