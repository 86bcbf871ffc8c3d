"""One run on several machines against the same run on one; processes stand for machines.

    python scripts/bench/machines.py [--machines 2 3] [--kinds ...] [--output docs/results]
    scripts/cluster/slurm.sh python scripts/bench/machines.py --srun --kinds patches

Each run is `keras-robust train`: once as it is, then once per machine, all in the same folder, with
TF_CONFIG for each, or with `--srun` as the tasks of a step of SLURM. Whole images, patches by a
plan, and either with two peers; the runs are compared by their weights, ν, optimisers and figures.
With `--killed` the last of two machines is killed after an epoch, and the run continued by both.
Ends with 1 where a difference is larger than `AT_MOST`, or the first machine goes on alone.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from result_page import environment, write_results

from keras_robust.common.tables import read_table
from keras_robust.data import Dataset, sample_path
from keras_robust.planning import make_plan
from keras_robust.planning.fingerprint import fingerprint
from keras_robust.training import TrainConfig

AT_MOST = 1e-5
STEPS = {"epochs": 2, "batch_size": 6, "steps_per_epoch": 10}
SHARED = {"tensorboard": False, "threads": 1, "save_predictions": 1, "seed": 3}
KINDS: dict[str, dict[str, Any]] = {
    "whole images": {"loss": "t+dice"},
    "whole images, two peers": {"loss": "t+dice", "selection": {"name": "cot"}},
    "patches": {"loss": "t+dice"},
    "patches, two peers": {"loss": "ce+dice", "selection": {"name": "cot+"}},
}


def write_config(kind: str, folder: Path) -> Path:
    """Of a small run of this kind, on packaged images."""
    data = {"path": sample_path(), "train_limit": 12, "test_limit": 6}
    chosen = {**SHARED, **KINDS[kind], "epochs": STEPS["epochs"], "data": data}
    steps = {"steps_per_epoch": STEPS["steps_per_epoch"]}
    if kind.startswith("patches"):
        found = fingerprint(Dataset.open(sample_path()))
        plan = folder / "plan"
        plan.mkdir(exist_ok=True)
        (plan / "plan.json").write_text(make_plan(found).to_json())
        (plan / "fingerprint.json").write_text(found.model_dump_json())
        size = {"features": 4, "patch_size": (32, 32), "batch_size": STEPS["batch_size"]}
        chosen["plan"] = {"folder": plan, "validation_steps": 4, **size, **steps}
        data["fold"] = (0, 3)
        del data["train_limit"], data["test_limit"]
    else:
        data["size"] = (32, 32)
        chosen |= {"batch_size": STEPS["batch_size"], **steps}
        chosen |= {"model": {"features": 4, "depth": 2}, "noise": {"alpha": 0.5, "beta": 0.5}}
    path = folder / f"{kind.replace(', ', '-').replace(' ', '-')}.yaml"
    path.write_text(TrainConfig(**chosen).to_yaml())
    return path


def begun(config: Path, output: Path, machines: int, srun: bool, *options: str) -> list[Any]:
    """The commands of all machines, begun."""
    program = [str(Path(sys.executable).with_name("keras-robust")), "train"]
    command = [*program, "--config", str(config), "--output", str(output), "--quiet", *options]
    quiet = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    if machines == 1:
        return [_begin(command, quiet)]
    if srun:
        return [_begin(["srun", "-n", str(machines), *command], quiet)]
    addresses = list(_free_addresses(machines))
    tasks = [{"type": "worker", "index": number} for number in range(machines)]
    each = [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]
    return [_begin(command, {**quiet, "TF_CONFIG": one}) for one in each]


def _begin(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _free_addresses(count: int) -> Iterator[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    for one in sockets:
        yield f"127.0.0.1:{one.getsockname()[1]}"
    for one in sockets:
        one.close()


def ended(processes: list[Any]) -> list[int]:
    """The exit codes; what failed is said."""
    said = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    if any(codes):
        print(*(text[-2000:] for text in said), sep="\n", file=sys.stderr)
    return codes


def differences(one: Path, other: Path) -> dict[str, float]:
    """Of weights, parameters of losses, state of the optimiser and figures of the history."""
    newest = f"checkpoints/{STEPS['epochs']:06d}/state.npz"
    a, b = np.load(one / newest), np.load(other / newest)
    if a.files != b.files:
        raise SystemExit(f"other variables in {other} than in {one}")
    found = {
        group: max((_distance(a[k], b[k]) for k in a.files if k.startswith(group)), default=0.0)
        for group in ("model", "loss", "optimizer")
    }
    rows = [read_table((run / "history.csv").read_bytes())[1] for run in (one, other)]
    return found | {
        "figures": max(
            _distance(np.array(float(value)), np.array(float(theirs[key])))
            for ours, theirs in zip(*rows, strict=True)
            for key, value in ours.items()
            if value and key != "seconds"
        )
    }


def _distance(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0))


def killed(config: Path, output: Path) -> dict[str, float]:
    """Kill one of two machines after an epoch; seconds until the other ended."""
    first, second = begun(config, output, 2, srun=False)
    while not (output / "checkpoints" / "000001" / "manifest.json").exists():
        if first.poll() is not None:
            raise SystemExit(f"ended early: {first.communicate()[1]}")
        time.sleep(0.05)
    second.kill()
    begin = time.monotonic()
    said = first.communicate()[1]
    seconds = time.monotonic() - begin
    print(f"killed one machine; the other ended after {seconds:.0f} s with {first.returncode}:")
    print(said.strip().splitlines()[-1], flush=True)
    if first.returncode == 0 or "--resume" not in said:
        raise SystemExit("the other machine did not say how to go on")
    if codes := [code for code in ended(begun(config, output, 2, False, "--resume")) if code]:
        raise SystemExit(f"exit codes of the continued run: {codes}")
    return {"seconds": round(seconds)}


def page(report: dict[str, Any]) -> list[str]:
    """Of the result, as Markdown."""
    lines = [
        "# One run on several machines",
        "",
        f"`keras-robust train`, {STEPS['epochs']} epochs of {STEPS['steps_per_epoch']} steps of "
        f"{STEPS['batch_size']} packaged images in float32, on one machine and on several that "
        "share each batch; processes on loopback stand for machines. The largest difference of:",
        "",
        "| training | machines | by | weights | ν | optimiser | figures of the history |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        figures = (f"{row[key]:.0e}" for key in ("model", "loss", "optimizer", "figures"))
        lines.append(f"| {row['kind']} | {row['machines']} | {row['by']} | {' | '.join(figures)} |")
    if "seconds" in report:
        lines += [
            "",
            f"With one of two machines killed after an epoch, the other ended after "
            f"{report['seconds']} s and named the command to go on with; the continued run is the "
            "row “killed”.",
        ]
    return lines


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--machines", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--srun", action="store_true", help="as tasks of a step of SLURM")
    parser.add_argument("--killed", action="store_true")
    parser.add_argument("--output", type=Path, help="adds to the page there")
    arguments = parser.parse_args()
    stored = arguments.output / "bench_machines.json" if arguments.output else None
    report = json.loads(stored.read_text()) if stored and stored.is_file() else {"rows": []}
    by, rows = "srun" if arguments.srun else "TF_CONFIG", []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for kind in arguments.kinds:
            config = write_config(kind, folder)
            one = folder / "one"
            shutil.rmtree(one, ignore_errors=True)
            if ended(begun(config, one, 1, False)) != [0]:
                return 1
            for machines in arguments.machines:
                many = folder / f"{kind}-{machines}"
                if any(ended(begun(config, many, machines, arguments.srun))):
                    return 1
                rows.append({"kind": kind, "machines": machines, "by": by})
                rows[-1] |= differences(one, many)
                print(*rows[-1].values(), sep=", ", flush=True)
            if arguments.killed:
                report |= killed(config, folder / "killed")
                rows.append({"kind": kind, "machines": 2, "by": "killed"})
                rows[-1] |= differences(one, folder / "killed")
                print(*rows[-1].values(), sep=", ", flush=True)
                shutil.rmtree(folder / "killed")
    if arguments.output:
        known = {(row["kind"], row["machines"], row["by"]) for row in rows}
        kept = [r for r in report["rows"] if (r["kind"], r["machines"], r["by"]) not in known]
        report |= {**environment(["tensorflow", "keras"]), "rows": kept + rows}
        write_results(arguments.output, "machines", report, page(report))
    return int(any(max(row[k] for k in ("model", "loss", "figures")) > AT_MOST for row in rows))


if __name__ == "__main__":
    sys.exit(main())
