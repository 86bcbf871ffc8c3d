"""What the commands show: results on standard output, as lines or as one JSON object; progress
and what may come next beside them; and errors without a traceback."""

import errno
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID

from keras_robust.common.opening import shortened, shown
from keras_robust.common.progress import Progress, StageProgress

__all__ = [
    "friendly_errors",
    "hint",
    "is_quiet",
    "next_step",
    "progress_bar",
    "progress_bars",
    "rows_of",
    "set_json",
    "set_quiet",
    "tell",
    "unless_quiet",
]

_quiet = False
_as_json = False
View = TypeVar("View")

LONGEST = 10_000  # characters of a message; it may repeat what files say
_ROOM = "Make room, or write elsewhere (another folder), and run the same command again."
_RIGHTS = "Make it readable and writable, or choose another folder, and run the same command again."
_REMEDIES = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EFBIG: _ROOM}
_REMEDIES |= {errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS, errno.EROFS: _RIGHTS}


def set_quiet(context: typer.Context, quiet: bool) -> bool:
    """Say whether this command, as long as it runs, shows its results and errors alone."""

    def note(quiet: bool) -> None:
        global _quiet
        _quiet = quiet

    note(quiet)
    context.call_on_close(lambda: note(False))
    return quiet


def set_devices(context: typer.Context, devices: str | None) -> str | None:
    """Let this command, and the processes that it starts, use some devices alone."""
    if devices is not None:
        from keras_robust.training.devices import choose_devices

        with friendly_errors():
            choose_devices(devices)
    return devices


def set_json(context: typer.Context, wanted: bool) -> bool:
    """Say whether this command, as long as it runs, prints its results as JSON."""

    def note(wanted: bool) -> None:
        global _as_json
        _as_json = wanted

    note(wanted)
    context.call_on_close(lambda: note(False))
    return wanted


def tell(facts: Mapping[str, Any], *lines: str) -> None:
    """Print what a command found, once.

    Args:
        facts: For programs: with `--json` one object, in which numbers that are not finite are
            null and paths are texts.
        lines: For people, else.

    >>> tell({"dice": 0.8}, "Dice: 0.8")
    Dice: 0.8
    """
    if not _as_json:
        for line in lines:
            typer.echo(line)
        return
    typer.echo(json.dumps(_plain(facts), ensure_ascii=False, indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not getattr(value, "shape", ()):  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a table that a command has written, for `tell`; none where it wrote none."""
    if not path.is_file():
        return []
    from keras_robust.common.tables import read_frame

    return read_frame(path).to_dict("records")


def next_step(command: str, *words: object) -> None:
    """Name the command that comes next, as it can be typed."""
    hint(f"Next: {shlex.join(['keras-robust', command, *map(str, words)])}")


def is_quiet() -> bool:
    """Whether this command shows its results and errors alone."""
    return _quiet


def hint(text: str, err: bool = False) -> None:
    """Say what is no result: what goes on, or what may come next."""
    if not _quiet:
        typer.echo(text, err=err or _as_json)


@contextmanager
def unless_quiet(view: AbstractContextManager[View]) -> Iterator[View | None]:
    """A view of long work, or None where the command is quiet."""
    if _quiet:
        yield None
        return
    with view as entered:
        yield entered


@contextmanager
def friendly_errors(continues: bool = False) -> Iterator[None]:
    """End the command with the message of an error that the user can repair.

    The exit code is 2, and 130 after Ctrl-C.

    Args:
        continues: Whether the same command takes up what Ctrl-C left, which is then said.

    >>> with friendly_errors():
    ...     pass
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:  # the last names an extra to install
        typer.secho(f"Error: {shortened(_message(error), LONGEST)}", err=True, fg="red")
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        hint = " The same command again continues." if continues else ""
        typer.secho(f"Interrupted.{hint}", err=True, fg="yellow")
        raise SystemExit(130) from None


def _message(error: Exception) -> str:
    """What an error says; also what to do, where it comes from the system or a configuration."""
    remedy = _REMEDIES.get(getattr(error, "errno", None) or 0)
    if remedy:
        return f"{error}. {remedy}"
    pydantic = sys.modules.get("pydantic")  # only who imported it can have raised its errors
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return str(error)
    lines = []
    for found in error.errors(include_url=False):
        name = ".".join(map(str, found["loc"]))
        said = found["msg"].removeprefix("Value error, ")
        if found["type"] == "value_error":
            named = said.startswith("Invalid value") or not name
            lines.append(said if named else f"Invalid value for argument `{name}`. {said}")
            continue
        said = said.replace("Input should be", "Expected", 1)
        received = f"{name}={shown(found['input'])}"
        if found["type"] == "missing":
            said, received = "Expected a value", "none"
        if found["type"] == "extra_forbidden":
            said = f"Expected a field of {error.title}, which has none of this name"
        lines.append(
            f"Invalid value for argument `{name}`. {said}. Received: {received}. "
            "Correct it in the file or in --set."
        )
    return "\n".join(lines)


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A progress bar as a callback of (done, total)."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=_quiet or not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress_bars() -> Iterator[StageProgress]:
    """A progress bar for each stage of a task, as a callback of (stage, done, total).

    Where there is no terminal, a line at the beginning of each stage and at each tenth of it.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    said: dict[str, int] = {}
    begun: dict[str, tuple[float, int]] = {}
    hidden = _quiet or not console.is_terminal
    # From the speed since the beginning: an epoch may take longer than Rich remembers.
    with Progress(*columns, console=console, disable=hidden, speed_estimate_period=86400) as bars:

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage.capitalize(), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)
            begun.setdefault(stage, (time.monotonic(), done))
            tenth = 10 * done // total if total else 0
            if not (_quiet or console.is_terminal) and tenth > said.get(stage, -1):
                said[stage] = tenth
                left = _time_left(*begun[stage], done, total)
                typer.echo(f"{stage.capitalize()}: {done} of {total}{left}", err=True)

        yield update


def _time_left(begun: float, before: int, done: int, total: int) -> str:
    """What is left of a stage, by its speed so far; empty at its beginning and end, and where it is
    less than a second.

    >>> _time_left(time.monotonic() - 600, before=10, done=20, total=30)
    ', about 10 min left'
    """
    if not before < done < total:
        return ""
    seconds = (time.monotonic() - begun) / (done - before) * (total - done)
    if seconds < 1:
        return ""
    return (
        f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"
    )
