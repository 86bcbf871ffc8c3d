"""A scheduler of Dask and its workers as processes on loopback."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_robust.cli import app, command
from keras_robust.common.files import locked
from keras_robust.data import sample_path
from keras_robust.scheduling import cluster
from keras_robust.scheduling.cluster import joined
from keras_robust.scheduling.cluster_file import ClusterFile
from keras_robust.scheduling.cluster_worker import in_the_way
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.scheduling.records import count_epochs, read_status
from keras_robust.scheduling.scheduler import is_free, run_benchmark

pytest.importorskip("distributed")

# Stands in for the training: a line per epoch, resumes, ends with whoever began it.
FAKE = """
import json, os, signal, sys, time, yaml
from pathlib import Path
from keras_robust.common.files import locked
from keras_robust.common.interrupts import follow_input
folder = Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)
config = yaml.safe_load((folder / "config.yaml").read_text())
def write(status, **more):
    (folder / "run.json").write_text(json.dumps({"status": status, "seed": config["seed"], **more}))
try:
    follow_input()
    with locked(folder / "worker.lock", wait=False):
        with open(folder / "starts.txt", "a") as file:
            file.write(os.environ["OMP_NUM_THREADS"] + "\\n")
        write("running")
        history = folder / "history.csv"
        if not history.exists():
            history.write_text("epoch,step,loss\\n")
        for epoch in range(len(history.read_text().splitlines()) - 1, config["epochs"]):
            time.sleep(0.1)
            with open(history, "a") as file:
                file.write(f"{epoch},{epoch},{1 / (1 + epoch + config['seed'])}\\n")
        write("finished", results={"dice_test": 0.8})
except BlockingIOError:
    sys.exit(75)
except KeyboardInterrupt:
    write("interrupted")
    sys.exit(130)
"""
OPTIONS = "complete=dict, check=list, poll_seconds=0.05, threads=1"
CALLER = f"""
import sys
from keras_robust.scheduling.cluster import joined
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.scheduling.scheduler import run_benchmark
where, output, script, epochs = sys.argv[1:]
config = BenchmarkConfig(base={{"epochs": int(epochs)}}, losses=["t", "mae"], seeds=[0])
try:
    with joined(where, output, threads=1) as crew:
        run_benchmark(config, output, crew=crew, command=[sys.executable, script], {OPTIONS})
except KeyboardInterrupt:
    sys.exit(130)
"""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


class Machines:
    """A scheduler, and workers that each stand for a machine."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}
        file = folder / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        self._begin("scheduler", "dask_scheduler", *options)
        wait_for(lambda: file.exists() and file.read_text().strip())
        self.address = json.loads(file.read_text())["address"]

    def add(self, name):
        self._begin(name, "dask_worker", self.address, "--name", name, "--nthreads", "1",
                    "--no-nanny", "--no-dashboard", "--local-directory", self.folder)  # fmt: skip

    def _begin(self, name, program, *words):
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *map(str, words)],
                stdout=log,
                stderr=log,
            )

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    made = Machines(tmp_path_factory.mktemp("machines"))
    try:
        for name in ("one", "two", "three"):
            made.add(name)
        yield made
    finally:
        for name in list(made.processes):
            made.kill(name)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "fake.py"
    path.write_text(FAKE)
    return path


def study(output, script, crew=None, **options):
    options = {"complete": dict, "check": list, "poll_seconds": 0.05, "threads": 1, **options}
    config = BenchmarkConfig(base={"epochs": 12}, losses=["t", "mae"], seeds=[0, 1, 2])
    return run_benchmark(
        config, output, crew=crew, command=[sys.executable, str(script)], **options
    )


def results(output):
    names = ("config.yaml", "entry.json", "history.csv", "run.json")
    return {
        str(p.relative_to(output)): p.read_bytes() for n in names for p in output.glob(f"*/{n}")
    }


def test_a_machine_dies_another_comes_and_the_results_are_those_of_one(machines, script, tmp_path):
    study(tmp_path / "here", script, jobs=6)
    output, said, where = tmp_path / "there", [], {}

    def progress(state):
        said.append(state.message)
        for run in state.runs:
            if run.state == "running":
                where.setdefault(run.plan.name, []).append(run.where)
        mine = [r for r in state.runs if r.state == "running" and r.where.startswith("two")]
        if "two" in machines.processes and mine and mine[0].done >= 2:
            machines.kill("two")
            machines.add("four")
            wait_for(lambda: "four" in [worker["name"] for worker in crew.workers().values()])

    with joined(machines.address, output, threads=1) as crew:
        state = study(output, script, crew, progress=progress)
    assert state.count("finished") == 6
    assert results(output) == results(tmp_path / "here")
    lost = [message for message in said if "went away; will be continued" in message]
    assert len(lost) == 1 and "two (127.0.0.1)" in lost[0]
    names = {name.split()[0] for of_run in where.values() for name in of_run}
    assert names == {"one", "two", "three", "four"}
    # Each began once, the lost one twice; and at its checkpoint, not at its start.
    begun = [len((f.parent / "starts.txt").read_text().split()) for f in output.glob("*/run.json")]
    assert sorted(begun) == [1, 1, 1, 1, 1, 2]
    assert not list(output.glob(".seen-*"))


