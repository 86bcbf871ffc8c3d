import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from keras_robust.common.files import locked
from keras_robust.data import Dataset, sample_path
from keras_robust.scheduling import live, scheduler
from keras_robust.scheduling.config_check import distinct, refusal
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.scheduling.records import read_status
from keras_robust.scheduling.scheduler import run_benchmark
from keras_robust.scheduling.worker import LOCK
from keras_robust.training.config import DataConfig
from keras_robust.training.records.inputs import require_inputs

HEAD = "id,image,mask,annotator,split"
# Stands in for the training process: one history line per epoch, resumes, can fail and dawdle.
FAKE = """
import json, os, signal, sys, time, yaml
from pathlib import Path
from keras_robust.common.files import locked
from keras_robust.data import Dataset
folder = Path(sys.argv[1])
config = yaml.safe_load((folder / "config.yaml").read_text())
signal.signal(signal.SIGTERM, signal.default_int_handler)
def write(status, **more):
    (folder / "run.json").write_text(json.dumps({"status": status, "seed": config["seed"], **more}))
with open(folder / "starts.txt", "a") as file:
    file.write(os.environ["OMP_NUM_THREADS"] + "\\n")
try:
    with locked(folder / "worker.lock", wait=False):
        write("running")
        history = folder / "history.csv"
        if not history.exists():
            history.write_text("epoch,step,loss\\n")
        done = len(history.read_text().splitlines()) - 1
        behaviour = config["loss_options"].get("fake")
        for epoch in range(done, config["epochs"]):
            with open(history, "a") as file:
                file.write(f"{epoch},{epoch},0.5\\n")
            if behaviour == "fail once" and epoch == 0 or behaviour == "fail":
                write("failed", error="OSError: by design")
                sys.exit(1)
            if behaviour == "refuse":
                write("failed", error="ValueError: by design")
                sys.exit(1)
            if behaviour == "stop" and epoch == 0:
                raise KeyboardInterrupt
            if behaviour == "die":
                os._exit(9)
            if behaviour == "slow":
                time.sleep(0.3)
            if behaviour == "deaf":
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                (folder / "deaf").touch()
                time.sleep(600)
        write("finished", results={"dice_test": 0.8})
except BlockingIOError:
    sys.exit(75)
except KeyboardInterrupt:
    write("interrupted")
    sys.exit(130)
"""


@pytest.fixture
def study(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)

    def run(config, **options):
        options = {"poll_seconds": 0.05, "complete": dict, "check": list, **options}
        return run_benchmark(
            config, tmp_path / "runs", command=[sys.executable, str(script)], **options
        )

    run.output = tmp_path / "runs"
    run.script = script
    return run


def entries(**behaviours):
    return [{"name": name, "options": {"fake": b} if b else {}} for name, b in behaviours.items()]


def starts(folder):
    path = folder / "starts.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_one_failure_costs_nothing_else(study):
    config = BenchmarkConfig(
        base={"epochs": 2},
        losses=entries(t=None, mae="fail once", gce="fail", rce="die", sce="refuse"),
        noise=[(0.7, 0.7)],
        seeds=[0],
    )
    messages = []
    state = study(config, jobs=2, threads=3, progress=lambda s: messages.append(s.message))
    outcome = {run.plan.config["loss"]: run.state for run in state.runs}
    failed = dict.fromkeys(("gce", "rce", "sce"), "failed")
    assert outcome == {"t": "finished", "mae": "finished", **failed}
    folders = {run.plan.config["loss"]: run.folder for run in state.runs}
    assert (folders["t"] / "starts.txt").read_text() == "3\n"
    # What is refused would be refused again.
    names = ("t", "mae", "gce", "rce", "sce")
    assert [starts(folders[name]) for name in names] == [1, 2, 2, 2, 1]
    assert "by design" in next(r.error for r in state.runs if r.plan.config["loss"] == "gce")
    assert json.loads((folders["rce"] / "run.json").read_text())["status"] == "failed"
    assert "exit code 9" in json.loads((folders["rce"] / "run.json").read_text())["error"]
    assert any("will be tried again" in message for message in messages)

    again = study(config)
    assert starts(folders["t"]) == 1 and starts(folders["gce"]) == 2
    assert again.count("failed") == 3
    study(config, retry=True, retries=0)
    assert starts(folders["t"]) == 1 and starts(folders["gce"]) == 3


