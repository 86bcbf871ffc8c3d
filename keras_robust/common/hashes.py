"""Hashes of files."""

import hashlib
from pathlib import Path

from keras_robust.common.opening import open_plain


def sha256(*paths: Path | None) -> str | None:
    """Hash of files one after the other, `None` where one is missing or unreadable."""
    digest = hashlib.sha256()
    try:
        for path in paths:
            if path is None:
                return None
            with open_plain(path) as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    except (OSError, ValueError):
        return None
    return digest.hexdigest()
