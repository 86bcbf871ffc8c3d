"""What pages of results share: the machine, the versions, and how page and figures are written."""

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_robust.common.files import atomic_write_json, atomic_write_text


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """The machine, and the versions of Python and of packages."""
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "versions": {
            "Python": platform.python_version(),
            **{name: _version(name) for name in packages},
        },
    }


def write_results(folder: Path, script: str, report: dict[str, Any], lines: Sequence[str]) -> str:
    """Write bench_SCRIPT.json with the report, and bench_SCRIPT.md with lines of Markdown and the
    environment that the report holds; return the page."""
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    machine = report["machine"]
    measured = (
        f"Measured on {machine['processor']} ({machine['cores']} cores), {versions}, by "
        f"`python scripts/bench/{script}.py`."
    )
    text = "\n".join([*lines, "", measured, ""])
    atomic_write_json(folder / f"bench_{script}.json", report)
    atomic_write_text(folder / f"bench_{script}.md", text)
    return text


def peak_bytes() -> int:
    """The most memory that this process has held, libraries included.

    `resource.getrusage` would count what the process held that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no field VmHWM")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return version(f"{package}-cpu")  # TensorFlow's other distribution


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()
