"""The processes that train runs: started with a log, stopped so that they save their state."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

from keras_robust.common.interrupts import FOLLOW, Interrupts

LOST = 69  # what `Piece.poll` says of one whose machine is gone, or will be
PATIENCE_SECONDS = 30.0


class Piece(Protocol):
    """A run, or another piece of work with a folder, that a process does somewhere.

    `where` names the machine, empty for this one; `started` is the time of `time.monotonic`;
    `error` says why a piece was lost, where that is known.
    """

    where: str
    started: float
    error: str

    def poll(self) -> int | None:
        """The exit code of the process, `LOST` if its machine went away; None while it works."""
        ...


class Crew(Protocol):
    """Who does pieces of work: processes of this machine, or workers of a cluster."""

    def free(self, busy: Collection[Piece]) -> int:
        """How many more pieces can begin, beside those that it has begun."""
        ...

    def start(self, command: Sequence[str], folder: Path) -> Piece:
        """Begin a piece: the command with the folder as its last word."""
        ...

    def stop(self, pieces: Collection[Piece], asked: Interrupts | None = None) -> None:
        """Ask pieces to stop, twice, and kill those that do not."""
        ...


@dataclass
class Child:
    """A process that trains one run, and its log."""

    process: subprocess.Popen[bytes]
    log: TextIO
    where: str = ""
    started: float = field(default_factory=time.monotonic)
    error: str = ""

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        folder: Path,
        threads: int,
        *,
        environment: Mapping[str, str] | None = None,
        at: str | None = None,
        held: bool = False,
    ) -> "Child":
        """Start a worker on a run folder; what it says is added to `log.txt` there.

        Args:
            command: Start of its command line; the folder is added.
            folder: Of the run.
            threads: CPU threads.
            environment: By default that of this process.
            at: Its working directory; by default that of this process.
            held: It stops when this process ends, in whichever way: see
                `keras_robust.common.interrupts.follow_input`.
        """
        given = dict(os.environ if environment is None else environment)
        given |= {
            "OMP_NUM_THREADS": str(threads),
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": "1" if threads == 1 else "2",
            # Several runs share one GPU only if none takes all of its memory.
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": given.get("TF_CPP_MIN_LOG_LEVEL", "2"),
            "PYTHONUNBUFFERED": "1",
            FOLLOW: "1" if held else "",
        }
        log = open(folder / "log.txt", "a", encoding="utf-8")
        # A session of its own: Ctrl-C reaches the children through this process only, once.
        process = subprocess.Popen(
            [*command, str(folder)],
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=given,
            cwd=at,
            start_new_session=True,
        )
        return cls(process, log)

    def poll(self) -> int | None:
        """The exit code; None while it works."""
        code = self.process.poll()
        if code is not None:
            self.log.close()
            if self.process.stdin is not None:
                self.process.stdin.close()
        return code


@dataclass(frozen=True)
class Processes:
    """The processes of this machine.

    Args:
        jobs: At a time.
        threads: CPU threads of each; by default the CPUs divided by `jobs`.

    >>> Processes(jobs=10**6).threads_of_each
    1
    """

    jobs: int = 1
    threads: int | None = None

    @property
    def threads_of_each(self) -> int:
        """CPU threads that each process has."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.jobs)

    def free(self, busy: Collection[Piece]) -> int:
        """See `Crew.free`."""
        return self.jobs - len(busy)

    def start(self, command: Sequence[str], folder: Path) -> Child:
        """See `Crew.start`."""
        return Child.start(command, folder, self.threads_of_each)

    def stop(self, pieces: Collection[Piece], asked: Interrupts | None = None) -> None:
        """See `Crew.stop`; where `asked`, which the caller holds, is asked again, it kills."""
        children = [piece for piece in pieces if isinstance(piece, Child)]

        def send(number: int) -> None:
            for child in children:
                if child.poll() is None:
                    child.process.send_signal(number)

        def kill() -> None:
            for child in children:
                if child.poll() is None:
                    child.process.kill()
                    child.process.wait()
                    child.poll()

        insist(send, kill, lambda: all(child.poll() is not None for child in children), asked)


def insist(
    send: Callable[[int], None],
    kill: Callable[[], None],
    ended: Callable[[], bool],
    asked: Interrupts | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Ask with SIGINT, then with SIGTERM, and kill what has not ended then.

    Args:
        send: Sends a signal to what goes on.
        kill: Ends it.
        ended: Whether nothing goes on.
        asked: Held by the caller; where it is asked again meanwhile, it is killed at once.
        patience_seconds: How long to wait each time.
    """
    before = asked.times if asked else 0
    for number in (signal.SIGINT, signal.SIGTERM):
        if not ended():
            send(number)
        end = time.monotonic() + patience_seconds
        while time.monotonic() < end and not ended():
            if asked and asked.times > before:
                break
            time.sleep(0.05)
    kill()
