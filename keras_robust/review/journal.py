"""A log in JSON lines that is only ever appended to, and that a crash cannot spoil."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_robust.common.opening import parse_json, read_bytes

__all__ = ["Journal", "append_record", "read_journal"]


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Args:
        records: The readable lines in order.
        damaged: Numbers, from 1, of the lines that are not readable, such as a torn last one.
    """

    records: tuple[dict[str, Any], ...] = ()
    damaged: tuple[int, ...] = ()


def read_journal(path: str | os.PathLike[str]) -> Journal:
    """Read a journal; a line that is torn or damaged costs that line alone.

    Args:
        path: The file; one that is missing is an empty journal.

    Raises:
        OSError: The file is there and cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_bytes(b'{"id": 1}\\n{"id": 2}\\n{"id"')
    ...     read_journal(path)
    Journal(records=({'id': 1}, {'id': 2}), damaged=(3,))
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return Journal()
    records, damaged = [], []
    # Bytes, since text has more ends of lines than "\n", and one bad byte would spoil it all.
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line.decode("utf-8"))
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            damaged.append(number)
    return Journal(tuple(records), tuple(damaged))


def append_record(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Append one line and wait until it is on the disk.

    Where that fails, the part of the line that was written is taken back.

    Args:
        path: The file; made when missing, and its folder.
        record: JSON values by name.

    Raises:
        OSError: The line could not be written, for example on a full disk.
        TypeError, ValueError: `record` is not JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     append_record(path, {"id": "lung", "comment": "two\\nlines"})
    ...     path.read_text()
    '{"id": "lung", "comment": "two\\\\nlines"}\\n'
    """
    path = Path(path)
    line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        length = os.fstat(descriptor).st_size
        if length:
            os.lseek(descriptor, length - 1, os.SEEK_SET)
            if os.read(descriptor, 1) != b"\n":
                line = b"\n" + line  # the torn line of a crash stays by itself
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, length)
            raise
    finally:
        os.close(descriptor)
