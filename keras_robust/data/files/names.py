"""Names that come from files and become names of files."""

from pathlib import Path
from urllib.parse import quote as percent_encoded

from keras_robust.common.words import quote

__all__ = ["name_problem", "picture_path"]


def name_problem(kind: str, name: str) -> str | None:
    """Why `name` cannot name a file of ours, or None: names from files never become paths."""
    if not name or name in (".", "..") or name != name.strip() or len(name.encode()) > 200:
        reason = "is empty, '.' or '..', longer than 200 bytes, or has spaces around it"
    elif any(c in '/\\:*?"<>|' or ord(c) < 32 or ord(c) == 127 for c in name):
        reason = 'has a character that file names cannot hold (/ \\ : * ? " < > | or control)'
    else:
        return None
    return f"{kind} {quote(name)} {reason}; rename it"


def picture_path(folder: str | Path, id: str, suffix: str = ".png") -> Path:
    """`<id>.png`, or with another suffix, in a folder; the id is percent-encoded where it holds
    what file names do not.

    >>> picture_path("predictions", "case 1").name
    'case%201.png'
    """
    return Path(folder) / f"{percent_encoded(id, safe='')}{suffix}"
