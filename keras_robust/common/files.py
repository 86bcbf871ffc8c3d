"""Writing files so that a reader, or a power cut, never sees half of one."""

import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_text",
    "locked",
    "remove_leftovers",
    "sync_folder",
]


def atomic_write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write bytes so that `path` holds either all of the old or all of the new content.

    A temporary file in the same folder is written, synced to disk and renamed over `path`;
    the folder is created when missing. The first time that a process writes into a folder, it
    removes what killed writers left there.

    Args:
        path: File to write.
        content: What it shall hold.

    Returns:
        `path`.

    Raises:
        OSError: The folder cannot be written; `path` is then as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     atomic_write_bytes(Path(folder) / "a.bin", b"abc").read_bytes()
    b'abc'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        # "x" keeps the user's umask, where mkstemp would make the file private.
        with open(temporary, "xb") as file:
            if not _hold(file.fileno(), temporary):
                return atomic_write_bytes(path, content)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if not _HELD:  # Windows renames no open file
                file.close()
            os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        if error.errno and error.filename is None:  # such as that of a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    except BaseException:
        _remove(temporary)
        raise
    sync_folder(path.parent)
    return path


def atomic_write_text(path: str | os.PathLike[str], content: str) -> Path:
    """As `atomic_write_bytes`, for text in UTF-8 with newlines kept as given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     atomic_write_text(Path(folder) / "a.txt", "ν = 1\\n").read_text(encoding="utf-8")
    'ν = 1\\n'
    """
    return atomic_write_bytes(path, content.encode("utf-8"))


def atomic_write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """As `atomic_write_bytes`, for one JSON value, indented and ending in a newline.

    Raises:
        TypeError, ValueError: `value` is not JSON (NaN and infinity are not either).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     json.loads(atomic_write_json(Path(folder) / "a.json", {"seed": 0}).read_text())
    {'seed': 0}
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return atomic_write_text(path, text + "\n")


def remove_leftovers(folder: str | os.PathLike[str], name: str | None = None) -> None:
    """Remove the temporary files of writers that were killed, from `folder` itself.

    A writer that lives holds its temporary file, which is then left alone.

    Args:
        folder: Folder of the files.
        name: File that was to be written; None for all.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / ".a.png.0123456789ab.tmp").write_bytes(b"half")
    ...     remove_leftovers(folder)
    ...     os.listdir(folder)
    []
    """
    for path in Path(folder).iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and name in (None, match[1]):
            _remove_unheld(path)


_TEMPORARY = re.compile(r"\.(.*)\.[0-9a-f]{12}\.tmp")
_tidied: set[tuple[int, str]] = set()


def _tidy(folder: Path) -> None:
    """Remove the leftovers of a folder, once per process and folder."""
    key = os.getpid(), os.path.abspath(folder)
    if key not in _tidied:
        _tidied.add(key)
        with suppress(OSError):
            remove_leftovers(folder)


def _remove(path: Path) -> None:
    # A disk that fails is told of by the error that led here; Windows keeps what is open.
    with suppress(OSError):
        path.unlink()


@contextmanager
def locked(path: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` between processes.

    The system drops the lock when the process ends in any way, so that none goes stale.

    Args:
        path: Lock file; made when missing, and left in place.
        wait: Wait for another holder, or raise.

    Raises:
        BlockingIOError: `wait` is false and another process holds the lock.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder) / ".lock"):
    ...     pass
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        _lock(file.fileno(), wait)
        yield  # closing the file drops the lock


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not wait:  # LK_LOCK itself gives up after ten seconds
                    raise BlockingIOError(f"{error}") from None

    # An open file can be neither renamed nor removed there: nothing needs to hold it.
    _HELD = False

    def _hold(descriptor: int, path: Path) -> bool:
        return True

    def _remove_unheld(path: Path) -> None:
        _remove(path)

    def sync_folder(folder: Path) -> None:
        """Windows has no descriptors of folders to sync."""

else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    _HELD = True

    def _hold(descriptor: int, path: Path) -> bool:
        """Lock a temporary file; false where somebody took it for a leftover before."""
        with suppress(OSError):  # a file system without locks has no tidying either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return path.exists()

    def _remove_unheld(path: Path) -> None:
        with suppress(OSError), open(path, "rb") as file:  # renamed meanwhile, or held
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()

    def sync_folder(folder: Path) -> None:
        """Make the renaming of files in a folder last, where the file system does that."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            pass  # some network file systems refuse to sync a folder; the file itself is safe
        finally:
            os.close(descriptor)
