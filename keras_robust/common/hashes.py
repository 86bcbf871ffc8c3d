"""Hashes of files: what their content is known by."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.opening import open_plain

__all__ = ["described", "difference", "sha256", "sha256_if_there"]


def sha256(*paths: str | os.PathLike[str]) -> str:
    """SHA-256 of files one after the other.

    Raises:
        OSError: One is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with open_plain(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def sha256_if_there(*paths: Path | None) -> str | None:
    """As `sha256`, `None` where a file is missing or unreadable."""
    try:
        return None if None in paths else sha256(*(path for path in paths if path is not None))
    except (OSError, ValueError):
        return None


def described(content: bytes) -> dict[str, Any]:
    """Length in bytes and SHA-256 of a content.

    >>> described(b"abc")["bytes"]
    3
    """
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def difference(content: bytes, description: Mapping[str, Any]) -> str | None:
    """In what a content is not as `described`; `None` where it is.

    >>> difference(b"ab", described(b"abc"))
    'it has 2 of 3 bytes'
    """
    if len(content) != description["bytes"]:
        return f"it has {len(content)} of {description['bytes']} bytes"
    if described(content)["sha256"] != description["sha256"]:
        return "it does not match its SHA-256"
    return None
