"""What happens on a worker of a cluster: a piece of work is a process there, as it is here.

Dask runs these functions. The training is in a process of its own, whose locks, log, checkpoints
and results are those of a local run.
"""

import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras_robust
from keras_robust.common.files import atomic_write_text, locked
from keras_robust.scheduling.processes import LOST, Child
from keras_robust.scheduling.worker import BUSY, LOCK, STOPPED

__all__ = ["Order", "environment_to_send", "in_the_way", "kill", "tell", "work"]

# The process of a worker that died, or the server of its file system, may still hold the lock.
LOCK_SECONDS = 120.0
# Whoever stops a machine stops the processes on it first.
LEAVING_SECONDS = 10.0
POLL_SECONDS = 0.05

SENT = ("KERAS_", "TF_", "XLA_", "PYTHONPATH")
# Set by Dask for functions that it runs in threads.
SET_BY_DASK = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    "MALLOC_TRIM_THRESHOLD_",
)
OF_ONE_MACHINE = ("TF_CONFIG",)

_children: dict[str, Child] = {}
_unwanted: set[str] = set()
_devices: dict[str, str] = {}


@dataclass(frozen=True)
class Order:
    """A piece of work for a worker.

    Args:
        key: Its name, among all.
        command: Start of the command line; the folder is added. Where its first word is `python`,
            the Python of the worker takes its place.
        folder: Of the piece.
        at: Working directory.
        environment: From `environment_to_send`.
        threads: CPU threads; by default those of the machine divided by `shared_by`.
        shared_by: Pieces that the worker does at a time.
        gpu: It has one of the worker's GPUs to itself.
        python: Interpreter of whoever ordered it.
    """

    key: str
    command: tuple[str, ...]
    folder: Path
    at: Path
    environment: Mapping[str, str | None] = field(default_factory=dict)
    threads: int | None = None
    shared_by: int = 1
    gpu: bool = False
    python: str = sys.executable


def environment_to_send() -> dict[str, str | None]:
    """The variables by which a worker trains as this machine would; None for those to leave out."""
    sent: dict[str, str | None] = {name: os.environ.get(name) for name in SET_BY_DASK}
    for name, value in os.environ.items():
        if name.startswith(SENT) and name not in OF_ONE_MACHINE:
            sent[name] = value
    return sent


def work(order: Order) -> int:
    """Do a piece; returns the exit code of its process, or `LOST` if this worker is leaving."""
    if order.key in _unwanted or not _wait_for_lock(order):
        return STOPPED if order.key in _unwanted else BUSY
    from dask.system import CPU_COUNT

    environment = {**os.environ, **order.environment}
    if order.gpu:
        environment["CUDA_VISIBLE_DEVICES"] = _take_device(order)
    here = sys.executable if order.command[0] == order.python else order.command[0]
    child = Child.start(
        [here, *order.command[1:]],
        order.folder,
        order.threads or max(1, CPU_COUNT // order.shared_by),
        environment={name: value for name, value in environment.items() if value is not None},
        at=str(order.at),
        held=True,
    )
    _children[order.key] = child
    try:
        while (code := child.poll()) is None:
            time.sleep(POLL_SECONDS)
    finally:
        del _children[order.key]
        _devices.pop(order.key, None)
    if code == STOPPED and order.key not in _unwanted and _is_leaving():
        return LOST
    return code


def tell(keys: Sequence[str], number: int) -> None:
    """Send a signal to the processes of pieces; those that have not begun never will."""
    _unwanted.update(keys)
    for key in keys:
        if (child := _children.get(key)) is not None and child.process.poll() is None:
            child.process.send_signal(number)


def kill(keys: Sequence[str]) -> None:
    """End the processes of pieces at once."""
    _unwanted.update(keys)
    for key in keys:
        if (child := _children.get(key)) is not None:
            child.process.kill()


def in_the_way(probe: Path, token: str, folders: Sequence[Path], version: str) -> str:
    """What keeps this worker from doing pieces; empty where nothing does.

    Args:
        probe: A file with the token, which whoever asks holds a lock of.
        token: What stands in it.
        folders: Of the work and its data.
        version: Of the library of whoever asks.
    """
    try:
        if probe.read_text(encoding="utf-8") != token:
            return f"{probe} is another file there"
        with locked(probe, wait=False):
            return f"a lock of {probe} is not seen there"
    except BlockingIOError:
        pass
    except OSError as error:
        return f"{probe.parent} is not the same folder there ({error})"
    written = probe.with_name(f"{probe.name}-{secrets.token_hex(6)}")
    try:
        atomic_write_text(written, token)
        written.unlink()
    except OSError as error:
        return f"{probe.parent} cannot be written to there ({error})"
    for folder in folders:
        if not folder.exists():
            return f"{folder} is not there"
    if keras_robust.__version__ != version:
        return f"it has keras-robust {keras_robust.__version__}, and this machine {version}"
    return ""


def _wait_for_lock(order: Order) -> bool:
    end = time.monotonic() + LOCK_SECONDS
    while order.key not in _unwanted:
        try:
            with locked(order.folder / LOCK, wait=False):
                return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
    return False


def _take_device(order: Order) -> str:
    """A GPU that no other piece of this worker has."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = listed.split(",") if listed else [str(number) for number in range(order.shared_by)]
    taken = set(_devices.values())
    _devices[order.key] = next((one for one in devices if one not in taken), devices[0])
    return _devices[order.key]


def _is_leaving() -> bool:
    from distributed import Status, get_worker

    end = time.monotonic() + LEAVING_SECONDS
    while time.monotonic() < end:
        if get_worker().status != Status.running:
            return True
        time.sleep(POLL_SECONDS)
    return False
