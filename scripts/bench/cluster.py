"""What a cluster costs: the overhead of a piece of work, and the memory of the scheduler.

    .venv/bin/python scripts/bench/cluster.py --output docs/results

A grid of 24 runs on 1, 2 and 4 workers, and by as many processes of this machine. A run sleeps for
its epochs instead of computing, so that the number of cores does not matter; what is measured is
all else: to hand it over, to start its process, to see its end. Then 10,000 pieces of nothing, with
the memory of the scheduler after each thousand.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from keras_robust.common.files import atomic_write_json, atomic_write_text
from keras_robust.scheduling.cluster import Cluster, joined
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.scheduling.scheduler import run_benchmark

SECONDS = 3.0
RUN = f"""
import json, sys, time
from pathlib import Path
from keras_robust.scheduling.worker import LOCK
from keras_robust.common.files import locked
folder = Path(sys.argv[1])
begun = time.monotonic()
with locked(folder / LOCK, wait=False):
    (folder / "history.csv").write_text("epoch,step,loss\\n1,1,0.5\\n")
    time.sleep({SECONDS})
    (folder / "run.json").write_text(json.dumps({{"status": "finished"}}))
"""


@contextmanager
def machines(folder: Path, count: int) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler with so many workers, as processes on loopback: its address, and itself."""
    file = folder / f"scheduler-{count}.json"
    python = [sys.executable, "-m"]
    log = open(folder / "dask.log", "a")
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    # Dask keeps a statistical profile of the last 1000 s for its dashboard.
    environment = os.environ | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
    scheduler = [*python, "distributed.cli.dask_scheduler", *words]
    started = [subprocess.Popen(scheduler, stdout=log, stderr=log, env=environment)]
    try:
        while not file.exists() or not file.read_text().strip():
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        words = [address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        words += ["--local-directory", str(folder)]
        for _ in range(count):
            command = [*python, "distributed.cli.dask_worker", *words]
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield address, psutil.Process(started[0].pid)
    finally:
        for process in started:
            process.kill()
            process.wait()
        log.close()


def wait_for_workers(crew: Cluster, count: int) -> None:
    """Until all have joined: their start is not what is measured."""
    while crew.free(()) < count:
        time.sleep(0.1)


def grid(root: Path, runs: int, count: int) -> dict[str, float]:
    """Seconds of overhead per piece, on workers of a cluster and by processes of this machine."""
    script = root / "run.py"
    script.write_text(RUN)
    config = BenchmarkConfig(base={"epochs": 1}, losses=["t"], seeds=list(range(runs)))
    options = {"command": [sys.executable, str(script)], "complete": dict, "check": list}
    found: dict[str, float] = {"workers": count}

    def timed(name: str, **who: object) -> None:
        begun = time.monotonic()
        state = run_benchmark(config, root / f"{name}-{count}", threads=1, **options, **who)
        took = time.monotonic() - begun
        if state.count("finished") != runs:
            raise RuntimeError(f"{name}: {[run.error for run in state.runs if run.error]}")
        found[name] = took
        found[f"{name}_overhead"] = took * count / runs - SECONDS

    with machines(root, count) as (address, _), joined(address, root, threads=1) as crew:
        wait_for_workers(crew, count)
        timed("cluster", crew=crew)
    timed("processes", jobs=count)
    return found


def many(root: Path, pieces: int, count: int = 2) -> dict[str, list[float]]:
    """Memory of the scheduler in MiB, and of this process, after each tenth of the pieces."""
    folder = root / "pieces"
    folder.mkdir()
    found: dict[str, list[float]] = {"pieces": [], "scheduler": [], "command": [], "seconds": []}
    begun = time.monotonic()
    with machines(folder, count) as (address, scheduler), joined(address, folder) as crew:
        wait_for_workers(crew, count)
        busy: list = []
        done = begun_pieces = 0
        while done < pieces:
            for _ in range(min(crew.free(busy), pieces - begun_pieces)):
                busy.append(crew.start(["true"], folder))
                begun_pieces += 1
            time.sleep(0.002)
            codes = [piece.poll() for piece in busy]
            if any(code not in (None, 0) for code in codes):
                errors = [piece.error for piece in busy]
                raise RuntimeError(f"pieces ended with {codes}: {errors}")
            busy = [piece for piece, code in zip(busy, codes, strict=True) if code is None]
            before, done = done, done + codes.count(0)
            if done * 10 // pieces > before * 10 // pieces:
                found["pieces"].append(done)
                for name, process in (("scheduler", scheduler), ("command", psutil.Process())):
                    found[name].append(round(process.memory_info().rss / 2**20, 1))
                found["seconds"].append(round(time.monotonic() - begun, 1))
                print(*(f"{name} {values[-1]}" for name, values in found.items()), flush=True)
    return found


def page(grids: list[dict[str, float]], memory: dict[str, list[float]], runs: int) -> str:
    """The results as a page."""
    count = memory["pieces"][-1] - memory["pieces"][0]
    grown = memory["scheduler"][-1] - memory["scheduler"][0]
    lines = [
        "# The cost of a cluster",
        "",
        f"{os.cpu_count()} cores, which had other work at the time; scheduler and workers are "
        "processes on loopback. `scripts/bench/cluster.py` writes this page.",
        "",
        f"## Overhead of a piece: {runs} runs of {SECONDS:g} s",
        "",
        "A run sleeps instead of computing. The overhead is all else that it takes: to hand it "
        "over, to start Python for it, to see its end.",
        "",
        "| workers | cluster | overhead per run | of a run of a minute | processes here |"
        " overhead per run |",
        "|---|---|---|---|---|---|",
    ]
    for one in grids:
        share = one["cluster_overhead"] / 60
        lines.append(
            f"| {one['workers']:g} | {one['cluster']:.1f} s | {one['cluster_overhead']:.2f} s | "
            f"{share:.1%} | {one['processes']:.1f} s | {one['processes_overhead']:.2f} s |"
        )
    lines += [
        "",
        f"## Memory: {memory['pieces'][-1]:,} pieces of nothing on two workers",
        "",
        "Dask's profile of the scheduler itself is turned off. Between the first and the last line "
        f"it grows by {1024 * grown / count:.2f} KiB per piece.",
        "",
        "| pieces | scheduler, MiB | the command, MiB | s |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {pieces:,} | {scheduler} | {command} | {seconds:.0f} |"
        for pieces, scheduler, command, seconds in zip(*memory.values(), strict=True)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write `bench_cluster.json` and `.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--pieces", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        grids = []
        for count in (1, 2, 4):
            grids.append(grid(root, arguments.runs, count))
            print({name: round(value, 2) for name, value in grids[-1].items()}, flush=True)
        memory = many(root, arguments.pieces)
    atomic_write_json(arguments.output / "bench_cluster.json", {"grids": grids, "memory": memory})
    atomic_write_text(arguments.output / "bench_cluster.md", page(grids, memory, arguments.runs))


if __name__ == "__main__":
    main()
