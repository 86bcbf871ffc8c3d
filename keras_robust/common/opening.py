"""Opening files that somebody else made: what they are, and how large, is looked at first.

A data set, a configuration or a model may come from anywhere. Nothing here waits for a pipe, reads
a device, takes more memory than a file of its kind can need, or repeats at length what it found.
"""

import json
import os
import stat
from pathlib import Path
from reprlib import Repr
from typing import Any, BinaryIO

__all__ = [
    "UnreadableFileError",
    "open_plain",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "real_path",
    "shortened",
    "shown",
]

PathLike = str | os.PathLike[str]

MIB = 2**20
MOST_JSON, MOST_TABLE = 16 * MIB, 64 * MIB  # a row of 60 bytes for a million cases
LONGEST = 1000  # characters of a message
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_NAMES = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}


class UnreadableFileError(ValueError):
    """A file that is there but is not what was asked for: `path`, and `reason` in plain words."""

    def __init__(self, path: PathLike, reason: str):
        self.path, self.reason = Path(path), shortened(reason)
        super().__init__(
            f"Invalid value for argument `path`. Expected a readable file. Received: "
            f"path={str(path)!r}, which {self.reason}. Restore it from its source, or remove it."
        )


def open_plain(path: PathLike) -> BinaryIO:
    """Open a plain file for reading; links are followed.

    Raises:
        FileNotFoundError: No such file.
        UnreadableFileError: A folder, a pipe, a device or a socket; these are not waited for.
        OSError: No permission, or links in a circle.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_plain(folder)
    Traceback (most recent call last):
    keras_robust.common.opening.UnreadableFileError: ... which is a folder, not a file. ...
    """
    _require_plain(path, os.stat(path).st_mode)  # before opening: that alone may move a device
    file = open(path, "rb", opener=_without_waiting)
    try:
        _require_plain(path, os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_bytes(path: PathLike, most: int = MOST_TABLE) -> bytes:
    """The content of a plain file of at most `most` bytes.

    Raises:
        As `open_plain`; UnreadableFileError also for a larger file.
    """
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnreadableFileError(path, f"is larger than the {most / MIB:g} MiB that are read")
    return content


def read_text(path: PathLike, most: int = MOST_TABLE) -> str:
    """As `read_bytes`, of a text in UTF-8, with or without a byte order mark.

    Raises:
        As `read_bytes`; UnreadableFileError also for other bytes.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(path, f"is not a text in UTF-8 ({error})") from None


def read_json(path: PathLike, kind: type = object, most: int = MOST_JSON) -> Any:
    """The value of a JSON file.

    Args:
        path: The file.
        kind: What the value must be, such as `dict`.
        most: Bytes that are read; 16 MiB.

    Raises:
        As `read_bytes`; UnreadableFileError also for what is not JSON, or of another kind.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.json"
    >>> _ = path.write_text("[]")
    >>> read_json(path, dict)
    Traceback (most recent call last):
    keras_robust.common.opening.UnreadableFileError: ... which holds a list, not an object. ...
    """
    content = read_bytes(path, most)
    try:
        value = parse_json(content)
    except ValueError as error:
        raise UnreadableFileError(path, f"is not valid JSON: {error}") from None
    if not isinstance(value, kind):
        reason = f"holds {_name(type(value))}, not {_name(kind)}"
        raise UnreadableFileError(path, reason)
    return value


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`, which raises another error where a text is nested too deeply.

    Raises:
        ValueError: Not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def real_path(path: PathLike) -> Path:
    """A path with its links followed; as it is where they run in a circle.

    `Path.resolve` raises RuntimeError there before Python 3.13.
    """
    return Path(os.path.realpath(path))


def shown(value: Any, longest: int = 200) -> str:
    """`repr(value)`, shortened, without first making all of it.

    >>> shown([0] * 10**6)
    '[0, 0, 0, 0, 0, 0, 0, 0, ...]'
    """
    short = Repr()
    short.maxlevel = 3
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = 8
    short.maxstring = short.maxother = short.maxlong = longest
    return shortened(short.repr(value), longest)


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text whose middle is left out beyond `longest` characters.

    >>> shortened("abcdefghij" * 3, 12)
    'abcd ... hij'
    """
    if len(text) <= longest:
        return text
    kept = longest - 5
    return f"{text[: (kept + 1) // 2]} ... {text[-(kept // 2) :]}"


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_plain(path: PathLike, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise UnreadableFileError(path, f"is {kind}, not a file")


def _name(kind: type) -> str:
    return _NAMES.get(kind, "another value")
