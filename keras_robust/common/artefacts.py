"""Finished files and the record of their length and hash: what a damaged copy is known by.

A record is a JSON object of one folder, such as `run.json`, whose key `artefacts` holds length and
SHA-256 of the files beside it. It is written after them, and has them only while they are finished.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.hashes import described, difference
from keras_robust.common.opening import UnreadableFileError, read_bytes, read_json

__all__ = [
    "ARTEFACTS",
    "DamagedFileError",
    "damages",
    "describe",
    "read_artefact",
    "read_record",
]

ARTEFACTS = "artefacts"
_MOST = 2**32  # bytes; a predicted volume may be large


class DamagedFileError(UnreadableFileError):
    """A file is not what was written.

    Args:
        path: Of the file.
        reason: What is wrong with it, as the end of a sentence.
        remedy: What to do.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str, remedy: str):
        super().__init__(path, reason)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"The file {str(self.path)!r} is damaged: {self.reason}. {self.remedy}"


def describe(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """The value of `artefacts` for those of the files in a folder that are there."""
    return {
        name: described((folder / name).read_bytes()) for name in names if (folder / name).is_file()
    }


def read_record(path: Path, remedy: str, kinds: Mapping[str, type] | None = None) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none.

    Args:
        path: Of the file.
        remedy: What to do where it is damaged.
        kinds: Of the values of some keys, where they are there.

    Raises:
        DamagedFileError: It holds something else.

    >>> read_record(Path("nowhere.json"), "")
    {}
    """
    try:
        content = read_json(path, dict)
    except FileNotFoundError:
        return {}
    except UnreadableFileError as error:
        raise DamagedFileError(path, f"it {error.reason}", remedy) from error
    for key, kind in (kinds or {}).items():
        if not isinstance(content.get(key, kind()), kind):
            reason = f"expected {kind.__name__} as {key!r}, received {content[key]!r:.60}"
            raise DamagedFileError(path, reason, remedy)
    return content


def read_artefact(folder: Path, name: str, record: Mapping[str, Any], remedy: str) -> bytes:
    """The content of a file, which is as the record of its folder says, where it says something.

    Raises:
        FileNotFoundError: It is not there, and not in the record either.
        DamagedFileError: It is not as recorded.
    """
    path = folder / name
    description = _descriptions(record).get(name)
    try:
        content = read_bytes(path, _MOST)
    except FileNotFoundError:
        if description is None:
            raise
        raise DamagedFileError(path, "it is missing", remedy) from None
    except UnreadableFileError as error:
        raise DamagedFileError(path, f"it {error.reason}", remedy) from error
    if description is not None:
        try:
            reason = difference(content, description)
        except (KeyError, TypeError):
            reason = "its length and hash in the record cannot be read"
        if reason:
            raise DamagedFileError(path, reason, remedy)
    return content


def damages(folder: Path, record: Mapping[str, Any], remedy: str) -> Iterator[DamagedFileError]:
    """The files that are not as a record says."""
    for name in _descriptions(record):
        try:
            read_artefact(folder, name, record, remedy)
        except DamagedFileError as error:
            yield error


def _descriptions(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return record.get(ARTEFACTS) or {}