def test_an_interrupt_stops_what_the_command_began_and_nothing_else(machines, script, tmp_path):
    from distributed import Client

    output = tmp_path / "runs"
    with Client(machines.address, set_as_default=False) as other:
        another = other.submit(time.sleep, 30, pure=False)
        words = [machines.address, str(output), str(script), "300"]
        caller = subprocess.Popen([sys.executable, "-c", CALLER, *words])
        wait_for(lambda: sum(count_epochs(f) > 0 for f in output.glob("*_s0")) == 2)
        caller.send_signal(signal.SIGINT)
        assert caller.wait(30) == 130
        assert another.status == "pending"
        assert [read_status(folder) for folder in output.glob("*_s0")] == ["interrupted"] * 2
        assert all(is_free(folder) for folder in output.glob("*_s0"))


def test_a_command_in_parts_gives_what_it_gives_alone(machines, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PARTS_OF_EACH", 1)
    found = {}
    for name, options in {"here": [], "there": ["--cluster", machines.address]}.items():
        root = tmp_path / name
        words = ["simulate", str(sample_path()), "--alpha", "0.1", "--beta", "0.7"]
        result = CliRunner().invoke(app, [*words, "--output", str(root), *options])
        assert result.exit_code == 0, result.output
        masks = root / "masks/noisy-a0.1-b0.7-s0"
        files = [path for path in masks.iterdir() if not path.name.startswith(".")]
        found[name] = {path.name: path.read_bytes() for path in [*files, root / "manifest.csv"]}
        assert result.stderr.count(": done") == (3 if options else 0)
        assert not list(root.glob(".cluster"))
    assert found["here"] == found["there"]
    with pytest.raises(SystemExit, match="2"):
        app([*words, "--output", str(root), "--cluster", "local", "--part", "1/2"])


def test_a_machine_without_the_files_is_refused_before_anything_begins(machines, tmp_path):
    with (
        pytest.raises(ValueError, match=r"shared file system.*elsewhere is not there.*--part I/N"),
        joined(machines.address, tmp_path / "runs", [tmp_path / "elsewhere"]),
    ):
        raise AssertionError
    probe = tmp_path / "probe"
    assert "not the same folder" in in_the_way(probe, "a", [], "1")
    probe.write_text("b")
    assert "another file" in in_the_way(probe, "a", [], "1")
    assert "a lock" in in_the_way(probe, "b", [], "1")
    script = "import sys; from keras_robust.scheduling.cluster_worker import in_the_way as look; "
    script += "from pathlib import Path; print(look(Path(sys.argv[1]), 'b', [], '1'))"
    with locked(probe):
        said = subprocess.check_output([sys.executable, "-c", script, str(probe)], text=True)
    assert "and this machine 1" in said


def test_who_needs_what(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ValueError, match="running scheduler.*none answers.*dask scheduler"),
        joined("tcp://127.0.0.1:9", tmp_path),
    ):
        raise AssertionError
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'keras-robust\[cluster\]'"),
        joined("local", tmp_path),
    ):
        raise AssertionError


def test_a_study_through_slurm(script, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "scheduler: slurm\nworkers: 2\ncores: 1\nmemory: 1GB\nwalltime: '00:05:00'\n"
        "options: {interface: lo}\n"
    )
    program = Path(__file__).parents[3] / "scripts/cluster/slurm.sh"
    words = [str(path), str(tmp_path / "runs"), str(script), "3"]
    done = subprocess.run(
        [program, sys.executable, "-c", CALLER, *words], capture_output=True, text=True, timeout=120
    )
    if done.returncode == 77:
        pytest.skip(f"no SLURM can start here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    runs = [run.parent for run in (tmp_path / "runs").glob("*/run.json")]
    assert [(read_status(run), count_epochs(run)) for run in runs] == [("finished", 3)] * 2
    assert list((tmp_path / "runs/.cluster").glob("keras-robust-*.out"))


@pytest.mark.parametrize("queue", ["slurm", "pbs", "lsf", "sge"])
def test_a_job_asks_for_what_the_file_says(queue, tmp_path):
    pytest.importorskip("dask_jobqueue")
    time_ = "08:00" if queue == "lsf" else "08:00:00"
    path = tmp_path / "cluster.yaml"
    path.write_text(
        f"scheduler: {queue}\ncores: 8\nmemory: 32GB\ngpus: 2\nwalltime: '{time_}'\nqueue: long\n"
        "account: lab\nprologue: [module load python]\noptions: {interface: lo}\n"
    )
    file = ClusterFile.load(path)
    with file.start(tmp_path / "logs") as queued:
        text = queued.job_script()
    for words in ("long", "lab", time_, "module load python", "--nthreads 2", "--resources GPU=2"):
        assert words in text
    gpus = {"slurm": "--gres=gpu:2", "pbs": "ngpus=2", "lsf": '-gpu "num=2"', "sge": "-l gpu=2"}
    assert gpus[queue] in text and file.threads == 4
    if not shutil.which("qsub") and queue == "pbs":
        with pytest.raises(ValueError, match="command 'qsub'.*login node"):
            file.require_queue()
    path.write_text("scheduler: cron\ncores: 1\nmemory: 1GB\n")
    with pytest.raises(ValueError, match="slurm"):
        ClusterFile.load(path)
