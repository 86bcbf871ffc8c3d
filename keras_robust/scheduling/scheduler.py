"""Running a study: parallel processes, resumable, one failure never costing the others."""

import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, atomic_write_text, locked
from keras_robust.common.interrupts import interrupts
from keras_robust.data.parts import WHOLE, Part
from keras_robust.scheduling.config_check import REFUSED
from keras_robust.scheduling.grid import BenchmarkConfig, PlannedRun
from keras_robust.scheduling.processes import LOST, Crew, Piece, Processes
from keras_robust.scheduling.records import RunRecord, count_epochs, read_status
from keras_robust.scheduling.state import RunState, StudyState
from keras_robust.scheduling.worker import BUSY, LOCK, PID, STOPPED
from keras_robust.training.records.identity import differences, identity
from keras_robust.training.records.inputs import require_data, set_paths

# -P: modules in the working directory must not stand in for the standard library.
COME_AGAIN = (
    *("ArithmeticError", "AssertionError", "AttributeError", "DivergenceError", "ImportError"),
    *("IndexError", "KeyError", "ModuleNotFoundError", "NotImplementedError", "TypeError"),
    *("UnreadableImageError", "ValidationError", "ValueError"),
)
WORKER = (sys.executable, "-P", "-m", "keras_robust.scheduling.worker")


