"""The processes that train runs: started with a log, stopped so that they save their state."""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from keras_robust.common.interrupts import Interrupts


@dataclass
class Child:
    """A process that trains one run, and its log."""

    process: subprocess.Popen[bytes]
    log: TextIO
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, command: Sequence[str], folder: Path, threads: int) -> "Child":
        """Start a worker on a run folder; what it says is added to `log.txt` there."""
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": "1" if threads == 1 else "2",
            # Several runs share one GPU only if none takes all of its memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "PYTHONUNBUFFERED": "1",
        }
        log = open(folder / "log.txt", "a", encoding="utf-8")
        # A session of its own: Ctrl-C reaches the children through this process only, once.
        process = subprocess.Popen(
            [*command, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        return cls(process, log)


def stop(
    children: Collection[Child], asked: Interrupts | None = None, patience_seconds: float = 30.0
) -> None:
    """Ask processes to stop, twice, and kill those that do not.

    Args:
        children: The processes.
        asked: Held by the caller; where it is asked again meanwhile, they are killed at once.
        patience_seconds: How long to wait each time.
    """
    before = asked.times if asked else 0
    for number in (signal.SIGINT, signal.SIGTERM):
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(number)
        end = time.monotonic() + patience_seconds
        while time.monotonic() < end and any(c.process.poll() is None for c in children):
            if asked and asked.times > before:
                break
            time.sleep(0.05)
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()
        child.log.close()
