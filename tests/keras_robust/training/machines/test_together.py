"""Processes on loopback stand for machines."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_robust.training import Run, devices, train
from keras_robust.training.machines import require_simple
from tests.keras_robust.training.patches.conftest import (  # noqa: F401
    planned_config,
    planned_run,
    volumes,
)

PROGRAM = """
import os, sys
from keras_robust.training import TrainConfig, train

folder, dies_at = sys.argv[1:]

def progress(stage, done, total, figures):
    if stage == "step" and str(done) == dies_at:
        os._exit(9)

train(TrainConfig.load(f"{folder}/config.yaml"), folder, True, progress, across_machines=True)
"""


def start(folder, machine, addresses, dies_at="never"):
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": machine}}
    environment = {"TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), dies_at],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def cut(run, folder):
    """The run as it was before its last epoch."""
    copy = Run(shutil.copytree(run.folder, folder))
    shutil.rmtree(copy.folder / "checkpoints" / "000002")
    (copy.folder / "run.json").write_text(json.dumps({**run.info, "status": "interrupted"}))
    return copy


def test_two_machines_give_the_result_of_one_and_end_when_one_dies(
    planned_run,  # noqa: F811
    tmp_path,
):
    run = cut(planned_run, tmp_path / "run")
    addresses = free_addresses(2)
    first, second = start(run.folder, 0, addresses, "4"), start(run.folder, 1, addresses)
    first.communicate()
    assert first.returncode == 9
    died = time.monotonic()
    error = second.communicate()[1]
    assert second.returncode != 0 and time.monotonic() - died < 60
    assert "ConnectionError" in error and "--resume" in error
    assert run.status == "running"  # and the first goes on from its last epoch

    addresses = free_addresses(2)
    both = [start(run.folder, machine, addresses) for machine in (0, 1)]
    errors = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], errors
    assert run.status == "finished" and run.info["devices"] == 2
    ours, theirs = (
        np.load(r.folder / "checkpoints" / "000002" / "state.npz") for r in (run, planned_run)
    )
    assert ours.files == theirs.files
    for key in ours.files:
        np.testing.assert_allclose(ours[key], theirs[key], atol=1e-5, err_msg=key)
    for column in ("loss", "pseudo_dice_train_1", "dice_test"):
        expected = planned_run.history[-1][column]
        assert run.history[-1][column] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("change", [{"stop": "memorising"}, {"precision": "mixed_float16"}])
def test_what_machines_do_not_train_together_is_refused(small_config, change):
    require_simple(small_config)
    with pytest.raises(ValueError, match=f"TF_CONFIG.*`{next(iter(change))}`"):
        require_simple(small_config.model_copy(update=change))


def test_the_tasks_of_a_step_of_slurm_are_machines(monkeypatch):
    step = {"NUM_TASKS": "3", "NODELIST": "n[1-2]", "TASKS_PER_NODE": "2,1", "ID": "1"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_STEP_{name}", value)
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert devices.machines_together() == 3
    workers = ["n1:12480", "n1:12481", "n2:12480"]  # 12288 + 64 (2 + 1)
    task = {"type": "worker", "index": 2}
    assert devices._of_slurm() == {"cluster": {"worker": workers}, "task": task}


def test_without_being_asked_no_machine_joins_others(small_config, tmp_path, monkeypatch):
    cluster = {"cluster": {"worker": free_addresses(2)}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="a cluster of 2.*Unset"):
        train(small_config, tmp_path / "run")