def complete_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training configuration with every default filled in, as a run stores it.

    Raises:
        pydantic.ValidationError: If `TrainConfig` does not accept it.
    """
    from keras_robust.training.config import TrainConfig

    return TrainConfig(**config).model_dump(mode="json")


def check_configs(configs: Sequence[Mapping[str, Any]]) -> None:
    """Make sure that losses exist and take their options, and that the data are there and can be
    read, in a process that imports Keras for it.

    Args:
        configs: Of the runs, complete.

    Raises:
        ValueError: If `losses.get`, `get_selection` or `check_inputs` refuses one.
    """
    process = subprocess.run(
        [sys.executable, "-P", "-m", "keras_robust.scheduling.config_check"],
        input=json.dumps(configs, default=str),
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    # Any other end, such as a broken installation, is told by the runs and their logs.
    if process.returncode == REFUSED:
        raise ValueError(process.stdout.strip())


def run_benchmark(
    config: BenchmarkConfig,
    output: str | Path,
    *,
    jobs: int = 1,
    threads: int | None = None,
    retry: bool = False,
    retries: int = 1,
    part: Part = WHOLE,
    crew: Crew | None = None,
    progress: Callable[[StudyState], None] | None = None,
    command: Sequence[str] = WORKER,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = complete_config,
    check: Callable[[Sequence[Mapping[str, Any]]], None] = check_configs,
    poll_seconds: float = 0.5,
) -> StudyState:
    """Train all runs of a study that are not finished yet, each in a process of its own.

    Calling it again continues: finished runs are left alone, interrupted ones resumed. Several
    callers may work on one folder; no run is ever trained by two at once. An interrupt (Ctrl-C or
    SIGTERM) stops the processes, lets them save their state and is raised again; a second one kills
    them. If this process
    is killed outright, the runs at hand go on to their end, and a later call takes up the rest.

    Args:
        config: The study.
        output: Folder of the run folders.
        jobs: Runs at a time.
        threads: CPU threads per run; by default the CPUs divided by `jobs`.
        retry: Also try runs again that failed in an earlier call.
        retries: How often a run that fails is tried again, after all others; none whose error the
            next attempt would meet again, see `may_pass`.
        part: Which of the runs are this machine's, which looks at no others.
        crew: Who trains the runs, in place of `jobs` processes of this machine: see
            `keras_robust.scheduling.cluster.joined`.
        progress: Called with the state of the study at every change and about every
            `poll_seconds`; `message` is not empty when something happened.
        command: Start of the command line of the worker; the run folder is added.
        complete: Fills a training configuration with its defaults, and checks it.
        check: Refuses configurations of runs not yet begun, as `check_configs` does.
        poll_seconds: How often the processes are looked at.

    Returns:
        The last state: which runs are finished, failed (with the error) or trained elsewhere.

    Raises:
        ValueError: If a run folder holds a run begun with another configuration or other images and
            masks, a loss or an option of it does not exist, or its data cannot be read. Nothing is
            written then.
    """
    content = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return run_planned(
        part.of(config.runs()),
        output,
        jobs=jobs,
        threads=threads,
        retry=retry,
        retries=retries,
        crew=crew,
        progress=progress,
        command=command,
        complete=complete,
        check=check,
        poll_seconds=poll_seconds,
        files={"benchmark.yaml": content},
    )


def run_planned(
    runs: Sequence[PlannedRun],
    output: str | Path,
    *,
    jobs: int = 1,
    threads: int | None = None,
    retry: bool = False,
    retries: int = 1,
    crew: Crew | None = None,
    progress: Callable[[StudyState], None] | None = None,
    command: Sequence[str] = WORKER,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] = complete_config,
    check: Callable[[Sequence[Mapping[str, Any]]], None] = check_configs,
    poll_seconds: float = 0.5,
    files: Mapping[str, str] | None = None,
) -> StudyState:
    """Train planned runs that are not finished yet: `run_benchmark` without its grid.

    Args:
        runs: Each of a name of its own.
        files: Texts to write into `output`, by name, once the runs have passed the checks.

    Other arguments, what is returned and what is raised are as of `run_benchmark`.
    """
    if jobs < 1:
        raise invalid("jobs", "jobs >= 1", said=f"jobs={jobs}")
    output = Path(output)
    study = StudyState(_prepare(runs, output, complete, check, retry, files or {}))
    study.done_before = sum(run.done for run in study.runs)
    crew = crew or Processes(jobs, threads)
    queue = deque(run for run in study.runs if run.state == "waiting")
    pieces: dict[int, Piece] = {}
    tell = progress or (lambda state: None)

    def note(message: str = "") -> None:
        study.message = message
        tell(study)

    note()
    # Held: an exception between the start of a process and the note of it would leave it running.
    with interrupts() as asked, asked.held():
        try:
            while queue or pieces:
                asked.check()
                for _ in range(min(crew.free(pieces.values()), len(queue))):
                    run = queue.popleft()
                    piece = _start(run, command, crew)
                    if piece is None:
                        note(f"{run.plan.name}: {_describe(run)}")
                        continue
                    pieces[id(run)] = piece
                    on = f" on {run.where}" if run.where else ""
                    note(f"{run.plan.name}: {'resumed' if run.done else 'started'}{on}")
                asked.wait(poll_seconds)
                for run in study.runs:
                    if id(run) not in pieces:
                        continue
                    piece = pieces[id(run)]
                    run.seconds = time.monotonic() - piece.started
                    code = piece.poll()
                    run.done = count_epochs(run.folder)
                    if code is None:
                        continue
                    del pieces[id(run)]
                    if code == LOST:
                        _lose(run, piece)
                    else:
                        _settle(run, code)
                    text = _describe(run)
                    if run.state == "failed" and run.attempts <= retries and may_pass(run.error):
                        run.state = "waiting"
                        text += f"; will be {'continued' if run.lost else 'tried again'}"
                        # One that was paused goes first, one that failed may have to wait.
                        (queue.appendleft if run.lost else queue.append)(run)
                    note(f"{run.plan.name}: {text}")
                note()
        finally:
            crew.stop(pieces.values(), asked)
    return study


def _prepare(
    runs: Sequence[PlannedRun],
    output: Path,
    complete: Callable[[Mapping[str, Any]], dict[str, Any]],
    check: Callable[[Sequence[Mapping[str, Any]]], None],
    retry: bool,
    files: Mapping[str, str],
) -> list[RunState]:
    # Everything is checked before anything is written.
    planned, new = [], []
    for run in runs:
        full = complete(run.config)
        record = RunRecord.read(output / run.name)
        if record.unread and record.unread.path.name != "entry.json":  # which is written below
            raise record.unread
        if record.status != "waiting":
            before = complete(record.config)
            _check_unchanged(record.folder, before, full)
            if _data_of(before) != _data_of(full):
                require_data(record.folder, _data_of(full))
        else:
            new.append(full)
        planned.append((run, full))
    if new:
        check(new)
    output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        atomic_write_text(output / name, content)
    states = []
    for run, full in planned:
        folder = output / run.name
        folder.mkdir(exist_ok=True)
        record = RunRecord.read(folder)
        atomic_write_json(folder / "entry.json", {"label": run.label, "start": run.start})
        if record.status != "waiting" and is_free(folder):
            set_paths(folder, full)
        if record.status == "waiting":
            atomic_write_text(folder / "config.yaml", yaml.safe_dump(full, sort_keys=False))
        state = RunState(run, folder, int(full.get("epochs", 0)), done=count_epochs(folder))
        if record.status == "finished" or (record.status == "failed" and not retry):
            _read_outcome(state)
        states.append(state)
    return states


def _data_of(config: Mapping[str, Any]) -> Path:
    return Path((config.get("data") or {}).get("path") or "")


def _check_unchanged(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    found = differences(identity(old), identity(new))
    changed = [f"{key}: {before!r} -> {after!r}" for key, (before, after) in found.items()]
    if changed:
        raise invalid(
            "config",
            f"the configuration with which {folder} was begun",
            said=", ".join(changed),
            remedy="Give another output folder, or delete this run.",
        )


def _start(run: RunState, command: Sequence[str], crew: Crew) -> Piece | None:
    # What a lost machine was at may end a little later; whoever begins it waits for that.
    if not run.lost and not is_free(run.folder):
        run.state = "elsewhere"
        return None
    # Another caller may have finished the run since this one looked.
    if read_status(run.folder) == "finished":
        _read_outcome(run)
        return None
    piece = crew.start(command, run.folder)
    run.state, run.where, run.lost = "running", piece.where, False
    run.attempts += 1
    run.done_at_start = run.done
    run.error = ""
    return piece


def is_free(folder: Path) -> bool:
    """Whether no process trains in a run folder."""
    try:
        with locked(folder / LOCK, wait=False):
            return True
    except BlockingIOError:
        return False


def _lose(run: RunState, piece: Piece) -> None:
    if read_status(run.folder) == "finished":  # before its machine went away
        _read_outcome(run)
        return
    run.state, run.lost = "failed", True
    run.error = piece.error or f"its machine, {run.where}, went away"
    # The end of a machine's time is a pause, as often as it comes.
    if run.done > run.done_at_start:
        run.attempts -= 1


def _settle(run: RunState, code: int) -> None:
    if code == BUSY:
        run.state = "elsewhere"
        return
    if code == STOPPED:
        # Somebody stopped this one worker: that is no failure, and no reason to start it again.
        run.state = "interrupted"
        return
    try:
        # Another caller may have taken the run up since its process ended: then it writes run.json.
        with locked(run.folder / LOCK, wait=False):
            _record_end(run, code)
    except BlockingIOError:
        run.state = "elsewhere"


def _record_end(run: RunState, code: int) -> None:
    if read_status(run.folder) == "finished":
        _read_outcome(run)
    else:
        run.state, run.error = "failed", record_failure(run.folder, code)


def record_failure(folder: Path, code: int) -> str:
    """Note in `run.json` that a run failed whose process ended with this code; returns the error.

    To be called while the lock of the run is held.
    """
    record = RunRecord.read(folder)
    error = record.info.get("error") if record.status == "failed" else None
    error = str(error or _last_line(folder / "log.txt") or "no message")
    if record.status != "failed":
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        error = f"the process ended with {ended}: {error}"
        atomic_write_json(folder / "run.json", record.info | {"status": "failed", "error": error})
    return error


def may_pass(error: str) -> bool:
    """Whether another attempt may end otherwise than with the error in `run.json`.

    Processes are killed, disks and memories are full for a while; but what a configuration, its
    data or the program bring about comes again.

    >>> may_pass("the process ended with signal 9: no message"), may_pass("OSError: disk full")
    (True, True)
    >>> may_pass("ValueError: Case 'a' cannot be read."), may_pass("keras_robust.DivergenceError:")
    (False, False)
    """
    named = re.match(r"(?:the process ended with exit code 1: )?(?:\w+\.)*(\w+)(?::|$)", error)
    return named is None or named.group(1) not in COME_AGAIN


def _read_outcome(run: RunState) -> None:
    record = RunRecord.read(run.folder)
    run.state = record.status
    run.done = count_epochs(run.folder)
    run.error = str(record.info.get("error") or "")
    dice = (record.info.get("results") or {}).get("dice_test")
    run.dice = float(dice) if dice is not None else None


def _describe(run: RunState) -> str:
    if run.state == "finished":
        return "finished" if run.dice is None else f"finished, test Dice {run.dice:.3f}"
    if run.lost:
        return run.error
    if run.state == "failed":
        return f"failed ({run.error}), see {run.folder / 'log.txt'}"
    if run.state == "elsewhere":
        return f"is trained by another process ({_last_line(run.folder / PID) or 'unknown'})"
    return run.state


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