def test_another_configuration_is_not_mixed_in(study):
    study(BenchmarkConfig(base={"epochs": 1}, losses=["t"], seeds=[0]))
    with pytest.raises(ValueError, match="epochs: 1 -> 2"):
        study(BenchmarkConfig(base={"epochs": 2}, losses=["t"], seeds=[0]))
    assert "epochs: 1" in (study.output / "benchmark.yaml").read_text()
    wider = study(BenchmarkConfig(base={"epochs": 1}, losses=["t", "mae"], seeds=[0, 1]))
    assert wider.count("finished") == 4
    assert starts(study.output / "t_a0.7_b0.7_s0") == 1
    plan = (study.output / "t_a0.7_b0.7_s0/entry.json").read_text()
    assert json.loads(plan) == {"label": None, "start": False}


def test_a_refused_study_writes_nothing(study):
    study(BenchmarkConfig(base={"epochs": 1}, losses=["t"], seeds=[1]))
    before = {path: path.read_bytes() for path in study.output.rglob("*") if path.is_file()}
    # The run of seed 0 is new, that of seed 1 was begun with one epoch.
    with pytest.raises(ValueError, match="epochs: 1 -> 2"):
        study(BenchmarkConfig(base={"epochs": 2}, losses=["t"], seeds=[0, 1]))
    after = {path: path.read_bytes() for path in study.output.rglob("*") if path.is_file()}
    assert after == before and not (study.output / "t_a0.7_b0.7_s0").exists()


