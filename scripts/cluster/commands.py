"""Each command that takes `--cluster`, by two workers of a Dask scheduler and without them.

    python scripts/cluster/commands.py [--only simulate audit ...] [--where local FILE.yaml]
    scripts/cluster/slurm.sh python scripts/cluster/commands.py --where cluster.yaml

A scheduler and two workers are processes on loopback, unless `--where` names something else. What
the commands leave is compared byte for byte: masks, arrays, tables, weights of runs; times and
paths are not. Ends with 1 where a command fails or a file differs.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from keras_robust.data import sample_path

SMALL = {"model": {"features": 4, "depth": 2}, "batch_size": 4, "tensorboard": False}
SET = ["--set", "model.features=4", "--set", "model.depth=2", "--set", "batch_size=4"]
STUDY = {
    "base": {"data": {"path": "lesions", "size": [24, 24]}, "epochs": 2, **SMALL},
    "losses": ["t", "ce+dice"],
    "noise": [[0, 0]],
    "seeds": [0],
}
SIZE, ONE = ["--size", "24x24"], ["--threads", "1"]
# Words, of which OUT stands for the folder of the command; and what it leaves there to compare.
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "simulate": (
        ["lesions", "--alpha", "0.5", "--beta", "0.5", "--output", "OUT"],
        ["masks/*/*.png", "manifest.csv"],
    ),
    "preprocess": (["lesions", "--plan", "OUT"], ["cases/**/*.b2nd", "cases/**/*.npz"]),
    "benchmark": (
        ["study.yaml", "--output", "OUT", *ONE],
        ["*/checkpoints/000002/state.npz", "*/test.csv"],
    ),
    "predict": (
        ["lesions", "benchmark-here/t_a0_b0_s0", "--output", "OUT", "--split", "test"],
        ["*.png"],
    ),
    "compare": (
        ["lesions", "--losses", "ce+dice", "t", "--folds", "2", "--epochs", "2", "--output", "OUT"]
        + ["--set", "tensorboard=false", *SET, *SIZE, *ONE],
        ["**/checkpoints/000002/state.npz", "**/evaluation.csv"],
    ),
    "crossval": (["compare-here", "--output", "OUT"], ["table1.csv", "paired.csv"]),
    "audit": (
        ["lesions", "--output", "OUT", "--folds", "2", "--steps", "20", *SET, *SIZE, *ONE],
        ["audit.csv", "places.csv"],
    ),
    "tune": (
        ["lesions", "--space", "apl2", "--output", "OUT", "--trials", "2", "--epochs", "2"]
        + [*SET, "--set", "data.size=[24,24]", *ONE],
        ["trials/*/checkpoints/000002/state.npz"],
    ),
}


def keras_robust(name: str, words: list[str], cluster: list[str]) -> int:
    """Exit code; what it says is kept where it failed."""
    program = str(Path(sys.executable).with_name("keras-robust"))
    begin = time.monotonic()
    done = subprocess.run(
        [program, name, *words, *cluster],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    lines = done.stderr.splitlines()
    parts = sorted({line.split(" started on ")[1] for line in lines if " started on " in line})
    told = f"; {len(parts)} workers" if cluster and parts else ""
    seconds = time.monotonic() - begin
    print(f"{name} {' '.join(cluster)}: exit code {done.returncode}, {seconds:.0f} s{told}")
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-3000:], sep="\n")
    return done.returncode


def left(folder: Path, patterns: list[str]) -> dict[str, str]:
    """Hash of each file, without what names the folder itself."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    own = re.escape(folder.name).encode()
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            re.sub(own, b"OUT", path.read_bytes())
        ).hexdigest()
        for path in found
    }


@contextmanager
def two_workers(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, processes on loopback."""
    file, processes = folder / "scheduler.json", []

    def begin(program: str, *words: str) -> None:
        log = open(folder / f"{program}-{len(processes)}.log", "w")
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    try:
        begin("dask_scheduler", *options, "--scheduler-file", str(file))
        while not (file.exists() and file.read_text().strip()):
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        for name in ("one", "two"):
            quiet = ["--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
            begin("dask_worker", address, "--name", name, "--nthreads", "1", *quiet)
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--where", nargs="+", default=["tcp"])
    arguments = parser.parse_args()
    where = [str(Path(w).resolve()) if w.endswith(".yaml") else w for w in arguments.where]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch, two_workers(Path(scratch)) as address:
        os.chdir(scratch)
        shutil.copytree(sample_path(), "lesions")
        Path("study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
        for name in arguments.only:
            words, patterns = COMMANDS[name]
            for place in ["here", *where]:
                output = Path(f"{name}-{Path(place).stem}")
                if name == "preprocess":
                    subprocess.run([sys.executable, "-m", "keras_robust.cli", "plan", "lesions",
                                    "--output", output, "--quiet"], check=True)  # fmt: skip
                cluster = [] if place == "here" else ["--cluster", place.replace("tcp", address)]
                given = [str(output) if word == "OUT" else word for word in words]
                failed |= keras_robust(name, given, cluster) != 0
                found = left(output, patterns)
                if place == "here":
                    expected = found
                same = found == expected and bool(found)
                failed |= not same
                differing = sorted(
                    k for k in {**found, **expected} if found.get(k) != expected.get(k)
                )
                print(
                    f"    {len(found)} files, {'the same' if same else differing[:5]}", flush=True
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
