"""Time from nothing to `import keras_robust`, the numpy floor and `keras-robust --help`.

Writes docs/results/startup.json: the median of several fresh processes, less the time of a Python
that does nothing, in seconds.

usage: python scripts/bench/startup.py [--repeats N]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "startup.json"
COMMANDS = {
    "python, nothing imported": [sys.executable, "-c", ""],
    "import keras_robust": [sys.executable, "-c", "import keras_robust"],
    "import keras_robust.noise, .data, .metrics": [
        sys.executable,
        "-c",
        "import keras_robust.noise, keras_robust.data, keras_robust.metrics",
    ],
    "keras-robust --help": [str(Path(sys.executable).with_name("keras-robust")), "--help"],
}


def median_seconds(command: list[str], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one fills the disk cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    seconds = {name: median_seconds(command, repeats) for name, command in COMMANDS.items()}
    bare = seconds["python, nothing imported"]
    report = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "repeats": repeats,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "seconds_above_python": {n: round(v - bare, 3) for n, v in seconds.items() if v != bare},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