def test_configurations_are_checked_before_the_first_run(study):
    config = BenchmarkConfig(base={"epochs": 1}, losses=entries(t=None, mae="x"), seeds=[0, 1])

    def check(configs):
        assert distinct(configs, ("loss", "loss_options")) == [
            {"loss": "t"},
            {"loss": "mae", "loss_options": {"fake": "x"}},
        ]
        raise ValueError("no such option")

    with pytest.raises(ValueError, match="no such option"):
        study(config, check=check)
    assert not study.output.exists()
    study(config)
    study(config, check=check)  # nothing is new


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Datasets without columns, without a mask that they name, and with an image that is none."""
    root = tmp_path_factory.mktemp("broken")
    row = "a,a.png,b.png,anna,train"
    for name, head in {"columns": "id,image,mask", "mask": HEAD, "image": HEAD}.items():
        (root / name).mkdir()
        (root / name / "manifest.csv").write_text(f"{head}\n{row[: row.find(',anna')]}\n")
        if head == HEAD:
            (root / name / "manifest.csv").write_text(f"{head}\n{row}\n")
            Image.new("L", (8, 8)).save(root / name / "a.png")
    (root / "image/a.png").write_bytes(b"no image")
    Image.new("L", (8, 8)).save(root / "image/b.png")
    return root


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "tt"}, "'t', 'mae'.*'tt'"),
        ({"loss_options": {"p": 1}}, "among .*'q'.*'gce'.*'p'"),
        ({"selection": {"name": "stocot", "options": {"alpha": -1}}}, "alpha=-1"),
        ({"data": {"path": "nowhere"}}, "nowhere"),
        ({"data": {"path": "columns"}}, "Expected the columns"),
        ({"data": {"path": "mask", "test_split": None}}, "case 'a' without its file .*b.png"),
        ({"data": {"path": "image", "test_split": None}}, "a.png"),
        ({"data": {"path": str(sample_path()), "annotator": "bob"}}, "Received: annotator='bob'"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message, broken):
    base = {"loss": "gce", "data": {"path": str(sample_path())}}
    if path := change.get("data", {}).get("path"):
        change = {"data": {**change["data"], "path": str(broken / path)}}
    assert refusal([base]) == ""
    assert re.search(message, refusal([base, {**base, **change}]), re.DOTALL)


def test_the_check_runs_in_a_process_of_its_own():
    fine = {"loss": "ngce+rce", "data": {"path": str(sample_path())}}
    with pytest.raises(ValueError, match="nowhere"):
        scheduler.check_configs([fine, {"loss": "t", "data": {"path": "nowhere"}}])


def test_processes_that_were_killed_may_pass():
    for error in ("the process ended with signal 9: no message", "its process died", "OSError: x"):
        assert scheduler.may_pass(error)
    refused = "the process ended with exit code 1: pydantic_core._pydantic_core.ValidationError: 1"
    for error in (refused, "ValueError", "keras_robust.training.callbacks.DivergenceError: nan"):
        assert not scheduler.may_pass(error)


def test_a_run_that_another_process_took_up_is_not_marked_as_failed(tmp_path):
    run = scheduler.RunState(None, tmp_path, epochs=1, state="running")
    (tmp_path / "run.json").write_text('{"status": "running"}')
    with locked(tmp_path / LOCK):
        scheduler._settle(run, 1)
    assert run.state == "elsewhere" and read_status(tmp_path) == "running"
    scheduler._settle(run, 1)
    assert run.state == "failed" and read_status(tmp_path) == "failed"
    (tmp_path / "run.json").write_text('{"status": "finished"}')
    scheduler._settle(run, 1)
    assert run.state == "finished" and read_status(tmp_path) == "finished"


def test_a_run_of_another_process_is_left_alone(study):
    config = BenchmarkConfig(base={"epochs": 1}, losses=["t", "mae"], seeds=[0])
    folder = study.output / "t_a0.7_b0.7_s0"
    with locked(folder / LOCK):
        state = study(config)
    assert [run.state for run in state.runs] == ["elsewhere", "finished"]
    assert starts(folder) == 0
    # The lock file is still there, without a holder.
    assert study(config).count("finished") == 2


CALLER = """
import sys
from keras_robust.scheduling.grid import BenchmarkConfig
from keras_robust.scheduling.scheduler import run_benchmark
config = BenchmarkConfig(
    base={{"epochs": 6}}, seeds=[0], losses=[
        {{"name": name, "options": {{"fake": {fake!r}}}}} for name in ("t", "mae", "gce")])
try:
    run_benchmark(config, {output!r}, jobs=2, command=[sys.executable, {script!r}],
                  complete=dict, check=list, poll_seconds=0.05)
except KeyboardInterrupt:
    sys.exit(130)
