"""Hashes of files."""

import hashlib
from pathlib import Path


def sha256(*paths: Path | None) -> str | None:
    """Hash of files one after the other, `None` where one is missing or unreadable."""
    digest = hashlib.sha256()
    try:
        for path in paths:
            if path is None:
                return None
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()
