"""The wheel in an environment of its own, and commands run in it as a reader types them."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.documentation import tables
from tests.documentation.pages import ROOT

PAGE_S = 600  # a page that takes as long hangs
# In place of `keras-robust` on the PATH: adds what makes a command short, and keeps what it said.
_COMMAND = """#!{python}
import json, subprocess, sys, time
arguments = sys.argv[1:]
line = " ".join(arguments)
added = next((more for words, more in {shorter!r} if words[0] == arguments[0]
              and all(word in line for word in words[1:])), ())
program = [{program!r}]
if arguments[0] in {windows!r}:
    program = [*{display!r}, sys.executable, {window!r}, str({windows!r}[arguments[0]])]
begin = time.monotonic()
run = subprocess.run([*program, *arguments, *added], stdout=subprocess.PIPE,
                     stderr=subprocess.STDOUT, text=True, errors="replace")
sys.stdout.write(run.stdout)
with open({record!r}, "a") as file:
    file.write(json.dumps({{"arguments": arguments, "code": run.returncode, "said": run.stdout,
                            "seconds": time.monotonic() - begin}}) + "\\n")
sys.exit(run.returncode)
"""
# Closes the window as somebody would who has seen it.
_WINDOW = """import sys
import napari
seconds, run = float(sys.argv.pop(1)), napari.run
def run_a_while():
    from qtpy.QtCore import QTimer
    QTimer.singleShot(int(1000 * seconds), napari.current_viewer().close)
    run()
napari.run = run_a_while
from keras_robust.cli import app
app()
"""


@dataclass(frozen=True)
class Ran:
    """What became of one command."""

    arguments: list[str]
    code: int
    said: str
    seconds: float


@dataclass(frozen=True)
class Installed:
    """An environment of the wheel: its folder."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def environment(self, first: Sequence[Path] = ()) -> dict[str, str]:
        """Nothing of the environment of the tests but what a window and the processors need."""
        kept = ("DISPLAY", "HOME", "LANG", "OMP_NUM_THREADS", "QT_QPA_PLATFORM", "TMPDIR")
        path = [*map(str, first), str(self.folder / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
        found = {name: os.environ[name] for name in kept if name in os.environ}
        if not shutil.which("xvfb-run"):
            found.setdefault("QT_QPA_PLATFORM", "offscreen")
        return found | {"PATH": os.pathsep.join(path), "CUDA_VISIBLE_DEVICES": ""}

    def run(self, text: str, folder: Path) -> list[Ran]:
        """Run what a reader types into a shell; the commands of the project that it ran.

        Raises:
            AssertionError: A line of the text fails, or nothing of the project was run.
        """
        tools, record = folder / "bin", folder / "ran.jsonl"
        tools.mkdir(exist_ok=True)
        record.unlink(missing_ok=True)
        (folder / "window.py").write_text(_WINDOW)
        (tools / "keras-robust").write_text(
            _COMMAND.format(
                python=self.python,
                shorter=tables.SHORTER,
                windows=tables.WINDOWS,
                window=str(folder / "window.py"),
                display=_display(),
                program=str(self.folder / "bin" / "keras-robust"),
                record=str(record),
            )
        )
        (tools / "keras-robust").chmod(0o755)
        script = f"set -uE\ntrap 'echo FAILED: $BASH_COMMAND' ERR\n{text}\nwait\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=self.environment([tools]),
            capture_output=True,
            text=True,
            timeout=PAGE_S,
        )
        ran = []
        if record.is_file():
            ran = [Ran(**json.loads(line)) for line in record.read_text().splitlines()]
        assert "FAILED: " not in done.stdout and done.returncode == 0, done.stdout + done.stderr
        return ran


def _display() -> list[str]:
    """What a command that opens a window is started by."""
    shown = {"DISPLAY", "QT_QPA_PLATFORM"} & os.environ.keys() or not shutil.which("xvfb-run")
    return [] if shown else ["xvfb-run", "-a"]


def install(folder: Path) -> Installed:
    """Build the wheel and install it, without its dependencies, beside those of this environment.

    The checkout is not on the path of the new environment: a line of a `.pth` file is added to the
    path, and the `.pth` files there, that of an editable installation among them, are not read.
    """
    _checked([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT])
    (wheel,) = folder.glob("*.whl")
    found = Installed(folder / "environment")
    venv.create(found.folder, with_pip=True, symlinks=True)
    site = found.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    path = sysconfig.get_paths()["purelib"]
    (site / "site-packages" / "dependencies.pth").write_text(f"{path}\n")
    _checked([found.python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
              "--force-reinstall", "--ignore-installed", wheel])  # fmt: skip
    return found


def _checked(command: Sequence[object]) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