"""


def call(study, fake="slow"):
    source = CALLER.format(output=str(study.output), script=str(study.script), fake=fake)
    return subprocess.Popen([sys.executable, "-c", source])


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def alive(study):
    folders = [path.parent for path in study.output.glob(f"*/{LOCK}")]
    held = 0
    for folder in folders:
        try:
            with locked(folder / LOCK, wait=False):
                pass
        except BlockingIOError:
            held += 1
    return held


def rows(folder: Path):
    return len((folder / "history.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_everything_resumable(study, number):
    process = call(study)
    wait_for(lambda: len(list(study.output.glob("*/history.csv"))) == 2)
    process.send_signal(number)
    assert process.wait(20) == 130
    assert alive(study) == 0
    begun = sorted(path.parent for path in study.output.glob("*/run.json"))
    assert [read_status(folder) for folder in begun] == ["interrupted"] * 2
    assert call(study).wait(30) == 0
    assert {read_status(f.parent) for f in study.output.glob("*/config.yaml")} == {"finished"}
    assert {rows(f.parent) for f in study.output.glob("*/config.yaml")} == {6}


def test_a_second_interrupt_leaves_no_process(study):
    """The first waits for processes to save their state; these two hear nothing."""
    process = call(study, fake="deaf")
    wait_for(lambda: len(list(study.output.glob("*/deaf"))) == 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None and alive(study) == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert alive(study) == 0


def test_a_worker_that_somebody_stops_is_not_a_failure(study):
    config = BenchmarkConfig(base={"epochs": 2}, losses=entries(t="stop", mae=None), seeds=[0])
    state = study(config)
    assert [run.state for run in state.runs] == ["interrupted", "finished"]
    assert starts(state.runs[0].folder) == 1
    assert study(config).count("finished") == 2


def test_two_callers_never_train_the_same_run_at_once(study):
    callers = [call(study), call(study)]
    assert [process.wait(60) for process in callers] == [0, 0]
    folders = [path.parent for path in study.output.glob("*/config.yaml")]
    assert {rows(folder) for folder in folders} == {6}
    assert {read_status(folder) for folder in folders} == {"finished"}


def test_plain_lines_where_there_is_no_terminal(study):
    config = BenchmarkConfig(base={"epochs": 1}, losses=["t"], seeds=[0, 1])
    out = io.StringIO()
    with live.StudyView(Console(file=out, width=200)) as view:
        study(config, progress=view)
    lines = out.getvalue().splitlines()
    assert "2 of 2 runs finished" in lines[-1]
    assert "t_a0.7_b0.7_s0: finished, test Dice 0.800; 1 of 2 runs finished" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_live_table_in_a_terminal(study):
    config = BenchmarkConfig(base={"epochs": 1}, losses=["t"], noise=[(0, 0), (0.7, 0.7)])
    out = io.StringIO()
    with live.StudyView(Console(file=out, width=100, force_terminal=True)) as view:
        study(config, progress=view, jobs=3)
    assert "α=0.7 β=0.7" in out.getvalue() and "clean" in out.getvalue()
    assert "6 of 6 runs finished" in out.getvalue()


def test_live_table_of_folds():
    noise = [(0, 0), (0.7, 0.5)]
    config = BenchmarkConfig(losses=["t", "ce+dice"], noise=noise, folds=3, seeds=[0, 1])
    runs = [scheduler.RunState(run, Path(run.name), 1) for run in config.runs()]
    out = io.StringIO()
    Console(file=out, width=100).print(live.table(scheduler.StudyState(runs)))
    header, *rows = (line.split() for line in out.getvalue().splitlines()[:3])
    assert header == ["loss", "clean", "α=0.7", "β=0.5"]
    assert rows == [["t", *12 * "·"], ["ce+dice", *12 * "·"]]  # 2 settings x 3 folds x 2 seeds


def test_a_study_goes_on_where_its_data_lies_now(study, tmp_path):
    """Other images and masks are refused before anything is written."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "manifest.csv").write_text("id,image,mask,annotator,split\na,i.png,m.png,anna,train\n")
    for name, value in (("i", 7), ("m", 255)):
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(data / f"{name}.png")
    given = {"data": {"path": str(data)}}
    config = BenchmarkConfig(base={"epochs": 2, **given}, losses=entries(t="stop"), seeds=[0])
    (run,) = study(config).runs
    options = DataConfig(path=data, annotator="anna", test_split=None)
    require_inputs(run.folder, Dataset.open(data), options, begun=False)
    moved = data.rename(tmp_path / "moved")
    other = shutil.copytree(moved, tmp_path / "other")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(other / "m.png")
    stored = (run.folder / "config.yaml").read_bytes()
    with pytest.raises(ValueError, match="mask a of anna is another"):
        study(config.with_data(other))
    assert (run.folder / "config.yaml").read_bytes() == stored and starts(run.folder) == 1
    assert study(config.with_data(moved)).count("finished") == 1
    assert str(moved) in (run.folder / "config.yaml").read_text()
