"""Pieces of work that are no runs: a folder each, and a command that is given it."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_robust.common.interrupts import interrupts
from keras_robust.common.opening import read_text
from keras_robust.common.progress import Progress
from keras_robust.scheduling.processes import LOST, Crew, Piece

__all__ = ["run_pieces"]


def run_pieces(
    folders: Sequence[Path],
    command: Sequence[str],
    crew: Crew,
    *,
    retries: int = 1,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    poll_seconds: float = 0.2,
) -> None:
    """Have every piece done once, and again where its machine went away or its process failed.

    Args:
        folders: One per piece.
        command: Start of the command line; the folder is added.
        crew: Who does them.
        retries: How often one that failed, or was lost, is tried again.
        progress: Called with the pieces that are done, and their number.
        say: Called with a sentence where a piece begins, ends or is lost.
        poll_seconds: How often the pieces are looked at.

    Raises:
        ValueError: A piece failed; the message has the last line of its log.
        KeyboardInterrupt: It was asked; pieces at hand were stopped.
    """
    tell, note = progress or (lambda done, total: None), say or (lambda text: None)
    queue, attempts = deque(folders), dict.fromkeys(folders, 0)
    working: dict[Path, Piece] = {}
    tell(0, len(folders))
    with interrupts() as asked, asked.held():
        try:
            while queue or working:
                asked.check()
                for _ in range(min(crew.free(working.values()), len(queue))):
                    folder = queue.popleft()
                    working[folder] = crew.start(command, folder)
                    note(f"{folder.name}: started on {working[folder].where or 'this machine'}")
                asked.wait(poll_seconds)
                for folder, piece in list(working.items()):
                    if (code := piece.poll()) is None:
                        continue
                    del working[folder]
                    if code == 0:
                        note(f"{folder.name}: done")
                        tell(len(folders) - len(queue) - len(working), len(folders))
                        continue
                    attempts[folder] += 1
                    why = piece.error or f"{piece.where} went away"
                    if code != LOST:
                        why = f"exit code {code}: {_last_line(folder / 'log.txt')}"
                    if attempts[folder] > retries:
                        raise ValueError(
                            f"{folder.name} could not be done ({why}). {folder / 'log.txt'} has "
                            "more; the same command again continues."
                        )
                    note(f"{folder.name}: {why}; will be tried again")
                    queue.append(folder)
        finally:
            crew.stop(working.values(), asked)


def _last_line(path: Path) -> str:
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError):
        return "no message"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")
