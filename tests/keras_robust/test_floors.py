"""The walls of the house: imports run downwards, in no circle; rooms are small and have a face.

The floors and why they stand so: `docs/architecture.md`.
"""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = (
    ("common", "methods", "metrics"),
    ("losses", "noise", "data", "suspicion", "reports"),
    ("models", "annotators"),
    ("planning",),
    ("training",),
    ("inference", "scheduling"),
    ("studies", "tuning"),
    ("audit",),
    ("refinement",),
    ("demo",),
    ("review",),
    ("napari_plugin",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
NUMPY_FLOOR = (
    "common", "methods", "metrics", "noise", "data", "annotators", "suspicion", "review", "reports",
)  # fmt: skip
MOST_FILES = 15
ROOMS = [
    folder
    for top in ("keras_robust", "napari_plugin")
    for folder in (ROOT / top, *sorted((ROOT / top).rglob("*")))
    if folder.is_dir() and any(folder.glob("*.py"))
]


@cache
def modules() -> dict[str, Path]:
    """Every file of the packages by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for top in ("keras_robust", "napari_plugin")
        for path in (ROOT / top).rglob("*.py")
    }


def imports(name: str) -> Iterator[str]:
    """Files that a file imports, also inside functions, but not only for type checkers."""
    tree = ast.parse(modules()[name].read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) + 1 - node.level]
                base = ".".join([*above, *filter(None, [node.module])])
            yield from (public(base, alias.name) for alias in node.names)


def public(module: str, name: str) -> str:
    """The file that a name comes from: a module, or through the face of a package."""
    for found in (f"{module}.{name}", f"{module}.{name}.__init__"):
        if found in modules():
            return found
    stub = ROOT / module.replace(".", "/") / "__init__.pyi"
    for node in ast.parse(stub.read_text()).body if stub.is_file() else ():
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return public(f"{module}.{node.module}", name)
    return module


def room_of(name: str) -> str:
    parts = name.split(".")
    return parts[0] if parts[0] == "napari_plugin" else parts[1]


@cache
def graph() -> dict[str, set[str]]:
    return {name: set(imports(name)) & modules().keys() for name in modules()}


def test_imports_run_in_no_circle():
    state: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert state.get(name) != "open", " -> ".join([*path[path.index(name) :], name])
        if name not in state:
            state[name] = "open"
            for imported in sorted(graph()[name]):
                visit(imported, (*path, name))
            state[name] = "closed"

    for name in graph():
        visit(name, ())


def test_imports_run_downwards():
    upwards = [
        f"{name} imports {imported}"
        for name, found in graph().items()
        for imported in found
        if name not in ("keras_robust.__init__", "napari_plugin.__init__")
        and imported != "keras_robust.__init__"
        and LEVEL[room_of(imported)] > LEVEL[room_of(name)]
    ]
    assert upwards == []


def test_rooms_of_one_floor_do_not_import_each_other_both_ways():
    edges = {
        (room_of(name), room_of(imported))
        for name, found in graph().items()
        for imported in found
        if "keras_robust.__init__" not in (name, imported) and name != "napari_plugin.__init__"
    }
    assert [edge for edge in edges if edge[0] < edge[1] and edge[::-1] in edges] == []


@pytest.mark.parametrize("folder", ROOMS, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_every_room_is_small_and_has_a_lazy_face(folder):
    files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_FILES, sorted(path.name for path in files)
    face = (folder / "__init__.py").read_text()
    assert "attach(__name__, __file__)" in face or folder.name == "napari_plugin"
    assert (folder / "__init__.pyi").is_file() or folder.name == "napari_plugin"


@pytest.mark.parametrize(
    "folder", [f for f in ROOMS if "napari" not in str(f.relative_to(ROOT))],
    ids=lambda f: f.relative_to(ROOT).as_posix(),
)  # fmt: skip
def test_every_public_name_resolves_also_after_its_file_was_imported(folder):
    package = ".".join(folder.relative_to(ROOT).parts)
    face = importlib.import_module(package)
    for name in face.__all__:
        if f"{package}.{name}" in modules():
            importlib.import_module(f"{package}.{name}")
        value = getattr(face, name)
        assert value is not None
        if f"{package}.{name}" in modules():
            assert value is not sys.modules[f"{package}.{name}"]


def test_the_numpy_floor_needs_no_framework():
    names = sorted(name for name in modules() if room_of(name) in NUMPY_FLOOR)
    names = [n.removesuffix(".__init__") for n in names if not n.startswith("napari_plugin")]
    program = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{"tensorflow", "keras", "jax", "torch"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


def test_tests_mirror_the_rooms():
    """Each folder of tests is a room."""
    for top in ("keras_robust", "napari_plugin"):
        for folder in (ROOT / "tests" / top).rglob("*"):
            if folder.is_dir() and any(folder.glob("test_*.py")):
                assert (ROOT / folder.relative_to(ROOT / "tests")).is_dir(), folder
