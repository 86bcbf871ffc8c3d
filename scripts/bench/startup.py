"""Time from nothing to `import keras_robust`, the numpy floor and `keras-robust --help`.

Writes docs/results/startup.json: the median and the least of several fresh processes, in seconds.

usage: python scripts/bench/startup.py [--repeats N]
"""

import argparse
import json
import os
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    # Compiled modules are kept, as they are for every user.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            seconds[name].append(time.perf_counter() - start)
    timed = {name: times[1:] for name, times in seconds.items()}  # the first fills the disk cache
    report = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "repeats": repeats,
        "median_seconds": {n: round(statistics.median(times), 3) for n, times in timed.items()},
        "least_seconds": {n: round(min(times), 3) for n, times in timed.items()},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
