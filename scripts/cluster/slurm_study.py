"""A study through a real SLURM, and the same study by processes of this machine.

    scripts/cluster/slurm.sh .venv/bin/python scripts/cluster/slurm_study.py --output FOLDER

Both are `keras-robust benchmark`, on packaged images. While the jobs of SLURM train, one of them is
ended as its walltime would end it, with SIGTERM to all of its processes, and one with SIGKILL. Ends
with 1 unless all runs are finished, each epoch was trained once, and weights and figures are equal
to the byte.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import yaml

from keras_robust.common.files import atomic_write_text
from keras_robust.data import sample_path
from keras_robust.scheduling.records import RunRecord, count_epochs, find_runs, read_status

STUDY = {
    "base": {
        "data": {"path": "lesions", "size": [24, 24]},
        "epochs": 12,
        "steps_per_epoch": 30,
        "batch_size": 4,
        "model": {"features": 4, "depth": 2},
        "tensorboard": False,
    },
    "losses": ["t", "ce+dice"],
    "noise": [[0, 0]],
    "seeds": [0, 1],
}
CLUSTER = {
    "scheduler": "slurm",
    "workers": 2,
    "cores": 1,
    "memory": "2GB",
    "walltime": "00:20:00",
    "interface": "lo",
}
# Of what is the same whoever trains: times and paths are not.
TIMES = ("seconds",)


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--walltime", help="Two runs, and no job ended but by its walltime.")
    arguments = parser.parse_args()
    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    shutil.copytree(sample_path(), "lesions", dirs_exist_ok=True)
    study, cluster = STUDY, CLUSTER
    if arguments.walltime:
        study = {**STUDY, "losses": ["t"]}
        cluster = {**CLUSTER, "walltime": arguments.walltime}
    atomic_write_text("study.yaml", yaml.safe_dump(study, sort_keys=False))
    atomic_write_text("cluster.yaml", yaml.safe_dump(cluster, sort_keys=False))
    ended: list[str] = []
    if not arguments.walltime:
        threading.Thread(target=disturb, args=(Path("slurm"), ended), daemon=True).start()
    failed = benchmark("slurm", "--cluster", "cluster.yaml")
    failed |= benchmark("here", "--jobs", "2", "--threads", "1")
    for line in ended:
        print(line)
    return failed | compare(Path("slurm"), Path("here"))


def benchmark(output: str, *options: str) -> int:
    """Run the study; returns the exit code."""
    program = [str(Path(sys.executable).parent / "keras-robust"), "benchmark", "study.yaml"]
    words = [*program, "--output", output, *options]
    print("$", "keras-robust", *words[1:], flush=True)
    begun = time.monotonic()
    done = subprocess.run(words, stdout=sys.stdout, stderr=subprocess.STDOUT)
    print(f"exit code {done.returncode}, {time.monotonic() - begun:.0f} s", flush=True)
    return done.returncode


def disturb(output: Path, ended: list[str]) -> None:
    """End a job as its walltime would, and another with SIGKILL, while they train."""
    for number, signal in enumerate(("TERM", "KILL"), start=1):
        while True:
            time.sleep(0.2)
            folders = [path.parent for path in output.glob("*/run.json")]
            training = [f for f in folders if read_status(f) == "running" and count_epochs(f) >= 2]
            if len(folders) > number and training:
                break
        queued = subprocess.check_output(["squeue", "--noheader", "--states=RUNNING", "-o", "%A"])
        job = queued.decode().split()[0]
        # --full: the batch script and all of its children, as SLURM does at the end of the time.
        subprocess.run(["scancel", "--full", f"--signal={signal}", job], check=True)
        ended.append(f"job {job} was sent SIG{signal}")


def compare(first: Path, second: Path) -> int:
    """Print what two folders of runs hold; returns 1 unless they hold the same."""
    wrong = 0
    for run, other in zip(find_runs(first), find_runs(second), strict=True):
        found = [facts(record) for record in (run, other)]
        same = found[0] == found[1] and run.status == "finished"
        wrong |= not same
        epochs = list(run.history["epoch"])
        wrong |= epochs != list(range(1, len(epochs) + 1))
        print(
            f"{run.name}: {run.status}, {len(epochs)} epochs, Dice {found[0]['dice']:.4f} and "
            f"{found[1]['dice']:.4f}, weights {found[0]['weights'][:12]} and "
            f"{found[1]['weights'][:12]}: {'the same' if same else 'NOT THE SAME'}"
        )
    return int(wrong)


def facts(run: RunRecord) -> dict:
    """What a run has come to, by content."""
    history = run.history.drop(columns=[name for name in TIMES if name in run.history])
    weights = hashlib.sha256()
    with np.load(max(run.folder.glob("checkpoints/*/state.npz"))) as state:
        for name in sorted(state):
            weights.update(name.encode() + state[name].tobytes())
    return {
        "dice": float(json.loads((run.folder / "run.json").read_text())["results"]["dice_test"]),
        "history": history.to_csv(),
        "tested": (run.folder / "test.csv").read_bytes(),
        "weights": weights.hexdigest(),
    }


if __name__ == "__main__":
    sys.exit(main())
